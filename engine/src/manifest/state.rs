//! What a manifest says, and how edits change it.

use super::group_state::GroupState;
use crate::clock::ClockStamp;
use crate::io::FileName;
use crate::key::Partition;
use crate::log::position::{Extent, LogPosition, Reached};
use std::collections::BTreeMap;

/// A table of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// Its file's number.
    pub number: u64,
    /// Its level.
    pub level: u8,
    /// Its file's length in bytes.
    pub file_bytes: u64,
}

/// Which shard of which store it is: from the shards' word `STORE` can be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The shard's number.
    pub shard: u32,
    /// How many shards the store has.
    pub shards: u32,
    /// How many partitions.
    pub partitions: u32,
    /// The layout that the shard belongs to.
    pub layout: u32,
}

/// A change that takes place at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Tables that join, after `removed` left: a table in both moves to another level.
    pub added: Vec<TableEntry>,
    /// Numbers of tables that leave.
    pub removed: Vec<u64>,
    /// Groups, each replacing what was known of its partition.
    pub groups: Vec<GroupState>,
    /// Where replay starts from now on; must be durable in the log ([`crate::log::Log::end`] is, once
    /// written with `sync`, and otherwise its segment is, which is enough).
    pub log_start: Option<LogPosition>,
    /// A segment that the log has begun; its header must be durable.
    pub log_reached: Option<Reached>,
    /// The number for the next table file.
    pub next_file: Option<u64>,
    /// Which shard of which store it is.
    pub membership: Option<Membership>,
    /// The clocks as of [`Edit::groups`]: the log before its start, which goes, may have been the last that knew.
    pub clock: Option<ClockStamp>,
}

/// All that a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestState {
    /// Tables by number.
    pub tables: BTreeMap<u64, TableEntry>,
    /// Groups by partition.
    pub groups: BTreeMap<Partition, GroupState>,
    /// Where replay of the log starts.
    pub log_start: LogPosition,
    /// The newest segment of the log that it heard of.
    pub log_reached: Reached,
    /// The number for the next table file: above every number in use.
    pub next_file: u64,
    /// Which shard of which store it is; `None` until it is told.
    pub membership: Option<Membership>,
    /// The clocks when the tables' groups were as they say; `None` if an older build wrote it, or nothing was written.
    pub clock: Option<ClockStamp>,
}

impl Default for ManifestState {
    fn default() -> ManifestState {
        ManifestState {
            tables: BTreeMap::new(),
            groups: BTreeMap::new(),
            log_start: LogPosition::default(),
            log_reached: Reached::default(),
            next_file: 1,
            membership: None,
            clock: None,
        }
    }
}

impl ManifestState {
    /// Applies an edit.
    pub fn apply(&mut self, edit: &Edit) {
        for number in &edit.removed {
            self.tables.remove(number);
        }
        self.tables.extend(edit.added.iter().map(|table| (table.number, *table)));
        self.groups.extend(edit.groups.iter().map(|group| (group.partition, group.clone())));
        if let Some(log_start) = edit.log_start {
            self.log_start = log_start;
            // Of a group that left there is nothing in the log any more that would have to be skipped.
            self.groups.retain(|_, group| !group.has_left || group.log_from > log_start);
        }
        self.log_reached = edit.log_reached.unwrap_or(self.log_reached);
        self.next_file = edit.next_file.unwrap_or(self.next_file);
        self.membership = edit.membership.or(self.membership);
        // A memtable that a replay froze tells its clocks after the opening has told later ones.
        self.clock = edit.clock.map(|clock| clock.or_newer(self.clock)).or(self.clock);
    }

    /// What it knows of the log.
    pub fn log(&self) -> Extent {
        Extent { start: self.log_start, reached: self.log_reached }
    }

    /// The clocks before the log that is to be replayed.
    pub fn stamp(&self) -> Option<ClockStamp> {
        // The time of a group with replicas is its leader's.
        let own = self.groups.values().filter(|group| group.conf.is_none());
        let clock_us = own.map(|group| group.clock_us).max().filter(|&us| us > 0);
        clock_us.map_or(self.clock, |clock_us| ClockStamp::behind_entry(self.clock, clock_us))
    }

    /// Whether an edit fits this state; the error says why not.
    pub fn check(&self, edit: &Edit) -> Result<(), String> {
        if let Some(number) = edit.removed.iter().find(|number| !self.tables.contains_key(number)) {
            return Err(format!("an edit removes table {number}, which isn't there"));
        }
        let stays = |number| self.tables.contains_key(number) && !edit.removed.contains(number);
        if let Some(table) = edit.added.iter().find(|table| stays(&table.number)) {
            return Err(format!("an edit adds table {}, which is there already", table.number));
        }
        if edit.log_start.is_some_and(|start| start < self.log_start) {
            return Err("an edit moves the log's start back".to_owned());
        }
        if edit.log_reached.is_some_and(|reached| reached.generation < self.log_reached.generation) {
            return Err("an edit forgets a segment of the log".to_owned());
        }
        let numbers = edit.added.iter().map(|table| table.number).chain(edit.next_file);
        if let Some(number) = numbers.into_iter().find(|&number| number > FileName::NUMBER_MAX) {
            return Err(format!("an edit numbers a file {number}, which no store reaches"));
        }
        edit.groups.iter().try_for_each(GroupState::check)
    }

    /// The edit that makes this state out of an empty one.
    pub(super) fn as_edit(&self) -> Edit {
        Edit {
            added: self.tables.values().copied().collect(),
            removed: Vec::new(),
            groups: self.groups.values().cloned().collect(),
            log_start: Some(self.log_start),
            log_reached: Some(self.log_reached),
            next_file: Some(self.next_file),
            membership: self.membership,
            clock: self.clock,
        }
    }
}
