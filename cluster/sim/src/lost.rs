//! Files vanish while the node is down, and it has to miss them.
//!
//! 1. Behind a stop or a crash a file vanishes, or all logs, or all files of a shard; or it is tried to make `STORE` anew.
//! 2. The start must be refused, and name what is missing. Where it isn't refused, nothing can have been in it: files that
//!    certainly held something are demanded to be missed, and the history finds whatever else is lost.
//! 3. Where a log lost something its repair is tried on a copy: what it says is lost is all that is lost.
//! 4. The operator puts back what was there.

use crate::disk::{Disk, DiskFaults};
use crate::model::Checked;
use crate::model::Violation;
use crate::trace::Event;
use crate::world::World;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::{ShardWord, StoreFile, rebuild_store_file};
use pinion_engine::io::FileName;
use pinion_engine::log::{DumpItem, Extent, LogOptions, LogPosition, Reached, dump, repair, replay};
use pinion_engine::manifest::{Manifest, ManifestState};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::path::Path;

/// Files of a shard that are gone.
pub(super) struct Vanished {
    shard: usize,
    what: What,
    /// Whether something that counts was in it.
    is_needed: bool,
    before: Disk,
}

/// What of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    File(FileName),
    Logs,
    Manifests,
    Everything,
}

impl What {
    fn has(self, file: FileName) -> bool {
        match self {
            What::File(gone) => gone == file,
            What::Logs => matches!(file, FileName::Log(_)),
            What::Manifests => matches!(file, FileName::Manifest(_) | FileName::ManifestTemp(_)),
            What::Everything => true,
        }
    }

    /// Whether a message names it.
    fn is_named_in(self, text: &str) -> bool {
        let is_named = match self {
            What::File(file) => text.contains(&file.to_string()),
            What::Logs => text.contains(".log, log segment") || text.contains("its file, log segment"),
            What::Manifests => text.contains("the manifest is missing") || text.contains("all files"),
            What::Everything => text.contains("all files of the shard are missing"),
        };
        is_named && text.contains("missing") && text.contains("`kvtool repair")
    }
}

/// A record of a log: where its commit is, its group, its index.
type Logged = (LogPosition, u16, u64);

/// What a shard's directory says of itself.
struct Contents {
    state: ManifestState,
    /// The log's segments and their files.
    segments: Vec<Reached>,
    /// Where segments ended, as those behind them say.
    ends: Vec<LogPosition>,
    records: Vec<Logged>,
}

impl World {
    /// Lets something vanish, if it is time for that.
    pub(super) fn lose(&mut self) -> Checked {
        let is_clear = self.calamity.vanished.is_none() && self.calamity.damage.is_empty();
        let losses = self.plan.losses;
        if losses == 0 || !self.plan.node.is_made || !is_clear {
            return Ok(());
        }
        let rng = &mut self.streams.faults;
        if !rng.random_ratio(losses, 1000) {
            return Ok(());
        }
        if rng.random_ratio(1, 8) {
            return self.make_store_file_anew();
        }
        let shard = rng.random_range(0..self.disks.len());
        let id = self.plan.node.store().shard_id(shard as u32);
        let Ok(contents) = contents(&self.disks[shard], id) else { return Ok(()) };
        let Some((what, is_needed)) = draw(&self.disks[shard], &contents, &mut self.streams.faults) else {
            return Ok(());
        };
        self.counters.count("losses");
        self.trace.add(Event::Lost, shard as u64, self.clock.us());
        let before = self.disks[shard].copy();
        self.disks[shard].lose(|file| what.has(file));
        self.calamity.vanished = Some(Vanished { shard, what, is_needed, before });
        Ok(())
    }

    /// The node is open: nothing of what vanished was needed.
    pub(super) fn found_complete(&mut self) -> Checked {
        let Some(Vanished { shard, what, is_needed, .. }) = self.calamity.vanished.take() else {
            return Ok(());
        };
        if is_needed {
            let expected = format!("shard {shard} misses {what:?}");
            return Err(self.violation(
                "files that are missing are missed",
                &expected,
                "an open shard".into(),
            ));
        }
        self.counters.count("losses of nothing");
        Ok(())
    }

    /// Whether a shard wasn't opened because it misses what vanished. It is put back then.
    pub(super) fn has_missed(&mut self, shard: usize, error: &Error) -> Result<bool, Box<Violation>> {
        let text = error.to_string();
        let is_missed = |vanished: &mut Vanished| vanished.shard == shard && vanished.what.is_named_in(&text);
        let Some(mut vanished) = self.calamity.vanished.take_if(is_missed) else { return Ok(false) };
        self.counters.count("losses reported");
        if matches!(vanished.what, What::Logs | What::File(FileName::Log(_))) {
            let id = self.plan.node.store().shard_id(shard as u32);
            let segment_bytes = self.plan.node.tuning.segment_bytes;
            check_repair(&vanished.before, &self.disks[shard], id, segment_bytes)
                .map_err(|seen| self.violation("a repair tells what is lost", "all that is lost", seen))?;
            self.counters.count("repairs that told the truth");
        }
        *vanished.before.faults() = self.disks[shard].faults().clone();
        vanished.before.set_space_left(self.disks[shard].space_left());
        self.disks[shard] = vanished.before;
        Ok(true)
    }

