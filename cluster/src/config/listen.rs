//! Where to listen: `HOST:PORT`, and all addresses that the host has.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// The addresses of one listener, all with one port; the first is the one it is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(Vec<SocketAddr>);

impl From<SocketAddr> for Listen {
    fn from(addr: SocketAddr) -> Listen {
        Listen(vec![addr])
    }
}

impl Listen {
    /// Reads `HOST:PORT`. A name such as `localhost` may have several addresses.
    pub fn parse(text: &str) -> Result<Listen, String> {
        let example = "write HOST:PORT, such as 127.0.0.1:7400";
        let found = text.to_socket_addrs().map_err(|e| format!("{text:?} is no address ({e}); {example}"))?;
        let mut all: Vec<SocketAddr> = Vec::new();
        for addr in found {
            if !all.contains(&addr) {
                all.push(addr);
            }
        }
        match all.is_empty() {
            true => Err(format!("{text:?} has no address; {example}")),
            false => Ok(Listen(all)),
        }
    }

    /// Reads `HOST:PORT` or `off`.
    pub fn parse_or_off(text: &str) -> Result<Option<Listen>, String> {
        if text == "off" { Ok(None) } else { Listen::parse(text).map(Some) }
    }

    #[cfg(test)]
    pub(crate) fn from_all(all: &[&str]) -> Listen {
        Listen(all.iter().map(|addr| addr.parse().expect("an address")).collect())
    }

    /// The address that it is known by.
    pub fn first(&self) -> SocketAddr {
        self.0[0]
    }

    /// All addresses.
    pub fn all(&self) -> &[SocketAddr] {
        &self.0
    }

    /// The port; 0 lets the system choose one.
    pub fn port(&self) -> u16 {
        self.first().port()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_all(f, &self.0)
    }
}

/// Writes addresses for people.
pub fn write_all(f: &mut impl fmt::Write, all: &[SocketAddr]) -> fmt::Result {
    for (index, addr) in all.iter().enumerate() {
        let between = if index == 0 { "" } else { " and " };
        write!(f, "{between}{addr}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_as_it_is() {
        for text in ["127.0.0.1:7400", "[::1]:0", "0.0.0.0:1"] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Listen::parse_or_off("off"), Ok(None));
        assert!(Listen::parse("7400").is_err_and(|e| e.contains("HOST:PORT")));
    }

    #[test]
    fn every_address_of_a_name_counts_once() {
        let both = Listen(vec!["127.0.0.1:5".parse().unwrap(), "[::1]:5".parse().unwrap()]);
        assert_eq!(both.to_string(), "127.0.0.1:5 and [::1]:5");
        let local = Listen::parse("localhost:5").unwrap();
        assert!(local.all().iter().all(|addr| addr.ip().is_loopback() && addr.port() == 5));
    }
}
