//! The log of a shard whose manifest is lost: all of it that is there, though nobody says where it starts.
//!
//! 1. From the newest header the segments are followed back as far as they are there: the log starts with the oldest. The
//!    first of them may have been let go and not used again yet; what is in those is in tables, and read once more.
//! 2. A *hole*, a segment that isn't there or a part that isn't sound, divides the log into stretches. Segments are let go in
//!    their order, and only when tables hold all that is in them and before. So the log starts behind the last hole of which
//!    one of these shows that it had been let go: the missing segment's file is used again; what can be read of the manifest starts the
//!    log behind it; the tables hold something newer than what follows it; or, where a file is gone (more than a few
//!    that are let go are removed), than all that comes before it.
//! 3. Behind the other holes the log goes on, too: versions put entries in order, and where the log starts can't be
//!    proved, so nothing that is there is given up. What may have been in the holes is reported.
//! 4. Headers that are damaged are put together as for a repair (`headers.rs`), and not written.
//!
//! The log's end is where recovery would find it.

use super::clock::clock_behind;
use super::format::{NoHeader, SEGMENT_HEADER, SegmentHeader};
use super::headers;
use super::inventory::{Inventory, Link, Missing};
use super::options::LogOptions;
use super::position::{Extent, LogPosition};
use super::record::{Record, RecordKind};
use super::recovery::{read_chain, read_leftovers};
use super::replay::Replayed;
use crate::dir::Dir;
use crate::io::FileName;
use crate::{Error, Version};

/// What there was of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// How much was read, and where the log ends.
    pub read: Replayed,
    /// The segment it starts in; `None` if there is none.
    pub start: Option<FileName>,
    /// Segments whose damaged header could be told from the log around it.
    pub restored: Vec<FileName>,
    /// Where something may be lost, in order.
    pub holes: Vec<Hole>,
}

/// A place where log is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// What is wrong there, in words.
    pub damage: String,
    /// Where the log before it ends; `None` if there is none.
    pub after: Option<LogPosition>,
    /// The latest time before it, microseconds since the Unix epoch.
    pub after_clock_us: u64,
    /// Where the log goes on behind it; `None` if it doesn't.
    pub before: Option<LogPosition>,
}

