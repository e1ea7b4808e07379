//! The stores that can be driven.
//!
//! Two kinds: those behind a connection are a [`Protocol`], which turns requests into bytes and bytes into answers
//! and does no I/O; those in this process are a [`Local`], which is called.

mod embedded;
mod memcached;
mod null;
mod pinion;
mod resp;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use embedded::EmbeddedOptions;

/// A request for one record, or for several in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Reads a record.
    Read {
        /// Its key.
        key: &'a [u8],
    },
    /// Sets a record.
    Write {
        /// Its key.
        key: &'a [u8],
        /// What it becomes.
        value: &'a [u8],
    },
    /// Reads a page of records.
    Scan {
        /// The first key.
        from: &'a [u8],
        /// Where the page before ended; empty: this is the first.
        cursor: &'a [u8],
        /// How many records are still wanted.
        limit: u64,
    },
}

impl<'a> Request<'a> {
    /// The key that says where it belongs.
    pub fn key(&self) -> &'a [u8] {
        match self {
            Request::Read { key } | Request::Write { key, .. } | Request::Scan { from: key, .. } => key,
        }
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The record.
    Value(&'a [u8]),
    /// There is none.
    NotFound,
    /// Written.
    Done,
    /// A page of a scan.
    Page {
        /// How many records it had.
        rows: usize,
        /// Where to go on.
        cursor: Option<&'a [u8]>,
    },
    /// The store said no.
    Failed(&'a str),
    /// The store doesn't know whether it was written.
    Unknown(&'a str),
}

impl<'a> Outcome<'a> {
    /// What the store said, if it didn't go well.
    pub fn complaint(&self) -> Option<&'a str> {
        match self {
            Outcome::Failed(text) | Outcome::Unknown(text) => Some(text),
            _ => None,
        }
    }
}

/// An answer from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// To which request.
    pub request: u32,
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// Bytes it took.
    pub consumed: usize,
}

/// A protocol in the client's direction; the state of one connection.
pub trait Protocol: Send {
    /// What precedes the first request, on a blocking socket.
    fn greet(&mut self, _stream: &mut TcpStream) -> Result<(), DbError> {
        Ok(())
    }

    /// Appends a request, whose answer will carry its number.
    fn encode(&mut self, request: u32, what: &Request<'_>, out: &mut Vec<u8>);

    /// Reads the answer at the start of `bytes`; `None` if it isn't complete.
    fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Answer<'b>>, DbError>;
}

/// A store in this process; one handle a thread.
pub trait Local: Send {
    /// Performs a request and hands its outcome over.
    fn perform(&mut self, request: &Request<'_>, take: &mut dyn FnMut(Outcome<'_>));

    /// Makes everything durable.
    fn finish(&mut self) -> Result<(), DbError> {
        Ok(())
    }
}

/// A store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// An address that is none.
    #[error("--target {target}: {cause}")]
    Address {
        /// As given.
        target: String,
        /// Why.
        cause: String,
    },
    /// No connection.
    #[error("can't reach {address}: {cause}; is the server running?")]
    Connect {
        /// Whom.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// A connection broke.
    #[error("the connection to {address} broke: {cause}")]
    Lost {
        /// Whose.
        address: SocketAddr,
        /// Why.
        cause: String,
    },
    /// A server stayed away after its connection had broken.
    #[error("the connection to {address} broke ({lost}), and {what} for {seconds} s: {cause}; is the server running?", what = if *is_over { "when the run was over the server had been away" } else { "the server stayed away" })]
    Away {
        /// Who.
        address: SocketAddr,
        /// How the connection broke.
        lost: String,
        /// Why it can't be reached again.
        cause: String,
        /// For how long it was tried.
        seconds: u64,
        /// Whether the run was over then.
        is_over: bool,
    },
    /// The server says that it closes the connection.
    #[error("the server closes the connection: {0}")]
    Closing(String),
    /// Bytes that make no sense.
    #[error("{0}")]
    Protocol(String),
    /// The store in this process.
    #[error("the embedded store: {0}")]
    Embedded(#[from] pinion_engine::Error),
    /// It can't do what the workload wants.
    #[error("{0}")]
    Unsupported(String),
}

/// A store by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Our binary protocol.
    Pinion,
    /// RESP: Pinion, Redis and whatever else speaks it.
    Resp,
    /// memcached's text protocol.
    Memcached,
    /// Our engine in this process.
    Embedded,
    /// Nothing: what the load generator itself costs.
    Null,
}

impl Kind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pinion => "pinion",
            Kind::Resp => "resp",
            Kind::Memcached => "memcached",
            Kind::Embedded => "embedded",
            Kind::Null => "null",
        }
    }

    /// Whether it is called in this process, without a connection.
    pub fn is_local(self) -> bool {
        matches!(self, Kind::Embedded | Kind::Null)
    }

    /// Why it has no ordered scans, if it has none.
    pub fn no_scans(self) -> Option<&'static str> {
        match self {
            Kind::Resp => Some("workloads with scans (E) can't run over RESP: its SCAN isn't ordered by key"),
            Kind::Memcached => Some("workloads with scans (E) can't run on memcached: it has no scans"),
            Kind::Pinion | Kind::Embedded | Kind::Null => None,
        }
    }

    /// Where it listens unless told otherwise.
    pub fn default_target(self) -> &'static str {
        match self {
            Kind::Resp => "127.0.0.1:7379",
            Kind::Memcached => "127.0.0.1:11211",
            Kind::Pinion | Kind::Embedded | Kind::Null => "127.0.0.1:7400",
        }
    }
}

