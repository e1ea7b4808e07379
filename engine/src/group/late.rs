//! Writes that were taken in elsewhere before they were ordered here, and so may come late.
//!
//! The entry of such a write says who took it in: an origin, since one of its starts, which numbers what it takes in without gaps. Its
//! operations have one stamp, by which the newest write of a key wins, whatever the order in which writes come:
//! 1. A number that isn't the next of its origin and start was applied before, or comes too early: nothing is done.
//! 2. A stamp at or below the floor comes too late: nothing is done but that the number counts as applied.
//! 3. A stamp above all that the group has applied wins. Else each key is looked up, and loses at an entry of its stamp or above, a
//!    deletion too. All of that is known before the first operation is applied: where a block has to be read first, nothing is.

use super::Group;
use super::target::{Blocks, Newest, Target};
use crate::key::{Entry, Kind, Stamp, Version};
use crate::log::Taken;
use crate::log::batch::{Batch, BatchOp};
use crate::manifest::OriginState;
use smallvec::SmallVec;

/// A write that may come late.
struct Late<'a> {
    taken: Taken,
    stamp: Version,
    ops: Vec<BatchOp<'a>>,
}

impl<'a> Late<'a> {
    fn parse(payload: &'a [u8]) -> Result<Late<'a>, String> {
        let (taken, batch) = Taken::split(payload)?;
        let batch = Batch::parse(batch)?;
        if batch.section()?.is_some() {
            return Err("a write of an origin has requests that are to be done once".to_owned());
        }
        let ops = batch.ops().collect::<Result<Vec<_>, _>>()?;
        let stamp = ops.first().map_or(Version(0), |op| op.version);
        if ops.iter().any(|op| op.version != stamp) {
            return Err("a write of an origin has several stamps".to_owned());
        }
        if ops.iter().any(|op| op.kind == Kind::RangeTombstone) {
            return Err("a write of an origin deletes a range".to_owned());
        }
        if stamp >= Version::MAX {
            return Err(format!("a write of an origin has stamp {}, which none reaches", stamp.0));
        }
        Ok(Late { taken, stamp, ops })
    }
}

/// Whether an entry's content is such a write.
pub(super) fn check(payload: &[u8]) -> Result<(), String> {
    Late::parse(payload).map(drop)
}

/// Applies such a write to its group. Says the highest version of what it left; or which blocks are to be read first, and then nothing
/// is done.
pub(super) fn apply<W>(
    group: &mut Group<W>,
    origin: u16,
    payload: &[u8],
    target: &mut impl Target,
) -> Result<Result<Version, Blocks>, String> {
    let Late { taken, stamp, ops } = Late::parse(payload)?;
    if taken.number != group.taken_from(origin, taken.start) + 1 {
        return Ok(Ok(Version(0)));
    }
    let mut key = Vec::with_capacity(256);
    let mut wins: SmallVec<[bool; 8]> = SmallVec::from_elem(stamp > group.floor, ops.len());
    if stamp > group.floor && stamp <= group.newest {
        let (mut needs, mut is_unread) = (Blocks::new(), false);
        for (wins, op) in wins.iter_mut().zip(&ops) {
            group.prefix(op.keyspace).stored_key(op.key, &mut key);
            match target.newest(&key, stamp) {
                Newest::Below => {}
                Newest::AtOrAbove => *wins = false,
                Newest::Needs(block) if needs.contains(&block) => {}
                Newest::Needs(block) => needs.push(block),
                Newest::Unread => is_unread = true,
            }
        }
        if is_unread || !needs.is_empty() {
            return Ok(Err(needs));
        }
    }
    for (op, _) in ops.iter().zip(wins).filter(|(_, wins)| *wins) {
        group.prefix(op.keyspace).stored_key(op.key, &mut key);
        let stamp = Stamp::new(stamp, op.kind);
        target.insert(Entry { key: &key, stamp, expiry: op.expiry, value: op.value });
    }
    group.note_taken(OriginState { origin, start: taken.start, sequence: taken.number, stamp });
    Ok(Ok(stamp))
}