    /// What the shards say of the store is what `STORE` says.
    fn make_store_file_anew(&mut self) -> Checked {
        if !self.leftovers.is_empty() {
            return Ok(());
        }
        let expected = self.plan.node.store();
        let words: Vec<ShardWord> =
            self.disks.iter().enumerate().map(|(shard, disk)| word(&expected, shard as u32, disk)).collect();
        let rebuilt = rebuild_store_file(&words, Some(expected.partitions));
        if rebuilt.as_ref() != Ok(&expected) {
            let seen = format!("{rebuilt:?}");
            return Err(self.violation("STORE is made anew as it was", &format!("{expected:?}"), seen));
        }
        self.counters.count("store files made anew");
        Ok(())
    }
}

fn word(store: &StoreFile, shard: u32, disk: &Disk) -> ShardWord {
    let path = store.shard_dir(Path::new("/sim"), shard);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    look(disk, |dir| {
        let shard_id = Manifest::shard_id(dir).ok();
        let state = shard_id.and_then(|id| Manifest::read(dir, id).ok());
        ShardWord { name, shard_id, membership: state.and_then(|state| state.membership) }
    })
}

/// Works with a copy of a disk that does nothing wrong.
fn look<T>(disk: &Disk, work: impl FnOnce(&mut dyn Dir) -> T) -> T {
    let mut copy = disk.copy();
    *copy.faults() = DiskFaults::default();
    copy.set_space_left(None);
    work(&mut copy.dir(None, &mut SmallRng::seed_from_u64(0)))
}

fn contents(disk: &Disk, id: [u8; 16]) -> Result<Contents, Error> {
    look(disk, |dir| {
        let state = Manifest::read(dir, id)?;
        let (mut segments, mut ends) = (Vec::new(), Vec::new());
        dump(dir, &mut |item| {
            if let DumpItem::Segment { file, generation, previous, .. } = item {
                segments.push(Reached { generation, file: file.number() });
                ends.push(previous);
            }
            Ok(())
        })?;
        let records = records(dir, state.log(), id)?;
        Ok(Contents { state, segments, ends, records })
    })
}

fn records(dir: &dyn Dir, known: Extent, id: [u8; 16]) -> Result<Vec<Logged>, Error> {
    let mut records = Vec::new();
    replay(dir, known, id, &mut |record, at| {
        records.push((at, record.group.0, record.index));
        Ok(())
    })?;
    Ok(records)
}

/// What is to vanish, and whether something that counts is in it. A segment that the manifest didn't hear of yet, because
/// it was begun a moment before the crash, can't be missed: it stays.
fn draw(disk: &Disk, contents: &Contents, rng: &mut SmallRng) -> Option<(What, bool)> {
    let Contents { state, segments, records, .. } = contents;
    let heard_of = state.log_reached.generation;
    let unheard = |file: u64| segments.iter().any(|it| it.file == file && it.generation > heard_of);
    let holds = |file: u64| {
        let is_in =
            |(at, ..): &Logged| segments.iter().any(|it| (it.file, it.generation) == (file, at.segment));
        records.iter().any(is_in)
    };
    let mut pick = |files: Vec<FileName>| -> Option<FileName> {
        let index = rng.random_range(0..files.len().max(1));
        files.get(index).copied()
    };
    let logs = || disk.files().map(|(file, _)| file).filter(|file| matches!(file, FileName::Log(_)));
    match pick((0..8).map(FileName::Log).collect())?.number() {
        0..3 => {
            let file = pick(logs().filter(|file| !unheard(file.number())).collect())?;
            Some((What::File(file), holds(file.number())))
        }
        3 => Some((What::Logs, true)).filter(|_| heard_of > 0),
        4 => Some((What::Manifests, true)),
        5 => Some((What::Everything, true)),
        _ => {
            let table = pick(state.tables.keys().map(|&number| FileName::Table(number)).collect())?;
            Some((What::File(table), true))
        }
    }
}

/// Repairs the log of a copy, and holds what the repair says against what was there before.
fn check_repair(before: &Disk, after: &Disk, id: [u8; 16], segment_bytes: u32) -> Result<(), String> {
    let told = |error: Error| error.to_string();
    let Contents { state, ends, records: had, .. } = contents(before, id).map_err(told)?;
    let (report, has) = look(after, |dir| {
        let options = LogOptions { segment_bytes, ..LogOptions::new(id, false) };
        let report = repair(dir, state.log(), options)?;
        Ok((report, records(dir, state.log(), id)?))
    })
    .map_err(told)?;
    let lost_behind = report.lost_behind.ok_or_else(|| format!("nothing is said to be lost: {report:?}"))?;
    let expected: Vec<Logged> = had.iter().copied().filter(|(at, ..)| *at < lost_behind).collect();
    // A commit whose write failed, with an unknown outcome, lies behind the cut that followed. Without the segment that tells
    // of the cut it counts again.
    let was_cut_off =
        |(at, ..): &Logged| ends.iter().any(|end| end.segment == at.segment && end.offset <= at.offset);
    let is_right = has.strip_prefix(&*expected).is_some_and(|rest| rest.iter().all(was_cut_off));
    if !is_right || report.kept_records != has.len() as u64 {
        return Err(format!("{} records stay of {}, {} by {report:?}", has.len(), had.len(), expected.len()));
    }
    // What it counts as dropped goes by headers, so torn commits that were never acknowledged are in it, too.
    Ok(())
}
