//! Applying a committed entry: the one code for it, of the serving shard, its recovery and the offline tools.
//!
//! What it does is a function of the log alone. It is told nothing but the entry: a value is put where the entry says, with the
//! version and expiry it says, and a range is deleted within the bounds it says.

use super::Group;
use crate::key::{Entry, Expiry, Kind, Prefix, RangeTombstone, Stamp, Version};
use crate::log::Record;
use crate::log::batch::{Batch, BatchOp};
use crate::memtable::Memtable;

/// What applied entries go to.
pub trait Target {
    /// Takes a value or a tombstone, under its stored key.
    fn insert(&mut self, entry: Entry<'_>);
    /// Takes a deletion of all stored keys of a range.
    fn insert_range_tombstone(&mut self, range: RangeTombstone);
}

impl Target for Memtable {
    fn insert(&mut self, entry: Entry<'_>) {
        Memtable::insert(self, entry);
    }

    fn insert_range_tombstone(&mut self, range: RangeTombstone) {
        Memtable::insert_range_tombstone(self, range);
    }
}

/// Applies the entry at `index`, which is the group's next. Says whether any of its values expires. The error says what is wrong with the
/// entry; some of it may be applied then.
pub fn apply<W>(
    group: &mut Group<W>,
    index: u64,
    payload: &[u8],
    target: &mut impl Target,
) -> Result<bool, String> {
    let mut newest = Version(0);
    let mut expires = false;
    let mut key = Vec::with_capacity(256);
    for op in Batch::parse(payload)?.ops() {
        let op = op?;
        newest = newest.max(op.version);
        expires |= op.expiry != Expiry::NEVER;
        let prefix = group.prefix(op.keyspace);
        if op.kind == Kind::RangeTombstone {
            target.insert_range_tombstone(range_of(prefix, &op));
            continue;
        }
        prefix.stored_key(op.key, &mut key);
        let stamp = Stamp::new(op.version, op.kind);
        target.insert(Entry { key: &key, stamp, expiry: op.expiry, value: op.value });
    }
    group.applied(index, newest);
    Ok(expires)
}

/// Applies an entry that is read from the log again, unless it is in tables already: it must be what its group goes on with.
pub fn replay_entry<W>(
    group: &mut Group<W>,
    record: &Record<'_>,
    target: &mut impl Target,
) -> Result<bool, String> {
    if record.index <= group.applied_index() {
        return Ok(false);
    }
    record.check_follows(group.applied_index())?;
    group.accept(record.term, record.index).map_err(|error| error.to_string())?;
    group.persist(record.term, record.index);
    apply(group, record.index, record.payload, target)
}

/// The stored keys that a deletion of a range is about: from its key to its value, which is empty for the end of the keyspace.
pub fn range_of(prefix: Prefix, op: &BatchOp<'_>) -> RangeTombstone {
    let stored = |key: &[u8]| [&prefix.to_bytes(), key].concat();
    let end = if op.value.is_empty() { prefix.end() } else { stored(op.value) };
    RangeTombstone { start: stored(op.key), end, version: op.version }
}
