//! Makes the sockets.
//!
//! Each core has sockets of its own on the main ports (SO_REUSEPORT: the kernel spreads connections over them). As that
//! would also let a stranger of the same user join in, a main port is first bound alone, which fails if anybody has it.
//!
//! The kernel takes the sockets of a killed process down some time after the process is gone, so that a port that was
//! asked for is tried again for a while.

use super::{Addresses, Bound, CoreListener, CoreListeners, Others, Speaks, check, core_port};
use super::{KV_CORE_OFFSET, RESP_CORE_OFFSET};
use crate::config::Config;
use crate::config::listen::Listen;
use crate::error::Error;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// How many connections may wait to be accepted, per socket.
const BACKLOG: u32 = 1024;

/// How often a port of the system's choice is chosen again if somebody takes it, or a port that goes with it.
const ATTEMPTS: usize = 8;

/// How long a port that is in use is tried again, and how often.
const IN_USE_MAX: Duration = Duration::from_secs(5);
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

/// Binds everything that a node of `cores` cores listens on.
pub fn bind(config: &Config, cores: usize) -> Result<Bound, Error> {
    bind_within(config, cores, IN_USE_MAX)
}

fn bind_within(config: &Config, cores: usize, in_use_max: Duration) -> Result<Bound, Error> {
    check(config, cores)?;
    let mut binder = Binder { cores, until: Instant::now() + in_use_max, is_told: false };
    let kv = binder.protocol("listen", &config.listen, Some((KV_CORE_OFFSET, Speaks::Wire)))?;
    let resp = config.resp_listen.as_ref();
    let resp = resp.map(|l| binder.protocol("resp-listen", l, Some((RESP_CORE_OFFSET, Speaks::Resp))));
    let resp = resp.transpose()?.unwrap_or_default();
    let admin = config.admin_listen.as_ref().map(|l| binder.protocol("admin-listen", l, None));
    let admin = admin.transpose()?.unwrap_or_default();
    let rest = |all: &[SocketAddr]| all.get(1..).unwrap_or_default().to_vec();
    let others = Others { kv: rest(&kv.main), resp: rest(&resp.main), admin: rest(&admin.main) };
    let addresses = Addresses {
        kv: kv.main[0],
        resp: resp.main.first().copied(),
        admin: admin.main.first().copied(),
        kv_cores: kv.own,
        resp_cores: resp.own,
        others,
    };
    let mut sockets = kv.sockets;
    for (core, more) in sockets.iter_mut().zip(resp.sockets) {
        core.extend(more);
    }
    Ok(Bound { addresses, cores: sockets, admin: admin.shared })
}

/// The sockets of one protocol.
#[derive(Default)]
struct Protocol {
    /// The main ports; all have the same number.
    main: Vec<SocketAddr>,
    /// The first address of each core's own port.
    own: Vec<SocketAddr>,
    /// Each core's sockets.
    sockets: Vec<CoreListeners>,
    /// Sockets of no core.
    shared: Vec<TcpListener>,
}

/// An address that can't be listened on.
struct Refused {
    cause: ErrorKind,
    error: Error,
}

struct Binder {
    cores: usize,
    /// When what is in use is called so.
    until: Instant,
    is_told: bool,
}

impl Binder {
    /// Binds a protocol; with ports of their own for the cores, so far above the main port, if it is the cores'.
    fn protocol(
        &mut self,
        setting: &str,
        listen: &Listen,
        of_cores: Option<(u16, Speaks)>,
    ) -> Result<Protocol, Error> {
        let mut left = if listen.port() == 0 { ATTEMPTS } else { 1 };
        loop {
            left -= 1;
            match self.all_addresses(setting, listen, of_cores) {
                Ok(protocol) => return Ok(protocol),
                Err(Refused { cause: ErrorKind::AddrInUse, .. }) if left > 0 => {}
                Err(refused) => return Err(refused.error),
            }
        }
    }

    /// An address of a name that this machine doesn't have (::1 where there is no IPv6) is left out, if another is there.
    fn all_addresses(
        &mut self,
        setting: &str,
        listen: &Listen,
        of_cores: Option<(u16, Speaks)>,
    ) -> Result<Protocol, Refused> {
        let mut made = Protocol::default();
        made.sockets.resize_with(self.cores, Vec::new);
        let mut absent = None;
        for &addr in listen.all() {
            match self.one_address(setting, addr, of_cores, &mut made) {
                Err(refused) if is_absent(refused.cause) => absent = Some(refused),
                done => done?,
            }
        }
        match absent {
            Some(refused) if made.main.is_empty() => Err(refused),
            Some(refused) => {
                tracing::warn!("{}; its other addresses are served", refused.error);
                Ok(made)
            }
            None => Ok(made),
        }
    }

    fn one_address(
        &mut self,
        setting: &str,
        mut addr: SocketAddr,
        of_cores: Option<(u16, Speaks)>,
        made: &mut Protocol,
    ) -> Result<(), Refused> {
        let asked = addr.port();
        addr.set_port(made.main.first().map_or(asked, SocketAddr::port));
        let probe = self.listen(addr, asked, false).map_err(|e| busy(setting, addr, &e))?;
        let main = probe.local_addr().map_err(unnamed)?;
        let Some((offset, speaks)) = of_cores else {
            made.main.push(main);
            made.shared.push(probe);
            return Ok(());
        };
        drop(probe);
        let is_first = made.main.is_empty();
        for core in 0..self.cores {
            let socket = self.listen(main, asked, true).map_err(|e| busy(setting, main, &e))?;
            made.sockets[core].push(CoreListener { socket, speaks, own: false });
            let mut own = addr;
            let port = core_port(setting, addr, offset, core).unwrap_or_default();
            own.set_port(if asked == 0 { made.own.get(core).map_or(0, SocketAddr::port) } else { port });
            let what = format!("{setting} {addr}: core {core}'s own port (that port + {offset} + {core})");
            let socket = self.listen(own, asked, false).map_err(|e| busy(&what, own, &e))?;
            if is_first {
                made.own.push(socket.local_addr().map_err(unnamed)?);
            }
            made.sockets[core].push(CoreListener { socket, speaks, own: true });
        }
        made.main.push(main);
        Ok(())
    }

