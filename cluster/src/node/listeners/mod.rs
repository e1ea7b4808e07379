//! The sockets that a node listens on: main ports that all cores share, and a port for each core, on every address that
//! the name of a listener has.

mod bind;

use crate::config::Config;
use crate::config::listen::{Listen, write_all};
use crate::error::Error;
pub use bind::bind;
use std::fmt;
use std::net::{SocketAddr, TcpListener};

/// Distance of the first core's port from the main port.
const KV_CORE_OFFSET: u16 = 1000;
const RESP_CORE_OFFSET: u16 = 2000;

/// Which protocol a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The binary protocol.
    Wire,
    /// The Redis protocol.
    Resp,
    /// What nodes speak with each other ([`crate::peers`]). No node listens for it yet but those of the simulator.
    Peer,
}

/// Where a node can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The binary protocol, any core.
    pub kv: SocketAddr,
    /// The Redis protocol, any core.
    pub resp: Option<SocketAddr>,
    /// Health, metrics, status.
    pub admin: Option<SocketAddr>,
    /// The binary protocol, core by core.
    pub kv_cores: Vec<SocketAddr>,
    /// The Redis protocol, core by core; empty if it isn't served.
    pub resp_cores: Vec<SocketAddr>,
    /// Where else each of the three listens, if its name has several addresses.
    pub others: Others,
}

impl Addresses {
    /// Where RESP is served, on every core's port or on a core's own; `None` if it isn't, on every address of the machine, or
    /// on several.
    pub fn resp_of(&self, core: Option<usize>) -> Option<SocketAddr> {
        let addr = core.map_or(self.resp, |core| self.resp_cores.get(core).copied());
        addr.filter(|addr| !addr.ip().is_unspecified() && self.others.resp.is_empty())
    }
}

/// Addresses besides the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// The binary protocol.
    pub kv: Vec<SocketAddr>,
    /// The Redis protocol.
    pub resp: Vec<SocketAddr>,
    /// Health, metrics, status.
    pub admin: Vec<SocketAddr>,
}

impl fmt::Display for Addresses {
    /// As the ready line has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Addresses { kv, resp, admin, others, .. } = self;
        let lists = [
            ("kv ", Some(*kv), &others.kv),
            (", resp ", *resp, &others.resp),
            (", admin ", *admin, &others.admin),
        ];
        for (what, first, more) in lists {
            f.write_str(what)?;
            let Some(first) = first else {
                f.write_str("off")?;
                continue;
            };
            if what.contains("admin") {
                f.write_str("http://")?;
            }
            write_all(f, &[&[first], more.as_slice()].concat())?;
        }
        Ok(())
    }
}

/// A socket of a core.
#[derive(Debug)]
pub struct CoreListener {
    /// The socket.
    pub socket: TcpListener,
    /// What is spoken there.
    pub speaks: Speaks,
    /// It is this core's own port, not one that all cores share.
    pub own: bool,
}

/// The sockets of one core.
pub type CoreListeners = Vec<CoreListener>;

/// Everything bound, and where.
pub struct Bound {
    /// Where.
    pub addresses: Addresses,
    /// For each core.
    pub cores: Vec<CoreListeners>,
    /// For the admin thread.
    pub admin: Vec<TcpListener>,
}

/// Checks that a node of `cores` cores can have all its ports: none too high, none wanted twice.
pub fn check(config: &Config, cores: usize) -> Result<(), Error> {
    let mut wanted: Vec<(String, SocketAddr)> = Vec::new();
    let protocols = [
        ("listen", Some(&config.listen), Some(KV_CORE_OFFSET)),
        ("resp-listen", config.resp_listen.as_ref(), Some(RESP_CORE_OFFSET)),
        ("admin-listen", config.admin_listen.as_ref(), None),
    ];
    let each = protocols.into_iter().flat_map(|(setting, listen, offset)| {
        let all = listen.map_or(&[][..], Listen::all);
        all.iter().map(move |&addr| (setting, Some(addr), offset))
    });
    for (setting, addr, offset) in each {
        let Some(addr) = addr.filter(|addr| addr.port() != 0) else { continue };
        wanted.push((format!("--{setting}"), addr));
        for core in 0..offset.map_or(0, |_| cores) {
            let port = core_port(setting, addr, offset.unwrap_or_default(), core)?;
            let what = format!(
                "core {core} of --{setting} {addr} (its port + {} + {core})",
                offset.unwrap_or_default()
            );
            wanted.push((what, SocketAddr::new(addr.ip(), port)));
        }
    }
    for (index, (what, addr)) in wanted.iter().enumerate() {
        let shares = |other: &SocketAddr| {
            let any = other.ip().is_unspecified() || addr.ip().is_unspecified();
            other.port() == addr.port() && (any || other.ip() == addr.ip())
        };
        if let Some((other, _)) = wanted[..index].iter().find(|(_, other)| shares(other)) {
            return Err(Error::Config(format!(
                "{what} would listen on port {}, which {other} has; choose another port for one of them",
                addr.port()
            )));
        }
    }
    Ok(())
}

/// The port of a core; 0 (any) if the main port is.
fn core_port(setting: &str, main: SocketAddr, offset: u16, core: usize) -> Result<u16, Error> {
    if main.port() == 0 {
        return Ok(0);
    }
    let port = u32::from(main.port()) + u32::from(offset) + core as u32;
    u16::try_from(port).map_err(|_| {
        Error::Config(format!(
            "--{setting} {main}: core {core} would listen on port {port}; choose a lower port"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::ephemeral("unused")
    }

    #[test]
    fn two_listeners_on_one_port_are_refused_by_name() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let with = |kv, resp, admin| Config {
            listen: at(kv).into(),
            resp_listen: Some(at(resp).into()),
            admin_listen: Some(at(admin).into()),
            ..config()
        };
        assert!(check(&with(7400, 7379, 7480), 4).is_ok());
        assert!(check(&config(), 4).is_ok(), "any port");
        let error = check(&with(7400, 7379, 8401), 2).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let error = error.to_string();
        assert!(error.contains("--admin-listen") && error.contains("core 1 of --listen"), "{error}");
        assert!(check(&with(7400, 7400, 7480), 1).is_err());
    }

    #[test]
    fn a_port_too_high_for_the_cores_is_a_configuration_error() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 65_000));
        assert_eq!(core_port("listen", addr, 1000, 0).unwrap_err().exit_code(), 2);
    }
}
