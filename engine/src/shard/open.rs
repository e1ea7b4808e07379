//! Opening a shard: manifest, tables, log; what was acknowledged is there again.

use super::failing::Shortage;
use super::held::Held;
use super::inspect::{named, refuse_without_manifest};
use super::log_write::LogWrite;
use super::once::OnceState;
use super::options::{Budgets, ShardOptions, Tuning};
use super::pending::PendingAnswer;
use super::resume::Closed;
use super::running::Background;
use super::shard_dir::{self, ShardDir};
use super::sources::Sources;
use super::stats::Counters;
use super::unsettled::Backoff;
use super::{KeptReads, KeyLines, ParkedRequests, Shard};
use crate::clock::Now;
use crate::dir::Dir;
use crate::error::Error;
use crate::group::groups::Groups;
use crate::group::tail::Tails;
use crate::group::{Group, Order};
use crate::io::FileName;
use crate::key::Partition;
use crate::log::{LogOptions, LogPosition, Record};
use crate::manifest::{Manifest, ManifestState};
use crate::table::Table;
use crate::tree::Tree;
use std::sync::Arc;

impl Shard {
    /// Opens the shard in `dir`, or makes one if the directory is empty and [`ShardOptions::is_made`] doesn't forbid that.
    /// Blocks until the log is replayed. Without room for a segment of the log the shard is open and takes no writes until
    /// there is.
    ///
    /// Fails with [`Error::Damaged`] (file, offset, what to do) rather than lose anything that was acknowledged.
    pub fn open(dir: &mut dyn Dir, options: ShardOptions, now: Now) -> Result<Shard, Error> {
        let tuning = Tuning::new(options.memory_bytes);
        Shard::open_tuned(dir, options, tuning, now)
    }

    /// [`Shard::open`] with sizes of the caller's choice: a shard of small ones flushes, merges and recycles after a
    /// few hundred writes.
    pub fn open_tuned(
        dir: &mut dyn Dir,
        options: ShardOptions,
        tuning: Tuning,
        now: Now,
    ) -> Result<Shard, Error> {
        let Tuning { budgets, tree: tree_options, segment_bytes } = tuning;
        if options.is_made {
            refuse_without_manifest(dir)?;
        }
        let (mut manifest, state) = Manifest::recover(dir, options.shard_id)?;
        let tree = open_tables(dir, &state).map_err(|error| shard_dir::at_open(error, &dir.path()))?;
        remove_orphans(dir, &state)?;
        let mut replay = Replay::new(&options, budgets, &state, tree)?;
        let kept_bytes = budgets.kept;
        let log_options = LogOptions {
            segment_bytes,
            kept_bytes,
            ..LogOptions::new(options.shard_id, options.has_direct_log())
        };
        let mut counters = Counters { last_write_us: now.mono_us, ..Counters::default() };
        let log = crate::log::recover(dir, state.log(), log_options, &mut |record, at| {
            counters.replayed_records += 1;
            counters.replayed_bytes += record.payload.len() as u64;
            replay.record(record, at)
        })?;
        let stamp = replay.tails.stamp();
        let Replay { groups, held, sources, holds_expiring, .. } = replay.finish()?;
        let closed = Closed { stamp, holds_expiring };
        let (clock, kept_clock_us) = closed.resume(dir, &mut manifest, &now, options.time_jump)?;
        let places = groups.iter().count();
        let is_full = sources.active.bytes() >= budgets.memtable;
        let mut background = Background::new(tree_options, state.next_file);
        background.debt_bytes = sources.tree.debt_bytes(&background.tree_options);
        background.shortage = log.is_failed().then_some(Shortage::Disk);
        let doubt = log.is_failed().then(|| Shard::doubt_for_room(&dir.path()));
        let mut shard = Shard {
            dir: ShardDir::new(dir.path()),
            budgets,
            once: OnceState::new(groups.iter().filter_map(Group::once), now.mono_us),
            groups,
            held,
            replicated: Default::default(),
            sources,
            forming: LogWrite::new(places, kept_bytes),
            writing: LogWrite::new(places, kept_bytes),
            logged_end: log.end(),
            log,
            manifest,
            parked: ParkedRequests::default(),
            kept: KeptReads::default(),
            large_scans: Default::default(),
            lines: KeyLines::default(),
            background,
            io: Vec::new(),
            jobs: Vec::new(),
            clock,
            leapt_to_us: 0,
            held_until_us: 0,
            logged_clock_us: 0,
            logged_base: None,
            known_base: closed.base(&now),
            kept_clock_us,
            mono_us: now.mono_us,
            holds_expiring,
            synced_mono_us: now.mono_us,
            unsynced: None,
            is_write_synced: false,
            // Nobody may be let write while it is full, and nothing but a write would freeze it.
            wants_flush: is_full,
            is_closing: false,
            forming_since_us: None,
            resumed_bytes: 0,
            copied_bytes: 0,
            is_put_off: false,
            doubt,
            log_backoff: Backoff::default(),
            manifest_backoff: Backoff::default(),
            defect: None,
            counters,
            read_errors: Default::default(),
            key_scratch: Vec::with_capacity(256),
            value_scratch: Vec::new(),
            options,
        };
        let leap = stamp.filter(|stamp| stamp.gap_us(&now).is_some());
        // What was frozen meanwhile is told with the time of now: an entry's, which is another one, may be long after the newest stamp.
        shard.sources.frozen.iter_mut().for_each(|frozen| frozen.clock = Some(shard.clock.stamp()));
        for (place, _) in shard.replicated() {
            if let Some(stamp) = leap {
                shard.groups[place].stand_still(stamp.shard_us, shard.clock.us());
            }
            shard.go_on_from_logged_time(place);
        }
        Ok(shard)
    }

