//! The log is read again: a group's entries find their places, and what is committed is applied.
//!
//! A group that orders itself applies each entry as it comes. In one with replicas entries come in the order in which they were
//! logged, which needn't be that of their indexes:
//! 1. An entry deletes what the group has at and behind its index: another leader's entries have taken those places. So does one
//!    that is in tables already: what it deleted may still lie before it.
//! 2. A copy, made so that the segment of the first one could go, deletes nothing. It may come behind entries that follow it:
//!    they wait *ahead* until the gap is filled.
//! 3. A hard state says how far entries were known to be committed. What is committed is applied, unless a block has to be
//!    read for it; the rest waits in the group's queue, as when it was written.

use super::apply::{Applicable, Applied, LookUps, Target, apply, check};
use super::queue::Queued;
use super::recent::Recent;
use super::{Group, Order, SOLO_TERM};
use crate::clock::ClockStamp;
use crate::key::Partition;
use crate::log::{Entry, EntryType, HardState, LogPosition, Record, RecordKind, clock_behind};
use crate::manifest::ManifestState;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the log holds of the groups of a shard beyond what is applied.
#[derive(Debug, Default)]
pub struct Tails {
    groups: BTreeMap<Partition, Tail>,
    /// Partitions that the shard gave up: their records count for nothing.
    left: BTreeSet<Partition>,
    /// The clocks as of the newest record.
    stamp: Option<ClockStamp>,
}

/// What the log holds of one group beyond what is applied.
#[derive(Debug, Default)]
pub struct Tail {
    /// Its newest hard state with its term, and where that lies.
    pub hard: Option<(u64, HardState, LogPosition)>,
    /// The entries that wait in the group's queue, and where they lie.
    pub held: VecDeque<(u64, LogPosition)>,
    /// Entries that come before the one that they follow, and where they lie.
    ahead: BTreeMap<u64, (Entry, LogPosition)>,
    /// Its next entry takes a block that isn't in memory.
    waits: bool,
    /// All that was read, applied or not.
    pub recent: Recent,
    /// The largest partition time of entries since shard time was last read, microseconds.
    time_us: u64,
    /// A partition time, and a shard time that was read behind it: of all, those by which the group is most ahead.
    pub heard: Option<(u64, u64)>,
}

impl Tails {
    /// Before the log is read that begins where a manifest ends.
    pub fn behind(manifest: &ManifestState) -> Tails {
        let left = manifest.groups.values().filter(|group| group.has_left);
        let stamp = manifest.stamp();
        let others = manifest.groups.values().filter(|group| group.conf.is_some() && !group.has_left);
        let heard = |time_us| Some((time_us, stamp?.shard_us));
        Tails {
            groups: others
                .map(|group| (group.partition, Tail { heard: heard(group.clock_us), ..Tail::default() }))
                .collect(),
            left: left.map(|group| group.partition).collect(),
            stamp,
        }
    }

    /// The clocks as of the newest record; `None` if nothing was ever written.
    pub fn stamp(&self) -> Option<ClockStamp> {
        self.stamp
    }

    /// Whether the shard gave a partition up.
    pub fn has_left(&self, partition: Partition) -> bool {
        self.left.contains(&partition)
    }

    /// Whether a record is for its group to take. Others say the time, which is noted, or count for nothing.
    pub fn is_for_group(&mut self, record: &Record<'_>) -> Result<bool, String> {
        if record.kind == RecordKind::Clock {
            self.take_stamp(record)?;
            return Ok(false);
        }
        Ok(!self.has_left(record.group))
    }

    /// Notes when an entry was logged. The time of a group with replicas is its leader's, and none of the shard's.
    pub fn note_time<W>(&mut self, group: &Group<W>, record: &Record<'_>) -> Result<(), String> {
        if group.order() == Order::Solo { self.take_stamp(record) } else { Ok(()) }
    }

