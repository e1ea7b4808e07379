//! The store in a program, without a server: the second program of `docs/client.md`.
//!
//! `cargo run -p pinion-engine --example embedded` leaves a store in `./data`.

use pinion_engine::shard::request::PutExpiry;
use pinion_engine::store::{KeyValue, LocalStore, StoreOptions, put};

fn main() -> Result<(), pinion_engine::Error> {
    let options = StoreOptions { memory_bytes: 64 << 20, ..StoreOptions::default() };
    let mut store = LocalStore::open("data", options)?;
    store.put(b"user:1", b"Ada")?;
    assert_eq!(store.get(b"user:1")?.as_deref(), Some(&b"Ada"[..]));
    // Together or not at all.
    store.write(&[(b"a", put(b"1", PutExpiry::Never)), (b"b", put(b"2", PutExpiry::Never))])?;
    for item in store.scan(b"a", b"", 100)? {
        println!("{} = {}", item.key.escape_ascii(), item.value.escape_ascii());
    }
    store.close()
}
