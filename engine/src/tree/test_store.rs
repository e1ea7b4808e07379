//! A store made of memtables, a tree and jobs, beside a model of every version ever written.

use super::{
    CountStop, Lane, Leveled, MergePlan, MergeReason, Picking, RangeTombstones, ReadPins, Scan, ScanData,
    ScanLimits, ScanRange, ScanStep, Strategy as _, Tree, TreeOptions, count,
};
use crate::job::test_driver::{TestDriver, horizons, settled};
use crate::job::{FlushJob, Horizon, Horizons, Job, JobContext, JobOutput, MergeJob};
use crate::key::{
    Entry, Expiry, Incarnation, Keyspace, Kind, Partition, Prefix, RangeTombstone, Stamp, Version,
};
use crate::memtable::{Memtable, Position};
use crate::table::{Block, BlockCache, BlockRef, Compression, Lookup};
use crate::{Error, io::FileName};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

pub(super) const PARTITIONS: u16 = 2;

/// Keys and values.
pub(super) type Items = Vec<(Vec<u8>, Vec<u8>)>;

/// What was written under one version: a value with its expiry, or a deletion.
type Written = Option<(Vec<u8>, Expiry)>;

pub(super) struct TestStore {
    pub driver: TestDriver,
    pub tree: Tree,
    pub options: TreeOptions,
    pub active: Memtable,
    pub frozen: Vec<Arc<Memtable>>,
    /// Per stored key, all versions, oldest first.
    pub model: BTreeMap<Vec<u8>, Vec<(Version, Written)>>,
    pub version: u64,
    pub now_ms: u64,
    /// A partition that isn't as far as the others: its horizon.
    pub behind: Option<(u16, Horizon)>,
    pub pinned: Vec<Version>,
    pub resident: bool,
    /// Merges that ran and aren't installed yet.
    pub running: Vec<(MergePlan, JobOutput)>,
    pub cache: BlockCache,
    /// Blocks ever read.
    pub reads: usize,
    /// The most bytes of blocks that a page ever held.
    pub held_bytes_max: usize,
    next_number: u64,
}

pub(super) fn prefix(partition: u16) -> Prefix {
    Prefix::new(Keyspace(0), Partition(partition), Incarnation(0))
}

/// A key that only this partition has.
pub(super) fn stored_key(partition: u16, key: u16) -> Vec<u8> {
    let mut stored = Vec::new();
    let home = if partition == 0 { String::new() } else { format!("-{partition}") };
    prefix(partition).stored_key(format!("key{key:05}{home}").as_bytes(), &mut stored);
    stored
}

/// Options under which a few hundred entries make a tree of several levels.
pub(super) fn small_options() -> TreeOptions {
    TreeOptions {
        memtable_bytes: 16 << 10,
        table_bytes: 8 << 10,
        level_base_bytes: 24 << 10,
        level_ratio: 3,
        l0_trigger: 2,
        merge_bytes_max: 96 << 10,
        merge_blocks_max: 1 << 20,
        garbage_ratio: 0.25,
        settled_ratio: 0.1,
        compression: Compression::Lz4,
    }
}

impl TestStore {
    pub fn new(seed: u64) -> TestStore {
        TestStore {
            driver: TestDriver::new(seed),
            tree: Tree::new(),
            options: small_options(),
            active: Memtable::new(),
            frozen: Vec::new(),
            model: BTreeMap::new(),
            version: 0,
            now_ms: 1000,
            behind: None,
            pinned: Vec::new(),
            resident: false,
            running: Vec::new(),
            cache: BlockCache::new(64 << 10),
            reads: 0,
            held_bytes_max: 0,
            next_number: 1,
        }
    }

    pub fn put(&mut self, key: &[u8], value: &[u8], expiry: Expiry) {
        let version = self.next_version();
        let stamp = Stamp::new(version, Kind::Value);
        self.active.insert(Entry { key, stamp, expiry, value });
        self.model.entry(key.to_vec()).or_default().push((version, Some((value.to_vec(), expiry))));
    }