/// Hands every record that is there to `visit`, in order, with the position of its part. `known` is what could be read
/// of the manifest, `in_tables` the newest version in any table. Changes nothing.
pub fn read_remains(
    dir: &dyn Dir,
    known: Extent,
    in_tables: Version,
    shard_id: [u8; 16],
    visit: &mut dyn FnMut(Record<'_>, LogPosition) -> Result<(), Error>,
) -> Result<Remains, Error> {
    let options = LogOptions::new(shard_id, false);
    let mut inventory = Inventory::read(dir)?;
    inventory.check(dir, &options)?;
    let restored = restore_headers(dir, &options, &mut inventory, known)?;
    let mut stretches = Vec::new();
    for (chain, gap) in chains(dir, &inventory, &restored) {
        split(dir, &options, chain, gap, &mut stretches)?;
    }
    let lost_end = lost_end(dir, &options, &inventory, known, in_tables, &stretches)?;
    drop_what_was_let_go(&mut stretches, known, in_tables);

    let (mut remains, mut clock_us) = (Remains::default(), 0);
    for stretch in &stretches {
        let after = Some(remains.read.end).filter(|_| remains.read.parts > 0);
        if let Some(Gap { damage, .. }) = &stretch.gap {
            let before = Some(stretch.start());
            remains.holes.push(Hole { damage: damage.clone(), after, after_clock_us: clock_us, before });
        }
        let ended = read_chain(dir, &options, &stretch.chain, LogPosition::default(), visit)?;
        remains.read.parts += ended.parts;
        remains.read.records += ended.records;
        remains.read.end = ended.position;
        clock_us = clock_us.max(stretch.clock_us);
    }
    if let Some(damage) = lost_end {
        let after = Some(remains.read.end).filter(|_| remains.read.parts > 0);
        remains.holes.push(Hole { damage, after, after_clock_us: clock_us, before: None });
    }
    let links = || stretches.iter().flat_map(|stretch| &stretch.chain);
    remains.start = links().next().map(|link| FileName::Log(link.header.file));
    let is_read = |header: &SegmentHeader| links().any(|link| link.header == *header);
    let restored = restored.into_iter().filter(is_read);
    remains.restored = restored.map(|header| FileName::Log(header.file)).collect();
    Ok(remains)
}

/// Puts damaged headers back into the inventory, also that of the oldest segment, which no other one precedes. One whose
/// first part isn't there either is left: nothing of that segment can be read.
fn restore_headers(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &mut Inventory,
    known: Extent,
) -> Result<Vec<SegmentHeader>, Error> {
    let (mut restored, mut start) = (Vec::new(), LogPosition::default());
    loop {
        for header in headers::restore(dir, options, inventory, Extent { start, ..known })? {
            let file = inventory.files.iter_mut().find(|file| file.number == header.file);
            let file = file.expect("a header that was restored is in the inventory");
            let link = Link { header, len: file.len, end: None };
            if link.reader(dir, options).part(SEGMENT_HEADER, None)?.is_ok() {
                restored.push(header);
            } else {
                file.header = Err(NoHeader::Bad);
            }
        }
        match inventory.chain_that_is_there(u64::MAX).1 {
            Some(missing) if missing.generation != start.segment => start.segment = missing.generation,
            _ => return Ok(restored),
        }
    }
}

/// What is between two stretches.
struct Gap {
    /// What is wrong, in words.
    damage: String,
    /// The missing segment's file is used again.
    was_let_go: bool,
    /// Files that should be there aren't: as it is when they were let go, and removed.
    is_absence: bool,
}

/// The segments that follow each other, oldest first, each time with what is before them if it isn't the log's beginning.
fn chains(dir: &dyn Dir, inventory: &Inventory, restored: &[SegmentHeader]) -> Vec<(Vec<Link>, Option<Gap>)> {
    let (mut chains, mut below) = (Vec::new(), u64::MAX);
    loop {
        let (chain, missing) = inventory.chain_that_is_there(below);
        let Some(first) = chain.first().map(|link| link.header) else { break };
        below = missing.map_or(first.generation, |missing| missing.generation);
        let gap = match missing {
            Some(missing) => Some(Gap {
                damage: inventory.describe(dir, missing).to_string(),
                was_let_go: inventory.is_used_again(&missing),
                is_absence: !inventory.is_unread(&missing),
            }),
            None if restored.contains(&first) => Some(Gap {
                damage: format!("the header of {} can't be read", FileName::Log(first.file)),
                was_let_go: false,
                is_absence: true,
            }),
            None => None,
        };
        let is_beginning = gap.is_none();
        chains.push((chain, gap));
        if is_beginning {
            break;
        }
    }
    chains.reverse();
    chains
}

/// A stretch of log without a hole.
struct Stretch {
    chain: Vec<Link>,
    /// What is before it.
    gap: Option<Gap>,
    /// Where it ends.
    end: LogPosition,
    /// What ended it, if that is damage.
    damage: Option<String>,
    first: Option<Version>,
    newest: Version,
    clock_us: u64,
}

impl Stretch {
    fn start(&self) -> LogPosition {
        let segment = self.chain.first().map_or(0, |link| link.header.generation);
        LogPosition { segment, offset: SEGMENT_HEADER }
    }

    /// Reads a stretch off the front of a chain; what follows behind a hole is left in it.
    fn read(
        dir: &dyn Dir,
        options: &LogOptions,
        chain: &mut Vec<Link>,
        gap: Option<Gap>,
    ) -> Result<Stretch, Error> {
        let (mut first, mut newest, mut clock_us) = (None, Version(0), 0);
        let ended = read_chain(dir, options, chain, LogPosition::default(), &mut |record, _| {
            let stamp = clock_behind(None, &record).ok().flatten();
            clock_us = stamp.map_or(clock_us, |stamp| stamp.shard_us.max(clock_us));
            let Ok(batch) = record.batch() else { return Ok(()) };
            if record.kind != RecordKind::WRITES {
                return Ok(());
            }
            for op in batch.ops().flatten() {
                first = first.or(Some(op.version));
                newest = newest.max(op.version);
            }
            Ok(())
        })?;
        let damage = ended.damage(dir, options, chain)?.map(|damage| damage.to_string());
        let behind = chain.split_off((ended.link + 1).min(chain.len()));
        let chain = std::mem::replace(chain, behind);
        Ok(Stretch { chain, gap, end: ended.position, damage, first, newest, clock_us })
    }
}

/// Divides a chain where parts aren't sound.
fn split(
    dir: &dyn Dir,
    options: &LogOptions,
    mut chain: Vec<Link>,
    mut gap: Option<Gap>,
    stretches: &mut Vec<Stretch>,
) -> Result<(), Error> {
    while !chain.is_empty() {
        let stretch = Stretch::read(dir, options, &mut chain, gap.take())?;
        match &stretch.damage {
            Some(damage) => {
                gap = Some(Gap { damage: damage.clone(), was_let_go: false, is_absence: false });
            }
            // It is the tail, and nothing that was begun behind it has a part that counts.
            None => chain.clear(),
        }
        stretches.push(stretch);
    }
    Ok(())
}

/// Takes out what comes before the last gap that is shown to have been let go. One with nothing before it needs no proof
/// where files are gone: the log starts behind it.
fn drop_what_was_let_go(stretches: &mut Vec<Stretch>, known: Extent, in_tables: Version) {
    let was_let_go = |&index: &usize| {
        let Some(gap) = &stretches[index].gap else { return false };
        let (before, behind) = stretches.split_at(index);
        let first = behind.iter().find_map(|stretch| stretch.first);
        let newest = before.iter().map(|stretch| stretch.newest).max().unwrap_or_default();
        gap.was_let_go
            || known.start.segment >= stretches[index].start().segment
            || first.is_some_and(|first| first <= in_tables)
            || gap.is_absence && newest <= in_tables
    };
    if let Some(start) = (0..stretches.len()).rev().find(was_let_go) {
        stretches.drain(..start);
        stretches[0].gap = None;
    }
}

/// What is wrong behind the last stretch, if anything is.
fn lost_end(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    known: Extent,
    in_tables: Version,
    stretches: &[Stretch],
) -> Result<Option<String>, Error> {
    let newest = inventory.newest_generation();
    if newest < known.reached.generation {
        let missing = Missing::newest(known.reached, newest);
        return Ok(Some(inventory.describe(dir, missing).to_string()));
    }
    let Some(last) = stretches.last() else {
        let lacks_files = inventory.files.is_empty() && in_tables > Version(0);
        return Ok(lacks_files.then(|| format!("no file of the log is in {}", dir.path())));
    };
    if last.damage.is_some() {
        return Ok(last.damage.clone());
    }
    let mut staying: Vec<Link> = stretches.iter().flat_map(|stretch| stretch.chain.iter().copied()).collect();
    staying.pop_if(|_| last.end.offset == SEGMENT_HEADER);
    let leftovers = read_leftovers(dir, options, inventory, &staying)?;
    Ok(leftovers.damage(dir, last.end).map(|damage| damage.to_string()))
}
