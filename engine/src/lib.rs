//! Storage of one shard: log, memtable, SSTables, LSM tree, recovery and jobs.
//!
//! The rule that shapes this crate: what decides never does I/O and never asks for the time. The
//! [`shard`] is a synchronous state machine; requests, completions and ticks go in, answers and
//! [`io::IoRequest`]s come out. Flushes and merges are [`job::Job`]s of the same kind. What performs
//! the I/O lives in [`drive`]; the two faces for Rust programs live in [`store`]; what works on the files of
//! stores that aren't open lives in [`offline`].

pub mod aligned;
pub mod clock;
pub mod dir;
pub mod drive;
pub mod due;
pub mod error;
pub mod fields;
pub mod group;
pub mod io;
pub mod job;
pub mod key;
pub mod log;
pub mod manifest;
pub mod memtable;
pub mod offline;
pub mod once;
pub mod placement;
pub mod shard;
pub mod store;
pub mod table;
pub mod tree;

pub use error::Error;
pub use key::{Keyspace, Partition, Version};