    pub fn delete(&mut self, key: &[u8]) {
        let version = self.next_version();
        let stamp = Stamp::new(version, Kind::Tombstone);
        self.active.insert(Entry { key, stamp, expiry: Expiry::NEVER, value: b"" });
        self.model.entry(key.to_vec()).or_default().push((version, None));
    }

    pub fn clear(&mut self, start: Vec<u8>, end: Vec<u8>) {
        let version = self.next_version();
        for (key, versions) in self.model.iter_mut() {
            if *start <= **key && **key < *end {
                versions.push((version, None));
            }
        }
        self.active.insert_range_tombstone(RangeTombstone { start, end, version });
    }

    fn next_version(&mut self) -> Version {
        self.version += 1;
        Version(self.version)
    }

    pub fn freeze(&mut self) {
        if !self.active.is_empty() {
            self.frozen.push(Arc::new(std::mem::take(&mut self.active)));
        }
    }

    fn pins(&self) -> ReadPins {
        let pinned = self.pinned.iter();
        ReadPins::new(pinned.flat_map(|&at| (0..PARTITIONS).map(move |p| (Partition(p), at))).collect())
    }

    /// One partition more than most tests write to.
    fn horizons(&self) -> Horizons {
        let settled = settled(self.now_ms);
        let of = |partition| match self.behind {
            Some((behind, horizon)) if behind == partition => (partition, horizon),
            _ => (partition, settled),
        };
        horizons(&(0..=PARTITIONS).map(of).collect::<Vec<_>>())
    }

    fn context(&mut self, numbers: u64) -> JobContext {
        let first = self.next_number;
        self.next_number += numbers;
        JobContext {
            numbers: first..self.next_number,
            pins: self.pins(),
            horizons: self.horizons(),
            table_bytes: self.options.table_bytes,
            resident_bytes: if self.resident { u64::MAX } else { 0 },
            write_bytes: 1 << 20,
            compression: self.options.compression_of(1, self.resident),
        }
    }