    /// Refuses a shard of which a partition has replicas elsewhere: whoever calls has no way to reach them, so it could neither
    /// write there nor know what to read.
    pub fn refuse_replicas(&self) -> Result<(), Error> {
        match self.groups.iter().find(|group| group.order() != Order::Solo) {
            None => Ok(()),
            Some(group) => Err(Error::Unusable(format!(
                "partition {} has replicas on other nodes, which this program can't reach; \
                 open the store with the build that made it",
                group.id.0
            ))),
        }
    }
}

/// Opens the tables that the manifest names; one that isn't there is named. None is resident yet: that is background work, so
/// that opening is quick.
fn open_tables(dir: &dyn Dir, state: &ManifestState) -> Result<Tree, Error> {
    let mut tables = Vec::with_capacity(state.tables.len());
    for entry in state.tables.values() {
        let table = Table::open(dir, entry.number, false).map_err(|error| named(error, dir, entry))?;
        tables.push((usize::from(entry.level), Arc::new(table)));
    }
    Tree::from_tables(tables)
}

/// Removes what a crash left half-made.
fn remove_orphans(dir: &mut dyn Dir, state: &ManifestState) -> Result<(), Error> {
    let files = dir.list().map_err(|error| Error::io("list", "the files", dir.path(), error))?;
    let orphans =
        files.into_iter().filter(|&file| Shard::is_orphan(file, |number| state.tables.contains_key(&number)));
    for file in orphans.collect::<Vec<FileName>>() {
        tracing::info!("removing {file} in {}: a crash left it unfinished", dir.path());
        dir.unlink(file).map_err(|error| Error::io("remove", file, dir.path(), error))?;
    }
    Ok(())
}

/// The state that the log is applied to.
struct Replay {
    budgets: Budgets,
    groups: Groups<PendingAnswer>,
    /// What the log holds of the groups beyond what is applied.
    tails: Tails,
    held: Held,
    sources: Sources,
    holds_expiring: bool,
    /// The position of the newest record: memtables are frozen between log writes.
    at: LogPosition,
}

impl Replay {
    fn new(
        options: &ShardOptions,
        budgets: Budgets,
        state: &ManifestState,
        tree: Tree,
    ) -> Result<Replay, Error> {
        let mut groups = Groups::new(&options.partitions, options.durability);
        for group in state.groups.values() {
            match (group.has_left, groups.place(group.partition)) {
                (true, None) => {}
                (false, Some(_)) => groups.restore(group),
                (false, None) => return Err(foreign(group.partition)),
                (true, Some(_)) => return Err(left_behind(group.partition)),
            }
        }
        let holds_expiring = tree.tables().any(|(_, table)| table.meta().expiring > 0);
        let sources = Sources::new(tree, budgets.cache);
        let (tails, held, at) = (Tails::behind(state), Held::default(), state.log_start);
        Ok(Replay { budgets, groups, tails, held, sources, holds_expiring, at })
    }

    /// Takes one record of the log, in order.
    fn record(&mut self, record: Record<'_>, at: LogPosition) -> Result<(), Error> {
        if at != self.at && self.sources.active.bytes() >= self.budgets.memtable {
            let stamp = self.tails.stamp();
            let groups = self.groups.news(stamp.map_or(0, |stamp| stamp.shard_us));
            self.sources.freeze((self.tails.needed_from(at), at), groups, stamp);
        }
        self.at = at;
        let bad =
            |what: String| Error::Unusable(format!("the log record at {at:?} can't be applied: {what}"));
        if !self.tails.is_for_group(&record).map_err(bad)? {
            return Ok(());
        }
        let place = self.groups.place(record.group).ok_or_else(|| foreign(record.group))?;
        let expires = self.tails.take(&mut self.groups[place], &record, at, &mut self.sources);
        self.holds_expiring |= expires.map_err(bad)?;
        Ok(())
    }

    /// All is read: what isn't committed waits in its group.
    fn finish(mut self) -> Result<Replay, Error> {
        let tails = std::mem::take(&mut self.tails).finish();
        let tails = tails.map_err(|what| Error::Unusable(format!("the log ends too early: {what}")))?;
        for (partition, tail) in tails {
            if let Some(place) = self.groups.place(partition) {
                if let Some((time_us, shard_us)) = tail.heard {
                    self.groups[place].hear_time(time_us, shard_us);
                }
                self.held.restore(&self.groups[place], place, tail);
            }
        }
        Ok(self)
    }
}

fn left_behind(partition: Partition) -> Error {
    Error::Unusable(format!(
        "partition {} has left the shard, as its manifest says, and by the store's map it is here; was the directory copied \
         from elsewhere?",
        partition.0
    ))
}

fn foreign(partition: Partition) -> Error {
    Error::Unusable(format!(
        "the shard holds partition {}, which another shard owns by the store's map; \
         was the directory copied from elsewhere, or was a reshard cut off? Run kvtool reshard again",
        partition.0
    ))
}
