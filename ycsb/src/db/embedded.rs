//! Pinion's engine in this process: a `LocalStore` for one thread, a `Store` shared by several.

use std::path::PathBuf;

use pinion_engine::shard::Durability;
use pinion_engine::shard::request::{Op, Scan};
use pinion_engine::store::{KeyValue, LocalStore, Reply, Store, StoreOptions};

use super::error::DbError;
use super::local::Local;
use super::request::{Outcome, Request};

/// How the embedded store is opened.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// Where its data lies.
    pub dir: PathBuf,
    /// When writes are done.
    pub durability: Durability,
    /// Memory for everything it holds, bytes.
    pub memory_bytes: usize,
}

/// A page of a scan has at most so many bytes.
const PAGE_BYTES: usize = 1 << 20;

struct One(Option<LocalStore>);

struct Shared(Option<Store>);

pub(super) fn handles(threads: usize, options: &EmbeddedOptions) -> Result<Vec<Box<dyn Local>>, DbError> {
    let EmbeddedOptions { dir, durability, memory_bytes } = options;
    let options =
        StoreOptions { durability: *durability, memory_bytes: *memory_bytes, ..StoreOptions::default() };
    if threads == 1 {
        return Ok(vec![Box::new(One(Some(LocalStore::open(dir, options)?)))]);
    }
    let store = Store::open(dir, options)?;
    Ok((0..threads).map(|_| Box::new(Shared(Some(store.clone()))) as Box<dyn Local>).collect())
}

fn closed(take: &mut dyn FnMut(Outcome<'_>)) {
    take(Outcome::Failed("the store is closed"));
}

impl Local for One {
    fn perform(&mut self, request: &Request<'_>, take: &mut dyn FnMut(Outcome<'_>)) {
        let Some(store) = &mut self.0 else { return closed(take) };
        let Request::Read { key } = request else { return perform(store, request, take) };
        let found = store.get_with(key, |value| match value {
            Some(value) => take(Outcome::Value(value)),
            None => take(Outcome::NotFound),
        });
        if let Err(error) = found {
            take(Outcome::Failed(&error.to_string()));
        }
    }

    fn finish(&mut self) -> Result<(), DbError> {
        self.0.take().map_or(Ok(()), |store| Ok(store.close()?))
    }
}

impl Local for Shared {
    fn perform(&mut self, request: &Request<'_>, take: &mut dyn FnMut(Outcome<'_>)) {
        match &mut self.0 {
            Some(store) => perform(store, request, take),
            None => closed(take),
        }
    }

    fn finish(&mut self) -> Result<(), DbError> {
        self.0.take().map_or(Ok(()), |store| Ok(store.close()?))
    }
}

fn perform(store: &mut impl KeyValue, request: &Request<'_>, take: &mut dyn FnMut(Outcome<'_>)) {
    let reply = match *request {
        Request::Read { key } => store.call(Op::Get { key }),
        Request::Write { key, value } => {
            return match store.put(key, value) {
                Ok(_) => take(Outcome::Done),
                Err(error) => take(Outcome::Failed(&error.to_string())),
            };
        }
        Request::Scan { from, cursor, limit } => {
            let from = if cursor.is_empty() { from } else { cursor };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            store.call(Op::Scan(Scan { from, to: b"", limit, limit_bytes: PAGE_BYTES, keys_only: false }))
        }
    };
    answer(reply, take);
}

fn answer(reply: Result<Reply, pinion_engine::Error>, take: &mut dyn FnMut(Outcome<'_>)) {
    match reply {
        Ok(Reply::Value(item)) => take(Outcome::Value(&item.value)),
        Ok(Reply::NotFound) => take(Outcome::NotFound),
        Ok(Reply::Page(items, next)) => take(Outcome::Page { rows: items.len(), cursor: next.as_deref() }),
        Ok(Reply::Failed(error)) | Err(error) => take(Outcome::Failed(&error.to_string())),
        Ok(_) => take(Outcome::Failed("an answer that fits no request")),
    }
}
