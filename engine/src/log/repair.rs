//! Makes a damaged log one that opens: keeps what comes before the damage, drops the rest, says what.
//!
//! The log is an order; entries behind a hole can't be applied without those in it. So what is kept is the
//! longest sound prefix. The cut is made as every opening makes it: a new generation whose header says
//! where its predecessor ended. Files that are dropped become spares; copy the directory first if what is
//! in them matters.

use super::begin::begin_generation;
use super::format::SEGMENT_HEADER;
use super::inventory::{Inventory, Link};
use super::reader::SegmentReader;
use super::recovery::{read_chain, read_leftovers};
use super::{LogOptions, LogPosition};
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;

/// What a repair found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was wrong, in words. Empty: nothing, and nothing was changed.
    pub damage: Vec<String>,
    /// Sound commits that stay.
    pub kept_commits: u64,
    /// Records in them.
    pub kept_records: u64,
    /// What went.
    pub dropped: Vec<Dropped>,
}

/// A stretch of log that a repair gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// In which file.
    pub file: FileName,
    /// From which offset on.
    pub offset: u64,
    /// Commits in it whose header is sound.
    pub commits: u64,
    /// Records that those headers count.
    pub records: u64,
}

/// Cuts the log before the first damage from `from` on, the start that the manifest names. Does nothing
/// to a sound log.
pub fn repair(dir: &mut dyn Dir, from: LogPosition, options: LogOptions) -> Result<RepairReport, Error> {
    options.check()?;
    let inventory = Inventory::read(dir)?;
    inventory.check(dir, &options)?;
    let mut report = RepairReport::default();
    let chain = longest_chain(dir, from, &inventory, &mut report);
    let ended = read_chain(dir, &options, &chain, from, &mut |_, _| Ok(()))?;
    report.kept_commits = ended.commits;
    report.kept_records = ended.records;
    report.damage.extend(ended.damage(dir, &options, &chain)?.map(|damage| damage.to_string()));
    let leftovers = read_leftovers(dir, &options, &inventory, ended.staying(&chain))?;
    if report.damage.is_empty() {
        report.damage.extend(leftovers.damage(dir, ended.position).map(|damage| damage.to_string()));
    }
    if report.damage.is_empty() {
        return Ok(report);
    }
    let kept: Vec<Link> = chain.into_iter().take(ended.link + 1).collect();
    count_dropped(dir, &options, &inventory, &kept, ended.position, &mut report)?;
    let newest = inventory.newest_generation().max(leftovers.newest_generation).max(from.segment);
    begin_generation(dir, options, newest, &inventory, kept, ended.proved, ended.position)?;
    Ok(report)
}

/// The chain from `from` up to the first missing link.
fn longest_chain(
    dir: &dyn Dir,
    from: LogPosition,
    inventory: &Inventory,
    report: &mut RepairReport,
) -> Vec<Link> {
    let mut below = u64::MAX;
    loop {
        match inventory.chain(from, below) {
            Ok(chain) => return chain,
            Err(missing) => {
                if below == u64::MAX || !missing.is_everything() {
                    report.damage.push(inventory.describe(dir, missing).to_string());
                }
                if missing.is_everything() {
                    return Vec::new();
                }
                below = missing.generation;
            }
        }
    }
}

/// Counts what lies behind the end that is kept, in any file.
fn count_dropped(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    kept: &[Link],
    end: LogPosition,
    report: &mut RepairReport,
) -> Result<(), Error> {
    for file in &inventory.files {
        let last = kept.last().filter(|link| link.header.file == file.number);
        if last.is_none() && kept.iter().any(|link| link.header.file == file.number) {
            continue;
        }
        let from = if last.is_some() { end.offset } else { SEGMENT_HEADER };
        let name = FileName::Log(file.number);
        let mut dropped = Dropped { file: name, offset: from.into(), commits: 0, records: 0 };
        let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, 0);
        reader.scan(from, None, &mut |offset, commit| {
            if (LogPosition { segment: commit.generation, offset }) >= end {
                dropped.commits += 1;
                dropped.records += u64::from(commit.records);
            }
            true
        })?;
        if dropped.commits > 0 {
            report.dropped.push(dropped);
        }
    }
    Ok(())
}
