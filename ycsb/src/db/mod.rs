//! The stores that can be driven.
//!
//! Two kinds: those behind a connection are a [`Protocol`], which turns requests into bytes and bytes into answers
//! and does no I/O; those in this process are a [`Local`], which is called.

mod connect;
mod embedded;
mod error;
mod local;
mod memcached;
mod null;
mod pinion;
mod protocol;
mod request;
mod resp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use connect::{Routes, connect, connect_within};
pub use embedded::EmbeddedOptions;
pub use error::DbError;
pub use local::Local;
pub use protocol::{Answer, Protocol};
pub use request::{Outcome, Request};

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
            let default = [options.kind.default_target().to_owned()];
            let targets = if options.targets.is_empty() { &default } else { options.targets.as_slice() };
            Ok(Routes { addresses: connect::resolve(targets)?, by_slot: Arc::new([]) })
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

/// Where embedded data lies unless told otherwise.
pub fn default_dir() -> PathBuf {
    PathBuf::from("kvbench-data")
}
