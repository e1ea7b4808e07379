//! One file: what the kernel shows, what the device holds, and the writes in between.
//!
//! A write changes what the kernel shows and is remembered with the pages it left; the versions share
//! their pages, so that neither a sync nor a crash copies a file.

use super::pages::{ALL, Page, Pages, SECTOR, alike, copy_sectors};
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// More than so many dirty pages, and the kernel writes the older half of them back by itself.
const DIRTY_PAGES_MAX: usize = 2048;

/// Orders what was written and synced; a sync covers what was written before it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sequence(pub u64);

/// What a write left of one page.
#[derive(Clone, Debug)]
struct Unsynced {
    write: Sequence,
    page: u32,
    mask: u8,
    after: Page,
    len: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// What reads see.
    pub now: Pages,
    /// What a power loss leaves for certain.
    pub durable: Pages,
    unsynced: Vec<Unsynced>,
    /// Pages that reads see and no later sync makes durable: their sync failed, and the kernel forgot that they were dirty.
    forgotten: BTreeSet<u32>,
    /// What the device held in a page before what it holds now.
    pub older: BTreeMap<u32, Page>,
    /// The newest write.
    pub newest: Range<u64>,
}

/// What a crash did to the writes of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    pub kept: u64,
    pub torn: u64,
    pub lost: u64,
}

/// How much survives of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Survives {
    All,
    Nothing,
    Some,
}

impl Survives {
    pub fn draw(rng: &mut impl Rng) -> Survives {
        match rng.random_range(0..4) {
            0 => Survives::All,
            1 => Survives::Nothing,
            _ => Survives::Some,
        }
    }

    /// Which of the sectors in `mask` survive.
    fn sectors(self, mask: u8, rng: &mut impl Rng) -> u8 {
        match self {
            Survives::All => mask,
            Survives::Nothing => 0,
            Survives::Some => mask & rng.random::<u8>(),
        }
    }
}

impl File {
    /// Writes all of `data`.
    pub fn write(&mut self, write: Sequence, offset: u64, data: &[u8]) {
        self.newest = offset..offset + data.len() as u64;
        if self.unsynced.len() > DIRTY_PAGES_MAX {
            self.sync(self.unsynced[DIRTY_PAGES_MAX / 2].write);
        }
        let first = self.unsynced.len();
        let unsynced = &mut self.unsynced;
        self.now.write(offset, data, |page, mask| {
            unsynced.push(Unsynced { write, page, mask, after: None, len: 0 });
        });
        for entry in &mut self.unsynced[first..] {
            entry.after.clone_from(self.now.page(entry.page));
            entry.len = self.now.len();
        }
    }

    /// Writes what `survives` of `data`, sector by sector.
    pub fn write_part(
        &mut self,
        write: Sequence,
        offset: u64,
        data: &[u8],
        survives: Survives,
        rng: &mut impl Rng,
    ) {
        let mut at = 0;
        while at < data.len() {
            let len = (SECTOR - (offset as usize + at) % SECTOR).min(data.len() - at);
            if survives.sectors(1, rng) == 1 {
                self.write(write, offset + at as u64, &data[at..at + len]);
            }
            at += len;
        }
    }

    /// Makes durable what was written until `upto`.
    pub fn sync(&mut self, upto: Sequence) {
        let behind = self.unsynced.partition_point(|entry| entry.write <= upto);
        let entries: Vec<_> = self.unsynced.drain(..behind).collect();
        entries.into_iter().for_each(|entry| self.keep(&entry, entry.mask));
    }

    /// A sync that fails: what was dirty is durable, dirty still, or forgotten: shown until the power goes, and never
    /// made durable by a later sync that says it did.
    pub fn fail_sync(&mut self, upto: Sequence, rng: &mut impl Rng) {
        let behind = self.unsynced.partition_point(|entry| entry.write <= upto);
        let all = rng.random_range(0..4);
        let entries = std::mem::take(&mut self.unsynced);
        for (index, entry) in entries.into_iter().enumerate() {
            match if all == 3 { rng.random_range(0..3) } else { all } {
                0 if index < behind => self.keep(&entry, entry.mask),
                // Half the time the likeliest of kernels: all dirty pages are clean, none is durable.
                1 | 2 if index < behind => {
                    self.forgotten.insert(entry.page);
                }
                _ => self.unsynced.push(entry),
            }
        }
    }

    fn keep(&mut self, entry: &Unsynced, mask: u8) {
        let before = self.durable.page(entry.page).clone();
        copy_sectors(self.durable.page_mut(entry.page), &entry.after, mask);
        self.older.insert(entry.page, before);
        self.durable.set_len(self.durable.len().max(entry.len));
    }

    /// The power goes: of what was not synced any sectors survive, whatever became of others, and any of the lengths.
    pub fn lose_power(&mut self, survives: Survives, rng: &mut impl Rng) -> Losses {
        let entries = std::mem::take(&mut self.unsynced);
        let mut touched = std::mem::take(&mut self.forgotten);
        let mut losses = Losses::default();
        let mut lens = vec![self.durable.len()];
        for write in entries.chunk_by(|a, b| a.write == b.write) {
            let survives = if survives == Survives::Some { Survives::draw(rng) } else { survives };
            let (mut is_kept, mut is_lost) = (false, false);
            for entry in write {
                let mask = survives.sectors(entry.mask, rng);
                (is_kept, is_lost) = (is_kept || mask != 0, is_lost || mask != entry.mask);
                touched.insert(entry.page);
                lens.push(entry.len);
                if mask != 0 {
                    self.keep(entry, mask);
                }
            }
            match (is_kept, is_lost) {
                (true, true) => losses.torn += 1,
                (true, false) => losses.kept += 1,
                (false, _) => losses.lost += 1,
            }
        }
        let len = match survives {
            Survives::All => lens.into_iter().max().unwrap_or(0),
            Survives::Nothing => lens[0],
            Survives::Some => lens[rng.random_range(0..lens.len())],
        };
        self.durable.set_len(len);
        for page in touched {
            self.now.page_mut(page).clone_from(self.durable.page(page));
        }
        self.now.set_len(len);
        losses
    }

    /// Whether reads of a page see what is durable.
    pub fn is_page_clean(&self, page: u32) -> bool {
        !self.forgotten.contains(&page) && self.unsynced.iter().all(|entry| entry.page != page)
    }

    /// Changes a clean page behind everyone's back.
    pub fn tamper(&mut self, page: u32, content: &Page) {
        copy_sectors(self.durable.page_mut(page), content, ALL);
        copy_sectors(self.now.page_mut(page), content, ALL);
    }

    /// Puts back what a page held `before`, wherever it still holds what came `after`.
    pub fn mend(&mut self, page: u32, before: &Page, after: &Page) {
        for version in [&mut self.durable, &mut self.now] {
            let mask = alike(version.page(page), after);
            copy_sectors(version.page_mut(page), before, mask);
        }
    }

    /// Whether something was written that no sync made durable.
    pub fn is_dirty(&self) -> bool {
        !self.unsynced.is_empty() || !self.forgotten.is_empty()
    }
}
