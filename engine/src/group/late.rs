//! Writes that were taken in elsewhere before they were ordered here, and so may come late.
//!
//! The entry of such a write says who took it in: an origin, since one of its starts, which numbers what it takes in without gaps. Its
//! operations have one stamp, by which the newest write of a key wins, whatever the order in which writes come:
//! 1. A number that isn't the next of its origin and start was applied before, or comes too early: nothing is done.
//! 2. A stamp at or below the floor comes too late: nothing is done but that the number counts as applied.
//! 3. A stamp above all that the group has applied wins. Else each key is looked up, and loses at an entry of its stamp or above, a
//!    deletion too. All of that is known before the first operation is applied: where blocks have to be read first, a few at a time,
//!    nothing is, and what is known of keys is kept.

use super::Group;
use super::target::{Blocks, LookUps, Newest, Target};
use crate::key::{Entry, Kind, Stamp, Version};
use crate::log::batch::{Batch, BatchOp};
use crate::log::{Record, Taken};
use crate::manifest::OriginState;

/// So many blocks are asked for at once.
const BLOCKS_MAX: usize = 8;

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
        if ops.is_empty() || taken.number == 0 || taken.number > Record::NUMBER_MAX {
            return Err(format!(
                "a write of an origin has number {} and {} operations",
                taken.number,
                ops.len()
            ));
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

/// The stamp of such a write.
pub(super) fn stamp(payload: &[u8]) -> Version {
    Late::parse(payload).map_or(Version(0), |late| late.stamp)
}

/// Applies such a write to its group. Says the highest version of what it left; or which blocks are to be read first, and then nothing
/// is done.
pub(super) fn apply<W>(
    group: &mut Group<W>,
    (origin, payload): (u16, &[u8]),
    target: &mut impl Target,
    known: &mut LookUps,
) -> Result<Result<Version, Blocks>, String> {
    let Late { taken, stamp, ops } = Late::parse(payload)?;
    if taken.number != group.taken_from(origin, taken.start) + 1 {
        return Ok(Ok(Version(0)));
    }
    let mut key = Vec::with_capacity(256);
    if stamp > group.floor && stamp <= group.newest {
        if let Some(needs) = look_up(group, &ops[known.len()..], stamp, target, known) {
            return Ok(Err(needs));
        }
    } else {
        known.resize(ops.len(), stamp > group.floor);
    }
    for (op, _) in ops.iter().zip(&*known).filter(|(_, wins)| **wins) {
        group.prefix(op.keyspace).stored_key(op.key, &mut key);
        let stamp = Stamp::new(stamp, op.kind);
        target.insert(Entry { key: &key, stamp, expiry: op.expiry, value: op.value });
    }
    group.note_taken(OriginState { origin, start: taken.start, sequence: taken.number, stamp });
    Ok(Ok(stamp))
}

/// Looks up the keys of these operations, as far as memory has them. If there is something to read first, the blocks of the next few.
fn look_up<W>(
    group: &Group<W>,
    ops: &[BatchOp<'_>],
    stamp: Version,
    target: &mut impl Target,
    known: &mut LookUps,
) -> Option<Blocks> {
    let (mut needs, mut key) = (Blocks::new(), Vec::with_capacity(256));
    for op in ops {
        group.prefix(op.keyspace).stored_key(op.key, &mut key);
        match target.newest(&key, stamp) {
            // What comes behind a key that waits is only asked for.
            Newest::Below | Newest::AtOrAbove if !needs.is_empty() => {}
            Newest::Below => known.push(true),
            Newest::AtOrAbove => known.push(false),
            Newest::Unread => return Some(needs),
            Newest::Needs(block) if needs.contains(&block) => {}
            Newest::Needs(block) => needs.push(block),
        }
        if needs.len() == BLOCKS_MAX {
            break;
        }
    }
    (!needs.is_empty()).then_some(needs)
}

impl<W> Group<W> {
    /// The number of the last write that is applied of those that an origin took in since a start; 0: none is.
    pub(super) fn taken_from(&self, origin: u16, start: u64) -> u64 {
        let known = self.origins.iter().find(|known| (known.origin, known.start) == (origin, start));
        known.map_or(0, |known| known.sequence)
    }

    fn note_taken(&mut self, taken: OriginState) {
        let is_it = |known: &&mut OriginState| (known.origin, known.start) == (taken.origin, taken.start);
        match self.origins.iter_mut().find(is_it) {
            Some(known) => *known = OriginState { stamp: known.stamp.max(taken.stamp), ..taken },
            None => self.origins.push(taken),
        }
    }
}