    /// Flushes all frozen memtables.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.frozen.is_empty() {
            return Ok(());
        }
        let bytes = self.frozen.iter().map(|memtable| memtable.bytes()).sum();
        let context = self.context(JobContext::numbers_for_flush(bytes, &self.options));
        let mut job = FlushJob::new(self.frozen.clone(), context);
        let output = self.run(&mut job)?;
        self.install(&[], output);
        self.frozen.clear();
        Ok(())
    }

    pub fn run(&mut self, job: &mut dyn Job) -> Result<JobOutput, Error> {
        self.driver.run(job)
    }

    pub fn busy(&self) -> HashSet<u64> {
        self.running.iter().flat_map(|(plan, _)| plan.input_numbers().collect::<Vec<_>>()).collect()
    }

    pub fn pick(&self, settling: bool) -> Option<MergePlan> {
        let (busy, pins, horizons) = (self.busy(), self.pins(), self.horizons());
        let picking = Picking { options: &self.options, busy: &busy, pins: &pins, horizons: &horizons };
        match settling {
            true => Leveled.choose_at_rest(&self.tree, &picking),
            false => Leveled.choose(&self.tree, &picking),
        }
    }

    /// Starts what is picked, if anything; moves happen at once.
    pub fn start_merge(&mut self, settling: bool) -> Result<Option<MergeReason>, Error> {
        let Some(plan) = self.pick(settling) else { return Ok(None) };
        let reason = plan.reason;
        let busy = self.busy();
        assert!(!plan.inputs.is_empty() && plan.input_numbers().all(|number| !busy.contains(&number)));
        if plan.moves {
            let added: Vec<_> =
                plan.inputs.iter().map(|(_, table)| (plan.output_level, Arc::clone(table))).collect();
            self.tree = self.tree.with(&[], &added);
            return Ok(Some(reason));
        }
        let context = self.context(plan.numbers_needed(&self.options));
        let output = self.run(&mut MergeJob::new(plan.clone(), context))?;
        self.running.push((plan, output));
        Ok(Some(reason))
    }

    pub fn finish_merge(&mut self, which: usize) {
        if self.running.is_empty() {
            return;
        }
        let (plan, output) = self.running.swap_remove(which % self.running.len());
        let inputs: Vec<u64> = plan.input_numbers().collect();
        self.install(&inputs, output);
    }

    fn install(&mut self, removed: &[u64], output: JobOutput) {
        let JobOutput::Tables { tables, level, .. } = output else { panic!("a job made something else") };
        let added: Vec<_> = tables.into_iter().map(|table| (level, table)).collect();
        self.tree = self.tree.with(removed, &added);
        let all = self.tree.tables().map(|(level, table)| (level, Arc::clone(table))).collect();
        Tree::from_tables(all).expect("levels stay disjoint");
        for number in removed {
            self.driver.files.remove(&FileName::Table(*number));
            self.cache.forget_table(*number);
        }
    }

    /// Flushes everything and merges until there is nothing to do; panics if that never comes to an end.
    pub fn settle(&mut self) {
        self.freeze();
        self.flush().expect("nothing fails");
        while !self.running.is_empty() {
            self.finish_merge(0);
        }
        for _ in 0..1000 {
            let picked = self.start_merge(false).expect("nothing fails");
            if picked.or_else(|| self.start_merge(true).expect("nothing fails")).is_none() {
                return;
            }
            self.finish_merge(0);
        }
        panic!("merging never ends; the next would be {:?}", self.pick(false).or_else(|| self.pick(true)));
    }

    fn read(&mut self, blocks: &[BlockRef]) -> Vec<Arc<Block>> {
        assert!(!blocks.is_empty(), "a read is asked for without a block");
        self.reads += blocks.len();
        let read = |&block: &BlockRef| {
            let (_, table) = self.tree.tables().find(|(_, t)| t.meta().number == block.table).expect("known");
            let file = &self.driver.files[&FileName::Table(block.table)];
            let raw = &file[block.offset as usize..][..block.len as usize];
            let decoded = table.decode_block(block, raw).expect("blocks are whole");
            self.cache.insert(block, decoded)
        };
        blocks.iter().map(read).collect()
    }

    /// What a reader at `at` finds. It keeps the blocks that it was given, as a parked request does: else a small cache could
    /// take each for the sake of the next, for ever.
    pub fn get(&mut self, key: &[u8], at: Version) -> Option<Vec<u8>> {
        let mut held = Vec::new();
        for _ in 0..1000 {
            match self.look_up(key, at) {
                Ok(found) => return found,
                Err(block) => held.extend(self.read(&[block])),
            }
        }
        panic!("a read of one key never ends");
    }

    /// What a reader at `at` finds, or the block that it needs first.
    fn look_up(&mut self, key: &[u8], at: Version) -> Result<Option<Vec<u8>>, BlockRef> {
        let memtables = || std::iter::once(&self.active).chain(self.frozen.iter().rev().map(|m| &**m));
        let ranges = memtables().flat_map(|memtable| memtable.range_tombstones());
        let cover = RangeTombstones::new(ranges).covering(key, at);
        let cover = cover.max(self.tree.range_tombstones().covering(key, at));
        let show = |stamp: Stamp, expiry: Expiry, value: &[u8]| {
            let visible = stamp.kind() == Some(Kind::Value)
                && !expiry.is_past(self.now_ms)
                && cover.is_none_or(|cover| cover <= stamp.version());
            visible.then(|| value.to_vec())
        };
        if let Some(entry) = memtables().find_map(|memtable| memtable.get(key, at)) {
            return Ok(show(entry.stamp, entry.expiry, entry.value));
        }
        match self.tree.get(key, at, &mut self.cache).expect("tables are whole") {
            Lookup::Absent => Ok(None),
            Lookup::Found(found) => Ok(show(found.stamp, found.expiry, found.value)),
            Lookup::NeedsRead(block) => Err(block),
        }
    }

    /// All items of a range, by pages of the given limits.
    pub fn scan(
        &mut self,
        from: &[u8],
        to: &[u8],
        at: Version,
        limits: ScanLimits,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut items = Vec::new();
        let mut from = from.to_vec();
        for _ in 0..20_000 {
            let (page, next) = self.page(vec![Lane::new(from.clone(), to.to_vec(), at)], limits);
            assert!(page.len() <= limits.items);
            items.extend(page);
            let Some(next) = next else { return items };
            assert!(next > from, "a scan goes on");
            from = next;
        }
        panic!("a scan never ends");
    }

    /// One page of some lanes. Keeps of the blocks only what a scan asks to keep.
    pub fn page(&mut self, lanes: Vec<Lane>, limits: ScanLimits) -> (Items, Option<Vec<u8>>) {
        let mut scan = Scan::new(lanes, limits, false, self.now_ms);
        let mut held = Vec::new();
        for _ in 0..20_000 {
            let memtables = std::iter::once(&self.active).chain(self.frozen.iter().map(|m| &**m));
            let memtables: Vec<_> = memtables.map(|memtable| memtable.up_to(Position::ALL)).collect();
            let cleared =
                RangeTombstones::new(memtables.iter().flat_map(|memtable| memtable.range_tombstones()));
            let data = ScanData { memtables: &memtables, cleared: &cleared, tree: &self.tree };
            match scan.run(&data, &mut self.cache).expect("tables are whole") {
                ScanStep::NeedsRead { blocks } => {
                    if scan.has_progressed() {
                        held.clear();
                    }
                    held.extend(self.read(&blocks));
                    let bytes = held.iter().map(|block| block.at().len as usize).sum();
                    self.held_bytes_max = self.held_bytes_max.max(bytes);
                }
                ScanStep::Page { next } => {
                    let items = scan.page().iter();
                    let items = items.map(|(key, value)| (key.to_vec(), value.bytes.to_vec())).collect();
                    return (items, next);
                }
            }
        }
        panic!("a page is never done");
    }

    /// Counts a range in slices of so much work.
    pub fn count(&mut self, from: &[u8], to: &[u8], at: Version, work: usize) -> u64 {
        let (mut keys, mut from, mut held) = (0, from.to_vec(), Vec::new());
        for _ in 0..20_000 {
            let memtables = std::iter::once(&self.active).chain(self.frozen.iter().map(|m| &**m));
            let memtables: Vec<_> = memtables.map(|memtable| memtable.up_to(Position::ALL)).collect();
            let cleared =
                RangeTombstones::new(memtables.iter().flat_map(|memtable| memtable.range_tombstones()));
            let data = ScanData { memtables: &memtables, cleared: &cleared, tree: &self.tree };
            let range = ScanRange { from: &from, to, at, now_ms: self.now_ms };
            let counted = count(&data, &range, &mut work.max(64), &mut self.cache).expect("tables are whole");
            keys += counted.keys;
            match counted.stop {
                CountStop::End => return keys,
                CountStop::Missing => {
                    if counted.keys > 0 {
                        held.clear();
                    }
                    held.extend(self.read(&counted.blocks[..1]));
                }
                CountStop::Tired => assert!(counted.next > from, "a count goes on"),
            }
            from = counted.next;
        }
        panic!("a count never ends");
    }

    /// The model's answer to [`TestStore::get`].
    pub fn expected(&self, key: &[u8], at: Version) -> Option<Vec<u8>> {
        let versions = self.model.get(key)?;
        let (_, written) = versions.iter().rev().find(|(version, _)| *version <= at)?;
        let (value, expiry) = written.as_ref()?;
        (!expiry.is_past(self.now_ms)).then(|| value.clone())
    }

    /// The model's answer to [`TestStore::scan`].
    pub fn expected_items(&self, from: &[u8], to: &[u8], at: Version) -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = self.model.keys().filter(|key| from <= key.as_slice() && key.as_slice() < to);
        keys.filter_map(|key| Some((key[8..].to_vec(), self.expected(key, at)?))).collect()
    }

    /// Bytes of all files.
    pub fn file_bytes(&self) -> usize {
        self.driver.files.values().map(Vec::len).sum()
    }
}
