//! Applying a committed entry: the one code for it, of the serving shard, its recovery and the offline tools.
//!
//! What it does is a function of the log alone. It is told nothing but the entry: a value is put where the entry says, with the
//! version and expiry it says, and a range is deleted within the bounds it says. A write that comes [`late`] is held against what is
//! there; where that takes a block which isn't in memory, nothing of the entry is done, and it is applied again once the block is.

use super::{Group, late};
use crate::clock::CLOCK_US_MAX;

pub use super::target::{Applicable, Applied, Blocks, LookUps, Newest, Target};
use crate::fields::Malformed;
use crate::key::{Entry, Expiry, Kind, Prefix, RangeTombstone, Stamp, Version};
use crate::log::EntryType;
use crate::log::batch::{Batch, BatchOp};
use crate::manifest::ConfState;
use crate::memtable::Memtable;
use crate::once::Section;

impl Target for Memtable {
    fn insert(&mut self, entry: Entry<'_>) {
        Memtable::insert(self, entry);
    }

    fn insert_range_tombstone(&mut self, range: RangeTombstone) {
        Memtable::insert_range_tombstone(self, range);
    }

    fn newest(&mut self, key: &[u8], version: Version) -> Newest {
        let found = self.get(key, Version::MAX);
        let is_deleted = |range: &RangeTombstone| range.version >= version && range.holds(key);
        let is_there = found.is_some_and(|entry| entry.stamp.version() >= version)
            || self.range_tombstones().iter().any(is_deleted);
        if is_there { Newest::AtOrAbove } else { Newest::Below }
    }
}

/// Applies an entry, which is the group's next and of which this is known, or says what it takes first. The error says what is wrong with the entry; some of it may
/// be applied then.
pub fn apply<W>(
    group: &mut Group<W>,
    Applicable { index, entry, origin, payload }: Applicable<'_>,
    target: &mut impl Target,
    known: &mut LookUps,
) -> Result<Applied, String> {
    let mut written = Written::default();
    match entry {
        EntryType::Normal if origin != 0 => match late::apply(group, (origin, payload), target, known)? {
            Ok(newest) => written = Written { newest, expires: true },
            Err(blocks) => return Ok(Applied::Needs(blocks)),
        },
        _ if origin != 0 => return Err(format!("origin {origin} has taken in what is no write")),
        EntryType::Normal => written = apply_writes(group, Batch::parse(payload)?, target)?,
        EntryType::NoOp => {}
        EntryType::ConfChange => {
            group.change_conf(ConfState::parse(payload).map_err(|error| error.to_string())?)
        }
        EntryType::Tick => group.pass(Batch::parse(payload)?.clock_us()),
        EntryType::Floor => group.raise_floor(floor_of(payload)?),
    }
    group.applied(index, written.newest);
    Ok(Applied::Done { expires: written.expires })
}

/// Whether an entry's content is what its type says, so that it can be applied; the error says what is wrong.
pub fn check(entry: EntryType, origin: u16, payload: &[u8]) -> Result<(), String> {
    match entry {
        EntryType::Normal if origin != 0 => late::check(payload),
        _ if origin != 0 => Err(format!("origin {origin} has taken in what is no write")),
        EntryType::Normal => check_writes(Batch::parse(payload)?),
        EntryType::NoOp => Ok(()),
        EntryType::ConfChange => ConfState::parse(payload).map(drop).map_err(|error| error.to_string()),
        EntryType::Tick => match Batch::parse(payload)? {
            batch if batch.is_empty() && batch.section()?.is_none() => check_time(&batch),
            _ => Err("a tick has operations".to_owned()),
        },
        EntryType::Floor => floor_of(payload).map(drop),
    }
}

/// The highest version that an entry writes, which was checked.
pub(super) fn newest(entry: Applicable<'_>) -> Version {
    match entry.entry {
        EntryType::Normal if entry.origin != 0 => late::stamp(entry.payload),
        EntryType::Normal => {
            let ops = Batch::parse(entry.payload).into_iter().flat_map(|batch| batch.ops().flatten());
            ops.map(|op| op.version).max().unwrap_or_default()
        }
        _ => Version(0),
    }
}

fn check_version(version: Version) -> Result<(), String> {
    if version < Version::MAX {
        Ok(())
    } else {
        Err(format!("an operation has version {}, which none reaches", version.0))
    }
}

fn check_time(batch: &Batch<'_>) -> Result<(), String> {
    match batch.clock_us() {
        us if us <= CLOCK_US_MAX => Ok(()),
        us => Err(format!("an entry of partition time {us}, which none reaches")),
    }
}

fn check_writes(batch: Batch<'_>) -> Result<(), String> {
    check_time(&batch)?;
    let mut ops = batch.ops();
    ops.try_for_each(|op| check_version(op?.version))?;
    let Some(mut section) = ops.section()? else { return Ok(()) };
    section.try_for_each(|row| row.map(drop)).map_err(|error| error.to_string())
}

fn floor_of(payload: &[u8]) -> Result<Version, String> {
    let bytes = payload.try_into().map_err(|_| format!("a floor has {} bytes, not 8", payload.len()))?;
    let floor = Version(u64::from_le_bytes(bytes));
    if floor < Version::MAX {
        Ok(floor)
    } else {
        Err(format!("a floor at version {}, which none reaches", floor.0))
    }
}

/// What a batch came to.
#[derive(Default)]
struct Written {
    newest: Version,
    expires: bool,
}

fn apply_writes<W>(
    group: &mut Group<W>,
    batch: Batch<'_>,
    target: &mut impl Target,
) -> Result<Written, String> {
    let mut written = Written::default();
    let mut key = Vec::with_capacity(256);
    group.pass(batch.clock_us());
    let mut ops = batch.ops();
    for op in ops.by_ref() {
        let op = op?;
        check_version(op.version)?;
        written.newest = written.newest.max(op.version);
        written.expires |= op.expiry != Expiry::NEVER;
        let prefix = group.prefix(op.keyspace);
        if op.kind == Kind::RangeTombstone {
            target.insert_range_tombstone(range_of(prefix, &op));
            continue;
        }
        prefix.stored_key(op.key, &mut key);
        let stamp = Stamp::new(op.version, op.kind);
        target.insert(Entry { key: &key, stamp, expiry: op.expiry, value: op.value });
    }
    if let Some(section) = ops.section()? {
        remember(group, section).map_err(|error| error.to_string())?;
    }
    Ok(written)
}

/// Remembers what requests came to that are to be done once, and forgets what is too old.
fn remember<W>(group: &mut Group<W>, section: Section<'_>) -> Result<(), Malformed> {
    let (table, floor_us) = (group.once_mut(), section.floor_us);
    for row in section {
        let row = row?;
        table.note(&row.once, row.answer);
    }
    table.raise_floor(floor_us);
    Ok(())
}

/// The stored keys that a deletion of a range is about: from its key to its value, which is empty for the end of the keyspace.
pub fn range_of(prefix: Prefix, op: &BatchOp<'_>) -> RangeTombstone {
    let stored = |key: &[u8]| [&prefix.to_bytes(), key].concat();
    let end = if op.value.is_empty() { prefix.end() } else { stored(op.value) };
    RangeTombstone { start: stored(op.key), end, version: op.version }
}