    /// Listens; tries again while a port that was `asked` for is in use.
    fn listen(&mut self, addr: SocketAddr, asked: u16, shared: bool) -> io::Result<TcpListener> {
        loop {
            let error = match listen(addr, shared) {
                Err(error) if error.kind() == ErrorKind::AddrInUse && asked != 0 => error,
                done => return done,
            };
            if Instant::now() >= self.until {
                return Err(error);
            }
            if !std::mem::replace(&mut self.is_told, true) {
                tracing::warn!(
                    "{addr} is in use; trying for {} s, as after a kill the kernel takes a while to free it",
                    IN_USE_MAX.as_secs()
                );
            }
            std::thread::sleep(IN_USE_PAUSE);
        }
    }
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

/// Whether this machine has no such address, or no such kind of addresses (EAFNOSUPPORT, which has no name in std).
fn is_absent(cause: ErrorKind) -> bool {
    cause == ErrorKind::AddrNotAvailable || cause == ErrorKind::Unsupported
}

fn busy(setting: &str, addr: SocketAddr, error: &io::Error) -> Refused {
    const EAFNOSUPPORT: i32 = 97;
    let cause = match error.raw_os_error() {
        Some(EAFNOSUPPORT) => ErrorKind::Unsupported,
        _ => error.kind(),
    };
    let remedy = match cause {
        ErrorKind::AddrInUse => "stop the process that has it or choose another port",
        ErrorKind::PermissionDenied => "choose a port above 1023 or grant CAP_NET_BIND_SERVICE",
        _ => "choose an address of this machine",
    };
    Refused { cause, error: Error::Node(format!("--{setting}: can't listen on {addr}: {error}; {remedy}")) }
}

fn unnamed(error: io::Error) -> Refused {
    let text = format!("a socket has no address: {error}; check the network configuration");
    Refused { cause: error.kind(), error: Error::Node(text) }
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
        let Addresses { kv, resp, kv_cores, resp_cores, .. } = &bound.addresses;
        let all = kv_cores.iter().chain(resp_cores).chain([kv]).chain(resp);
        let mut ports: Vec<u16> = all.map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
        assert!(bound.cores.iter().all(|listeners| listeners.len() == 4));
    }

    #[test]
    fn every_address_of_a_name_has_the_same_ports() {
        let name = Listen::from_all(&["127.0.0.1:0", "127.0.0.2:0"]);
        let config = Config { listen: name.clone(), admin_listen: Some(name), ..config() };
        let Bound { addresses, cores, admin } = bind(&config, 2).unwrap();
        let more = SocketAddr::new("127.0.0.2".parse().unwrap(), addresses.kv.port());
        assert_eq!(addresses.others.kv, [more]);
        assert_eq!(admin.len(), 2);
        let ports = |own: bool| {
            let of_wire = cores[1].iter().filter(move |l| l.speaks == Speaks::Wire && l.own == own);
            of_wire.map(|l| l.socket.local_addr().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ports(false), [addresses.kv, more]);
        let own = addresses.kv_cores[1].port();
        assert!(ports(true).iter().all(|addr| addr.port() == own), "{:?}", ports(true));
        let line = addresses.to_string();
        assert!(line.starts_with(&format!("kv {} and {more}, resp ", addresses.kv)), "{line}");
    }

    #[test]
    fn an_address_that_this_machine_lacks_is_left_out_beside_one_that_it_has() {
        // A documentation network: nobody's.
        let both = Listen::from_all(&["192.0.2.1:0", "127.0.0.1:0"]);
        let bound = bind(&Config { listen: both, ..config() }, 1).unwrap();
        assert!(bound.addresses.kv.ip().is_loopback());
        assert_eq!(bound.addresses.others.kv, []);
        let absent = Listen::from_all(&["192.0.2.1:0"]);
        assert!(bind(&Config { listen: absent, ..config() }, 1).is_err());
    }

    #[test]
    fn a_port_in_use_is_refused_although_it_is_shared() {
        let first = bind(&config(), 2).unwrap();
        let second = Config { listen: first.addresses.kv.into(), ..config() };
        let error = bind_within(&second, 1, Duration::ZERO).err().unwrap().to_string();
        assert!(
            error.contains("--listen: can't listen on") && error.contains("choose another port"),
            "{error}"
        );
    }

    #[test]
    fn a_port_that_comes_free_meanwhile_is_taken() {
        let first = bind(&config(), 1).unwrap();
        let second = Config { listen: first.addresses.kv.into(), ..config() };
        let waiting = std::thread::spawn(move || bind_within(&second, 1, Duration::from_secs(60)).is_ok());
        std::thread::sleep(2 * IN_USE_PAUSE);
        drop(first);
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn a_core_port_in_use_is_told_as_what_it_is() {
        let main = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let Some(port) = main.port().checked_add(KV_CORE_OFFSET) else { return };
        let Ok(_taken) = TcpListener::bind(("127.0.0.1", port)) else { return };
        let config = Config { listen: main.into(), ..config() };
        let error = bind_within(&config, 1, Duration::ZERO).err().unwrap().to_string();
        assert!(error.contains("core 0's own port (that port + 1000 + 0)"), "{error}");
    }
}
