//! Why a store can't be used.

use std::net::SocketAddr;

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
