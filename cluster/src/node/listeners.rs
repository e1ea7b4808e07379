//! The sockets that a node listens on: main ports that all cores share, and a port for each core.
//!
//! Each core has sockets of its own on the main ports (SO_REUSEPORT: the kernel spreads connections over them). As that
//! would also let a stranger of the same user join in, a main port is first bound alone, which fails if anybody has it.

use crate::config::Config;
use crate::error::Error;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Distance of the first core's port from the main port.
const KV_CORE_OFFSET: u16 = 1000;
const RESP_CORE_OFFSET: u16 = 2000;

/// How many connections may wait to be accepted, per socket.
const BACKLOG: u32 = 1024;

/// How often a free main port is tried again if somebody takes it between two binds.
const ATTEMPTS: usize = 8;

/// Which protocol a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// The binary protocol.
    Wire,
    /// The Redis protocol.
    Resp,
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
}

impl Addresses {
    /// Where RESP is served, on every core's port or on a core's own; `None` if it isn't, or on every address of the machine.
    pub fn resp_of(&self, core: Option<usize>) -> Option<SocketAddr> {
        let addr = core.map_or(self.resp, |core| self.resp_cores.get(core).copied());
        addr.filter(|addr| !addr.ip().is_unspecified())
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
    pub admin: Option<TcpListener>,
}

/// Checks that a node of `cores` cores can have all its ports: none too high, none wanted twice.
pub fn check(config: &Config, cores: usize) -> Result<(), Error> {
    let mut wanted: Vec<(String, SocketAddr)> = Vec::new();
    let protocols = [
        ("listen", Some(config.listen), Some(KV_CORE_OFFSET)),
        ("resp-listen", config.resp_listen, Some(RESP_CORE_OFFSET)),
        ("admin-listen", config.admin_listen, None),
    ];
    for (setting, addr, offset) in protocols {
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

/// Binds everything that a node of `cores` cores listens on.
pub fn bind(config: &Config, cores: usize) -> Result<Bound, Error> {
    check(config, cores)?;
    let mut listeners: Vec<CoreListeners> = (0..cores).map(|_| Vec::new()).collect();
    let (kv, kv_cores) =
        bind_protocol("listen", config.listen, KV_CORE_OFFSET, Speaks::Wire, &mut listeners)?;
    let (resp, resp_cores) = match config.resp_listen {
        Some(addr) => {
            let (main, cores) =
                bind_protocol("resp-listen", addr, RESP_CORE_OFFSET, Speaks::Resp, &mut listeners)?;
            (Some(main), cores)
        }
        None => (None, Vec::new()),
    };
    let admin = match config.admin_listen {
        Some(addr) => Some(TcpListener::bind(addr).map_err(|e| busy("admin-listen", addr, &e))?),
        None => None,
    };
    let admin_addr = admin.as_ref().map(TcpListener::local_addr).transpose().map_err(unnamed)?;
    let addresses = Addresses { kv, resp, admin: admin_addr, kv_cores, resp_cores };
    Ok(Bound { addresses, cores: listeners, admin })
}

fn bind_protocol(
    setting: &str,
    addr: SocketAddr,
    core_offset: u16,
    speaks: Speaks,
    listeners: &mut [CoreListeners],
) -> Result<(SocketAddr, Vec<SocketAddr>), Error> {
    let (main, sockets) = bind_shared(addr, listeners.len()).map_err(|e| busy(setting, addr, &e))?;
    let mut cores = Vec::with_capacity(listeners.len());
    for (core, (listeners, shared)) in listeners.iter_mut().zip(sockets).enumerate() {
        listeners.push(CoreListener { socket: shared, speaks, own: false });
        let mut own = addr;
        own.set_port(core_port(setting, addr, core_offset, core)?);
        let what = format!("{setting} {addr}: core {core}'s own port (that port + {core_offset} + {core})");
        let socket = listen(own, false).map_err(|e| busy(&what, own, &e))?;
        cores.push(socket.local_addr().map_err(unnamed)?);
        listeners.push(CoreListener { socket, speaks, own: true });
    }
    Ok((main, cores))
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

fn bind_shared(addr: SocketAddr, count: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let probe = listen(addr, false)?;
        let main = probe.local_addr()?;
        drop(probe);
        match (0..count).map(|_| listen(main, true)).collect() {
            Ok(sockets) => return Ok((main, sockets)),
            Err(error) => last = error,
        }
        if addr.port() != 0 {
            break;
        }
    }
    Err(last)
}

/// Binds and listens. The sockets are made by tokio, which sets the option that `std` can't, and handed out as plain
/// ones; no runtime drives them.
fn listen(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    let socket =
        if addr.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)?.into_std()
}

fn busy(setting: &str, addr: SocketAddr, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "stop the process that has it or choose another port",
        io::ErrorKind::PermissionDenied => "choose a port above 1023 or grant CAP_NET_BIND_SERVICE",
        _ => "choose an address of this machine",
    };
    Error::Node(format!("--{setting}: can't listen on {addr}: {error}; {remedy}"))
}

fn unnamed(error: io::Error) -> Error {
    Error::Node(format!("a socket has no address: {error}; check the network configuration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::ephemeral("unused")
    }

    #[test]
    fn free_ports_are_picked_for_the_node_and_each_core() {
        let bound = bind(&config(), 3).unwrap();
        let mut ports: Vec<u16> = bound
            .addresses
            .kv_cores
            .iter()
            .chain(&bound.addresses.resp_cores)
            .map(SocketAddr::port)
            .collect();
        ports.extend([bound.addresses.kv.port(), bound.addresses.resp.unwrap().port()]);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
        assert!(bound.cores.iter().all(|listeners| listeners.len() == 4));
    }

    #[test]
    fn a_port_in_use_is_refused_although_it_is_shared() {
        let first = bind(&config(), 2).unwrap();
        let mut second = config();
        second.listen = first.addresses.kv;
        let error = bind(&second, 1).err().unwrap().to_string();
        assert!(
            error.contains("--listen: can't listen on") && error.contains("choose another port"),
            "{error}"
        );
    }

    #[test]
    fn two_listeners_on_one_port_are_refused_by_name() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let with = |kv, resp, admin| Config {
            listen: at(kv),
            resp_listen: Some(at(resp)),
            admin_listen: Some(at(admin)),
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
    fn a_core_port_in_use_is_told_as_what_it_is() {
        let main = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let Some(port) = main.port().checked_add(KV_CORE_OFFSET) else { return };
        let Ok(_taken) = TcpListener::bind(("127.0.0.1", port)) else { return };
        let error = bind(&Config { listen: main, ..config() }, 1).err().unwrap().to_string();
        assert!(error.contains("core 0's own port (that port + 1000 + 0)"), "{error}");
    }

    #[test]
    fn a_port_too_high_for_the_cores_is_a_configuration_error() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 65_000));
        assert_eq!(core_port("listen", addr, 1000, 0).unwrap_err().exit_code(), 2);
    }
}
