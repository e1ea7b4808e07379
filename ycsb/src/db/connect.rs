//! Where connections lead, and making them; and what is asked before a run, on sockets that block.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use super::error::DbError;

/// Where the connections of a store lead.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The addresses that a connection is made of.
    pub addresses: Vec<SocketAddr>,
    /// Which of them serves each slot; empty: connections take turns and each has one address.
    pub by_slot: Arc<[u16]>,
}

/// The addresses that targets stand for, one each.
pub(super) fn resolve(targets: &[String]) -> Result<Vec<SocketAddr>, DbError> {
    let mut addresses = Vec::new();
    for target in targets {
        let wrong = |cause: String| DbError::Address { target: target.clone(), cause };
        let found = target.to_socket_addrs().map_err(|cause| wrong(cause.to_string()))?;
        addresses.push(first_served(found.collect()).ok_or_else(|| wrong("no such host".into()))?);
    }
    Ok(addresses)
}

/// Of the addresses that a name has, the first where somebody listens; if there is none, the first.
fn first_served(found: Vec<SocketAddr>) -> Option<SocketAddr> {
    let is_served = |address: &&SocketAddr| TcpStream::connect_timeout(address, CONNECT_MAX).is_ok();
    match found.as_slice() {
        [] | [_] => found.first().copied(),
        several => several.iter().find(is_served).or(several.first()).copied(),
    }
}

/// How long a server has to accept a connection, and to answer each part of a greeting.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A blocking connection, whose reads don't block forever.
pub fn connect(address: SocketAddr) -> Result<TcpStream, DbError> {
    connect_within(address, CONNECT_MAX)
}

/// A blocking connection that is made, and whose reads each end, within this time.
pub fn connect_within(address: SocketAddr, limit: Duration) -> Result<TcpStream, DbError> {
    let failed = |cause| DbError::Connect { address, cause };
    let stream = TcpStream::connect_timeout(&address, limit).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(limit)).map_err(failed)?;
    Ok(stream)
}

/// Exchanges one request and its answer on a blocking connection: `parse` is shown the bytes that have come until
/// it finds something.
pub(super) fn ask<T>(
    stream: &mut TcpStream,
    request: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<Option<T>, DbError>,
) -> Result<T, DbError> {
    let lost = |stream: &TcpStream, cause: String| match stream.peer_addr() {
        Ok(address) => DbError::Lost { address, cause },
        Err(_) => DbError::Protocol(cause),
    };
    stream.write_all(request).map_err(|error| lost(stream, error.to_string()))?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(lost(stream, "closed by the server".into())),
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => return Err(lost(stream, error.to_string())),
        }
        if let Some(found) = parse(&bytes)? {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn of_a_names_addresses_the_first_is_taken_that_is_served() {
        let served = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = served.local_addr().unwrap();
        let nobody = SocketAddr::new("127.0.0.2".parse().unwrap(), address.port());
        assert_eq!(first_served(vec![nobody, address]), Some(address));
        drop(served);
        assert_eq!(first_served(vec![nobody, address]), Some(nobody), "for the message");
        assert_eq!(first_served(vec![]), None);
    }
}
