//! What a manifest says of a group: how much of it is in tables, and what it goes on from.

use crate::fields::{Malformed, Reader, Writer};
use crate::key::{Incarnation, Partition, Version};
use crate::log::position::LogPosition;
use crate::log::record::Record;
use crate::once::Table;
use std::sync::Arc;

/// What the tables hold of a group, and what it goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// The group.
    pub partition: Partition,
    /// The incarnation its keys are stored under.
    pub incarnation: Incarnation,
    /// Whether it left the shard: its records in the log count for nothing.
    pub has_left: bool,
    /// Index of the last log entry that is in tables.
    pub applied_index: u64,
    /// Its term.
    pub applied_term: u64,
    /// The highest version in tables.
    pub max_version: Version,
    /// Versions at or below it have no older write on the way: tombstones may be dropped.
    pub floor: Version,
    /// Partition time: the largest shard time applied, microseconds.
    pub clock_us: u64,
    /// Its entries before this position of the log count for nothing: they are of an earlier copy of the partition.
    pub log_from: LogPosition,
    /// Its replicas; `None` if it orders itself.
    pub conf: Option<Box<ConfState>>,
    /// How far the writes of other origins are applied.
    pub origins: Vec<OriginState>,
    /// What is remembered of requests that are to be done once; `None`: nothing.
    pub once: Option<Arc<Table>>,
}

impl GroupState {
    /// Refuses numbers that no group reaches: they are counted up one by one.
    pub(super) fn check(&self) -> Result<(), String> {
        let partition = self.partition.0;
        let version = self.max_version.max(self.floor);
        if version >= Version::MAX {
            return Err(format!(
                "an edit gives partition {partition} version {}, which none reaches",
                version.0
            ));
        }
        let time_us = self.once.as_ref().map_or(0, |table| table.floor_us().max(table.newest_us()));
        if time_us > Table::TIME_US_MAX {
            return Err(format!(
                "an edit gives partition {partition} a request of time {time_us}, which none reaches"
            ));
        }
        let number = self.applied_index.max(self.applied_term);
        if number > Record::NUMBER_MAX {
            return Err(format!(
                "an edit gives partition {partition} entry or term {number}, which none reaches"
            ));
        }
        Ok(())
    }
}

/// Who votes in a group and who listens, by the numbers of replicas: as the consensus has it, also between two sets of voters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfState {
    /// Who votes.
    pub voters: Vec<u64>,
    /// Who votes, too, until the change of voters is complete.
    pub outgoing: Vec<u64>,
    /// Who only listens.
    pub learners: Vec<u64>,
    /// Who only listens once the change is complete.
    pub next_learners: Vec<u64>,
    /// Whether the leader completes the change by itself.
    pub auto_leave: bool,
}

impl ConfState {
    /// Its stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        for replicas in [&self.voters, &self.outgoing, &self.learners, &self.next_learners] {
            writer.len(replicas.len());
            replicas.iter().for_each(|&replica| writer.u64(replica));
        }
        writer.flag(self.auto_leave);
        bytes
    }

    /// Reads the stored form.
    pub fn parse(bytes: &[u8]) -> Result<ConfState, Malformed> {
        let mut reader = Reader(bytes);
        let mut replicas = || {
            let count = reader.count(8)?;
            (0..count).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()
        };
        let (voters, outgoing, learners, next_learners) =
            (replicas()?, replicas()?, replicas()?, replicas()?);
        let auto_leave = reader.flag()?;
        reader.end()?;
        Ok(ConfState { voters, outgoing, learners, next_learners, auto_leave })
    }
}

/// How far the writes are applied that an origin took in since one of its starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginState {
    /// Its number.
    pub origin: u16,
    /// The start's random id.
    pub start: u64,
    /// The last one's number; they are numbered without gaps.
    pub sequence: u64,
    /// Its stamp.
    pub stamp: Version,
}
