//! A shard's files without a running shard: read whole ([`Contents`], in storage order by [`Merge`]), written new
//! ([`TableSink`]), and a store's shards remade ([`reshard()`]). For the tools, over any directory.
//!
//! Plain blocking calls, for stores that nobody has open. Memory: what one log holds beyond its tables, and of all tables
//! the properties and range tombstones.

mod contents;
mod merge;
mod reshard;
mod sink;
mod time;

pub use contents::{Contents, TableInfo, Unflushed};
pub use merge::Merge;
pub use reshard::{Disk, OsDisk, ReshardReport, Watch, reshard};
pub use sink::TableSink;
pub use time::ShardTime;
