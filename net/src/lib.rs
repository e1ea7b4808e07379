//! The network side of Pinion: the per-core reactor, the wire protocols and the Rust client.
//!
//! This crate knows nobody: it moves bytes and frames, and leaves what they mean to whoever uses it.
//! [`reactor`] runs a core's sockets, files and wake-ups on one io_uring and calls a [`reactor::Handler`].

pub mod client;
pub mod duration;
pub mod reactor;
pub mod resp;
pub mod slot;
pub mod wire;
