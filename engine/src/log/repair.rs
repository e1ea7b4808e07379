//! Makes a damaged log one that opens: keeps what comes before the damage, drops the rest, says what.
//!
//! The log is an order; entries behind a hole can't be applied without those in it. So what is kept is the
//! longest sound prefix. The cut is made as every opening makes it: a new generation whose header says
//! where its predecessor ended; without room for that the repair fails, to be repeated. A header that alone is damaged is
//! put together again. Files that are dropped become spares; copy the directory first if what is in them matters.

use super::begin::begin_generation;
use super::clock::clock_behind;
use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::headers;
use super::inventory::{Inventory, Link};
use super::options::LogOptions;
use super::position::{Extent, LogPosition};
use super::reader::SegmentReader;
use super::recovery::{Ended, read_chain, read_leftovers};
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use std::cmp::Ordering;

/// What a repair found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was wrong, in words. Empty: nothing, and nothing was changed.
    pub damage: Vec<String>,
    /// Sound parts that stay.
    pub kept_parts: u64,
    /// Records in them.
    pub kept_records: u64,
    /// The latest time in them, microseconds since the Unix epoch.
    pub kept_clock_us: u64,
    /// Where they end, if whatever was logged behind is lost.
    pub lost_behind: Option<LogPosition>,
    /// Segments of which only the header was damaged: it is put back, and they stay.
    pub restored: Vec<FileName>,
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
    /// Parts in it whose header is sound.
    pub parts: u64,
    /// Records that those headers count.
    pub records: u64,
}

/// Cuts the log before the first damage of what the manifest knows to be log. A segment whose header alone is damaged
/// gets it back. Does nothing to a sound log.
pub fn repair(
    dir: &mut dyn Dir,
    known: impl Into<Extent>,
    options: LogOptions,
) -> Result<RepairReport, Error> {
    options.check()?;
    let known = known.into();
    let mut inventory = Inventory::read(dir)?;
    inventory.check(dir, &options)?;
    let mut found = examine(dir, &options, &inventory, known)?;
    if found.report.damage.is_empty() {
        return Ok(found.report);
    }
    let mut is_cut = true;
    let mut headers = headers::restore(dir, &options, &mut inventory, known)?;
    if !headers.is_empty() {
        let before = std::mem::replace(&mut found, examine(dir, &options, &inventory, known)?).report.damage;
        is_cut = !found.report.damage.is_empty();
        let others = found.report.damage.drain(..).filter(|damage| !before.contains(damage));
        found.report.damage = before.iter().cloned().chain(others).collect();
    }
    let Found { mut report, chain, ended, newest_stray } = found;
    let kept: Vec<Link> = chain.into_iter().take(ended.link + 1).collect();
    count_dropped(dir, &options, &inventory, &kept, ended.position, &mut report)?;
    report.lost_behind = is_cut.then_some(ended.position);
    headers.retain(|header| kept.iter().any(|link| link.header == *header));
    for header in headers {
        report.restored.push(FileName::Log(header.file));
        put_back(dir, &header)?;
    }
    let newest = inventory.newest_generation().max(newest_stray);
    let newest = newest.max(known.start.segment).max(known.reached.generation);
    let log = begin_generation(dir, options, newest, &inventory, kept, ended.proved, ended.position)?;
    if log.is_failed() {
        return Err(Error::Unusable(format!(
            "the log in {} isn't cut: there is no room for its next segment of {} bytes; free some space, and repair again",
            dir.path(),
            options.segment_bytes
        )));
    }
    Ok(report)
}

/// What is wrong with a log, and how much of it is sound.
struct Found {
    report: RepairReport,
    chain: Vec<Link>,
    ended: Ended,
    newest_stray: u64,
}

fn examine(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    known: Extent,
) -> Result<Found, Error> {
    let mut report = RepairReport::default();
    let chain = longest_chain(dir, known, inventory, &mut report);
    let ended = read_chain(dir, options, &chain, known.start, &mut |record, _| {
        let clock_us = clock_behind(None, &record).ok().flatten().map_or(0, |stamp| stamp.shard_us);
        report.kept_clock_us = report.kept_clock_us.max(clock_us);
        Ok(())
    })?;
    report.kept_parts = ended.parts;
    report.kept_records = ended.records;
    report.damage.extend(ended.damage(dir, options, &chain)?.map(|damage| damage.to_string()));
    let leftovers = read_leftovers(dir, options, inventory, ended.staying(&chain))?;
    if report.damage.is_empty() {
        report.damage.extend(leftovers.damage(dir, ended.position).map(|damage| damage.to_string()));
    }
    Ok(Found { report, chain, ended, newest_stray: leftovers.newest_generation })
}

/// Writes a header that was put together again, durably.
fn put_back(dir: &mut dyn Dir, header: &SegmentHeader) -> Result<(), Error> {
    let file = FileName::Log(header.file);
    let mut block = vec![0; SEGMENT_HEADER as usize];
    header.encode(&mut block);
    dir.write(file, 0, &block)
        .and_then(|()| dir.sync(file))
        .map_err(|error| Error::io("write", file, dir.path(), error))
}

/// The chain from where the manifest starts the log up to the first missing link.
fn longest_chain(
    dir: &dyn Dir,
    known: Extent,
    inventory: &Inventory,
    report: &mut RepairReport,
) -> Vec<Link> {
    let mut below = u64::MAX;
    loop {
        match inventory.chain(known, below) {
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

/// Counts what lies behind the end that is kept, in any file: what its segment's header and its follower's make log, and
/// parts that are newer than their header. What an opening cut off, or an earlier life left, isn't lost now.
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
        let mut dropped = Dropped { file: name, offset: from.into(), parts: 0, records: 0 };
        let generation = file.header.map_or(0, |header| header.generation);
        let ended = inventory.end_of(generation);
        let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, 0);
        reader.scan(from, None, &mut |offset, part| {
            let is_log = match part.generation.cmp(&generation) {
                Ordering::Less => false,
                Ordering::Equal => ended.is_none_or(|end| offset < end),
                Ordering::Greater => true,
            };
            if is_log && (LogPosition { segment: part.generation, offset }) >= end {
                dropped.parts += 1;
                dropped.records += u64::from(part.records);
            }
            true
        })?;
        if dropped.parts > 0 {
            report.dropped.push(dropped);
        }
    }
    Ok(())
}
