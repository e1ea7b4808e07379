//! Applying log entries to the memtable: a function of the log alone, the same while serving and at recovery.

use super::partition::{Partitions, Place};
use super::sources::Sources;
use crate::key::{Expiry, Keyspace, Kind, RangeTombstone, Version};
use crate::log::batch::Batch;

/// Applies one entry of a partition. Says whether any of its values expires.
pub(super) fn apply_entry(
    partitions: &mut Partitions,
    sources: &mut Sources,
    place: Place,
    index: u64,
    payload: &[u8],
) -> Result<bool, String> {
    let mut newest = Version(0);
    let mut expires = false;
    let mut key = Vec::with_capacity(256);
    for op in Batch::parse(payload)?.ops() {
        let op = op?;
        newest = newest.max(op.version);
        expires |= op.expiry != Expiry::NEVER;
        if op.kind == Kind::RangeTombstone {
            apply_clear(partitions, sources, place, op.keyspace, op.version);
        } else {
            partitions[place].prefix(op.keyspace).stored_key(op.key, &mut key);
            sources.insert(&key, op.version, op.kind, op.expiry, op.value);
        }
    }
    partitions[place].applied(index, newest);
    Ok(expires)
}

/// Applies the deletion of a whole keyspace of a partition.
pub(super) fn apply_clear(
    partitions: &mut Partitions,
    sources: &mut Sources,
    place: Place,
    keyspace: Keyspace,
    version: Version,
) {
    let state = &mut partitions[place];
    let prefix = state.prefix(keyspace);
    state.applied = state.applied.max(version);
    let range = RangeTombstone { start: prefix.to_bytes().to_vec(), end: prefix.end(), version };
    sources.insert_range_tombstone(range);
}
