//! SSTables: immutable, sorted, checksummed files of entries (docs/formats/sstable.md).
//!
//! A table is blocks of about 4 KiB, an index over them, a bloom filter over its keys, and its properties. A
//! point read asks the filter (one cache line), searches the index (numbers in place), and finds the entry by
//! the block's hash tags; in a resident, uncompressed table the value it returns is a slice of that table's memory:
//! no allocation, no copy, no checksum. Checksums are verified when bytes enter memory: index, filter and
//! properties at open, the whole file when the table becomes resident, any other block when it is decoded. What was
//! verified is memory of the process, which nobody reads from the device again: damage that comes later can't get
//! into it.
//!
//! A table is *resident* (all of its file in memory) or *paged* (index and filter in memory, blocks through the
//! [`BlockCache`]). It does no I/O but in [`Table::open`]: a block that isn't there is
//! [`Lookup::NeedsRead`], and whoever drives the shard reads it, decodes it, and asks again.

mod block;
mod block_builder;
mod block_cursor;
mod builder;
mod cache;
mod checksum;
mod filter;
mod footer;
mod found;
mod index;
mod meta;
mod open;
mod parts;
mod reader;
mod salvage;
mod stored;
mod verify;

#[cfg(test)]
mod corruption_test;
#[cfg(test)]
mod table_test;
#[cfg(test)]
mod test_dir;

pub use block::Block;
pub use block_cursor::BlockCursor;
pub use builder::{FinishedTable, TableBuilder};
pub use cache::BlockCache;
pub use filter::{Filter, key_hash};
pub use found::{BlockRef, Found, Lookup};
pub use meta::{Compression, TableMeta};
pub use parts::TablePart;
pub(crate) use reader::Probe;
pub use reader::Table;
pub use salvage::{Salvage, salvage};
pub use verify::{Verifier, VerifyReport};
