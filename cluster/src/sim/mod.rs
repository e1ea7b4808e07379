//! The simulator: real node code in virtual time, on one thread, from one seed.
//!
//! - [`disk`] performs what a shard asks of its directory, and fails and loses as disks do.
//! - [`client`] plays the programs that use a node: bytes out, bytes in.
//! - [`model`] knows what every answer may be, and says which one was wrong.

pub mod client;
pub mod disk;
pub mod model;
