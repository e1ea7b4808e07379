//! The engine for Rust programs, without a server: [`LocalStore`] and [`Store`].
//!
//! A [`LocalStore`] is driven by the thread that owns it: the fastest way, one caller. A [`Store`] is a
//! cloneable handle to a thread that owns one: many callers, whose writes share log commits. Both are
//! used through [`KeyValue`]. Both hold the directory's lock; flushes and merges run on a thread beside.
//!
//! ```
//! use pinion_engine::store::{KeyValue, LocalStore, StoreOptions};
//!
//! # fn main() -> Result<(), pinion_engine::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! let mut store = LocalStore::open(dir.path(), StoreOptions::default())?;
//! store.put(b"user:1", b"Ada")?;
//! assert_eq!(store.get(b"user:1")?.as_deref(), Some(&b"Ada"[..]));
//! assert_eq!(store.increment(b"visits", 2)?, 2);
//! assert!(store.delete(b"user:1")?);
//! # Ok(())
//! # }
//! ```
//!
//! ```
//! use pinion_engine::store::{KeyValue, Store, StoreOptions};
//!
//! # fn main() -> Result<(), pinion_engine::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! let store = Store::open(dir.path(), StoreOptions::default())?;
//! let writers: Vec<_> = (0..4)
//!     .map(|writer: u32| {
//!         let mut store = store.clone();
//!         std::thread::spawn(move || store.put(&writer.to_be_bytes(), b"x").map(drop))
//!     })
//!     .collect();
//! for writer in writers {
//!     writer.join().expect("no writer panics")?;
//! }
//! assert_eq!(store.clone().scan(b"", b"", 10)?.len(), 4);
//! # Ok(())
//! # }
//! ```

mod driver;
mod key_value;
mod local;
mod options;
mod reply;
mod shared;
#[cfg(test)]
mod tests;

pub use crate::clock::TimeJump;
pub use crate::drive::LogSync;
pub use key_value::{KeyValue, delete, put};
pub use local::LocalStore;
pub use options::StoreOptions;
pub use reply::{Item, Reply};
pub use shared::Store;
