//! The only I/O in the engine: what performs the requests that the deciding parts emit.
//!
//! - [`OsDir`] is the blocking directory behind [`crate::dir::Dir`], for opening, repair and inspection.
//! - [`Ring`] performs hot requests for the embedded store on a small io_uring of its own. A node
//!   performs them on its reactor's ring instead, with [`Files`] and [`ReadSpan`].
//! - [`blocking`] performs any request or job at once, over any directory.
//! - [`Background`] is the thread that runs jobs and rare requests, beside the hot thread on its core.
//! - [`StoreFile`] and [`StoreLock`] are what a store's directory has besides its shards.
//! - [`create_file`] and [`create_dir`] make what only its owner may read.
//!
//! `unsafe` is confined to `ring` and `syscalls`.

mod background;
pub mod blocking;
mod clock;
mod device;
mod direct;
mod files;
mod limits;
mod lock;
mod os_dir;
mod owned;
mod place;
mod rare;
mod ring;
mod span;
mod store_file;
mod store_rebuild;
mod store_shards;
mod syscalls;

pub use background::{Background, BackgroundEvent, BackgroundOptions, Opened};
pub use clock::SystemClock;
pub use device::LogSync;
pub use files::{Files, OpenFile};
pub use limits::FILES_PER_SHARD;
pub use lock::{StoreLock, StorePlace};
pub use os_dir::OsDir;
pub use owned::{create_dir, create_file};
pub use place::{follow_link, remove_shard_dir};
pub use rare::is_rare;
pub use ring::{Ring, RingWaker};
pub use span::ReadSpan;
pub use store_file::{SLOT_HASH, STORE_FORMAT, StoreDir, StoreFile, shard_dir};
pub use store_rebuild::{ShardWord, rebuild as rebuild_store_file, shard_words};

/// Allocations of this size and more go back to the system when they are freed, in bytes.
const MAPPED_ALLOCATION: i32 = 128 << 10;

/// Keeps the memory of this process near what its shards account for: large buffers (memtables, pieces of tables) are
/// given back when they are freed, instead of fragmenting the heaps of the threads that made them. For programs whose
/// memory is mostly shards'; call it once, before the first is opened. See docs/decisions/0005.
pub fn return_large_buffers() {
    syscalls::map_allocations_from(MAPPED_ALLOCATION);
}

/// Gives back what is free in the heaps of all threads. Who allocates meanwhile waits for as long as its heap takes: some
/// milliseconds where much is free in small pieces. See docs/decisions/0005.
pub fn return_free_memory() {
    syscalls::trim_heap();
}