    /// A record says the shard's time. That is behind all entries before it, so their groups are at least so far ahead of it. Where it is
    /// the first one of another boot, they stood since the last one before.
    fn take_stamp(&mut self, record: &Record<'_>) -> Result<(), String> {
        let before = self.stamp;
        self.stamp = clock_behind(before, record)?;
        let Some(stamp) = self.stamp else { return Ok(()) };
        for tail in self.groups.values_mut() {
            if let Some(before) = before.filter(|before| before.gap_us(&stamp.now()).is_some())
                && let Some((time_us, shard_us)) = tail.heard
            {
                tail.heard = Some((time_us + before.shard_us.saturating_sub(shard_us), stamp.shard_us));
            }
            tail.hear_shard_time(stamp.shard_us);
        }
        Ok(())
    }

    /// Takes a record of a group, which lies at `at`; records come in the order of the log. Says whether a value that expires was
    /// applied; the error says what is wrong with the record.
    pub fn take<W>(
        &mut self,
        group: &mut Group<W>,
        record: &Record<'_>,
        at: LogPosition,
        target: &mut impl Target,
    ) -> Result<bool, String> {
        self.note_time(group, record)?;
        if record.index.max(record.term) > Record::NUMBER_MAX {
            let (partition, index, term) = (group.id.0, record.index, record.term);
            return Err(format!(
                "partition {partition} has entry {index} of term {term}, which none reaches"
            ));
        }
        if record.origin != 0 && group.order() == Order::Solo {
            let (partition, origin) = (group.id.0, record.origin);
            return Err(format!("partition {partition} orders itself, and has a write of origin {origin}"));
        }
        match record.kind {
            RecordKind::Clock => Ok(false),
            RecordKind::HardState if group.order() == Order::Solo => {
                Err(format!("partition {} orders itself, and has a hard state", group.id.0))
            }
            RecordKind::HardState => self.tail(group).take_hard_state(group, record, at, target),
            RecordKind::Entry(_) if at < group.log_from() => Ok(false),
            RecordKind::Entry(entry) if group.order() == Order::Solo => {
                take_solo(group, record, entry, target)
            }
            RecordKind::Entry(entry) => self.tail(group).take_entry(group, record, entry, at, target),
        }
    }

    /// From where on the log is needed, if it is read up to `end`.
    pub fn needed_from(&self, end: LogPosition) -> LogPosition {
        self.groups.values().flat_map(Tail::positions).fold(end, LogPosition::min)
    }

    /// All is read: each group, and what the log holds of it. The error says what is missing.
    pub fn finish(self) -> Result<BTreeMap<Partition, Tail>, String> {
        self.check_whole().map(|()| self.groups)
    }

    /// Whether every entry that was read has found its place. The error says what is missing.
    pub fn check_whole(&self) -> Result<(), String> {
        let hole = self.groups.iter().find_map(|(id, tail)| Some((id, tail.ahead.keys().next()?)));
        match hole {
            None => Ok(()),
            Some((id, next)) => {
                Err(format!("partition {} goes on with entry {next}, and those before it are missing", id.0))
            }
        }
    }

    fn tail<W>(&mut self, group: &Group<W>) -> &mut Tail {
        self.groups.entry(group.id).or_default()
    }
}

/// Applies an entry of a group that orders itself, unless it is in tables already: it must be what the group goes on with.
fn take_solo<W>(
    group: &mut Group<W>,
    record: &Record<'_>,
    entry: EntryType,
    target: &mut impl Target,
) -> Result<bool, String> {
    if record.index <= group.applied_index() {
        return Ok(false);
    }
    let is_usual = record.term == SOLO_TERM && !record.is_copy;
    if !is_usual || !matches!(entry, EntryType::Normal | EntryType::ConfChange) {
        let (partition, kind, term) = (group.id.0, record.kind.name(), record.term);
        return Err(format!(
            "partition {partition} orders itself, and its log has another's {kind}, of term {term}"
        ));
    }
    record.check_follows(group.applied_index())?;
    group.accept(record.term, record.index).map_err(|error| error.to_string())?;
    group.persist(record.term, record.index);
    let applicable = Applicable { index: record.index, entry, origin: 0, payload: record.payload };
    Ok(apply(group, applicable, target, &mut LookUps::new())? == Applied::Done { expires: true })
}

impl Tail {
    fn positions(&self) -> impl Iterator<Item = LogPosition> {
        let held = self.held.iter().map(|&(_, at)| at);
        held.chain(self.ahead.values().map(|&(_, at)| at)).chain(self.hard.map(|(.., at)| at))
    }