/// Where the connections of a store lead.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The addresses that a connection is made of.
    pub addresses: Vec<SocketAddr>,
    /// Which of them serves each slot; empty: connections take turns and each has one address.
    pub by_slot: Arc<[u16]>,
}

/// A store that was found.
pub enum Database {
    /// Behind connections.
    Remote {
        /// Where.
        routes: Routes,
        /// Makes the state of one connection.
        protocol: fn() -> Box<dyn Protocol>,
    },
    /// In this process: a handle for each thread.
    Local(Vec<Box<dyn Local>>),
}

/// What is needed to find a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which.
    pub kind: Kind,
    /// Where; empty: its default.
    pub targets: Vec<String>,
    /// Whether requests go straight to the core that has the key, where the protocol knows it.
    pub is_direct: bool,
    /// Threads that will use it.
    pub threads: usize,
    /// For [`Kind::Embedded`].
    pub embedded: EmbeddedOptions,
    /// Bytes of a record, for [`Kind::Null`] to answer.
    pub null_record: Vec<u8>,
}

impl Database {
    /// Finds a store; says what is wrong if it isn't there.
    pub fn find(options: &Options) -> Result<Database, DbError> {
        let anywhere = || -> Result<Routes, DbError> {
            Ok(Routes { addresses: resolve(&options.targets, options.kind)?, by_slot: Arc::new([]) })
        };
        Ok(match options.kind {
            Kind::Null => Database::Local(null::handles(options.threads, &options.null_record)),
            Kind::Embedded => Database::Local(embedded::handles(options.threads, &options.embedded)?),
            Kind::Resp => {
                let routes =
                    if options.is_direct { resp::direct(&anywhere()?.addresses)? } else { anywhere()? };
                Database::Remote { routes, protocol: resp::connection }
            }
            Kind::Pinion => {
                let routes =
                    if options.is_direct { pinion::direct(&anywhere()?.addresses)? } else { anywhere()? };
                Database::Remote { routes, protocol: pinion::connection }
            }
            Kind::Memcached => Database::Remote { routes: anywhere()?, protocol: memcached::connection },
        })
    }
}

/// Removes every record of the Pinion at `address`.
pub fn clear(address: SocketAddr) -> Result<(), DbError> {
    pinion::clear(address)
}

fn resolve(targets: &[String], kind: Kind) -> Result<Vec<SocketAddr>, DbError> {
    let default = [kind.default_target().to_owned()];
    let targets: &[String] = if targets.is_empty() { &default } else { targets };
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
fn ask<T>(
    stream: &mut TcpStream,
    request: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<Option<T>, DbError>,
) -> Result<T, DbError> {
    use std::io::{Read, Write};
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

/// Where embedded data lies unless told otherwise.
pub fn default_dir() -> PathBuf {
    PathBuf::from("kvbench-data")
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
