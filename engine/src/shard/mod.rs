//! The shard: one synchronous state machine over log, memtables and tables.

pub mod request;