    fn hear_shard_time(&mut self, shard_us: u64) {
        let time_us = std::mem::take(&mut self.time_us);
        let ahead = |(time_us, shard_us): (u64, u64)| time_us as i64 - shard_us as i64;
        if time_us > 0 && self.heard.is_none_or(|heard| ahead(heard) < ahead((time_us, shard_us))) {
            self.heard = Some((time_us, shard_us));
        }
    }

    fn take_hard_state<W>(
        &mut self,
        group: &mut Group<W>,
        record: &Record<'_>,
        at: LogPosition,
        target: &mut impl Target,
    ) -> Result<bool, String> {
        let hard = HardState::parse(record.payload)?;
        match self.hard {
            Some((term, ..)) if term > record.term && record.is_copy => return Ok(false),
            Some((term, ..)) if term > record.term => {
                return Err(format!("a hard state of term {} comes after one of term {term}", record.term));
            }
            _ => {}
        }
        self.hard = Some((record.term, hard, at));
        group.follow(record.term.max(group.order().term()));
        self.apply_committed(group, target)
    }

    fn take_entry<W>(
        &mut self,
        group: &mut Group<W>,
        record: &Record<'_>,
        entry: EntryType,
        at: LogPosition,
        target: &mut impl Target,
    ) -> Result<bool, String> {
        let (term, index) = (record.term, record.index);
        check(entry, record.origin, record.payload)?;
        let payload = Bytes::copy_from_slice(record.payload);
        let new = Entry { term, index, entry, origin: record.origin, payload };
        self.time_us = self.time_us.max(new.time_us().unwrap_or(0));
        self.recent.take(new.clone(), record.is_copy);
        if !record.is_copy {
            self.ahead.split_off(&index);
        }
        if index <= group.applied_index() {
            if !record.is_copy {
                self.cut_behind(group, group.applied_index());
            }
            return Ok(false);
        }
        if term < group.applied_term() {
            // It was deleted before what is in tables came to be, by an entry that is still to come.
            return Ok(false);
        }
        if record.is_copy {
            let is_known = index <= group.appended_index()
                || self.ahead.get(&index).is_some_and(|(known, _)| known.term >= term);
            if is_known {
                return Ok(false);
            }
        }
        if index > group.appended_index() + 1 {
            self.ahead.insert(index, (new, at));
            return Ok(false);
        }
        self.place(group, new, at)?;
        while let Some((next, at)) = self.ahead.remove(&(group.appended_index() + 1)) {
            self.place(group, next, at)?;
        }
        self.apply_committed(group, target)
    }

    /// Gives an entry its place in the group's queue.
    fn place<W>(&mut self, group: &mut Group<W>, entry: Entry, at: LogPosition) -> Result<(), String> {
        let Entry { term, index, .. } = entry;
        group.accept(term, index).map_err(|error| error.to_string())?;
        group.persist(term, index);
        group.hold(Queued::new(entry));
        self.forget_behind(index - 1);
        self.held.push_back((index, at));
        Ok(())
    }

    /// What the group has behind an index was deleted.
    fn cut_behind<W>(&mut self, group: &mut Group<W>, index: u64) {
        drop(group.cut_behind(index));
        self.forget_behind(index);
    }

    fn forget_behind(&mut self, index: u64) {
        while self.held.back().is_some_and(|&(last, _)| last > index) {
            self.held.pop_back();
        }
    }

    /// Applies what is committed, up to an entry that takes a block which isn't in memory: that is for whoever can read it.
    fn apply_committed<W>(&mut self, group: &mut Group<W>, target: &mut impl Target) -> Result<bool, String> {
        group.commit(self.hard.map_or(0, |(_, hard, _)| hard.commit));
        let mut any_expires = false;
        while !self.waits
            && let Some(entry) = group.take_applicable()
        {
            match apply(group, entry.applicable(), target, &mut LookUps::new())? {
                Applied::Done { expires } => any_expires |= expires,
                Applied::Needs(_) => {
                    group.put_back(entry);
                    self.waits = true;
                    break;
                }
            }
            self.held.pop_front();
        }
        Ok(any_expires)
    }
}
