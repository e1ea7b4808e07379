//! Begins a new generation when the log was read (or there was none), and sorts out the files.

use super::format::{NoHeader, Previous, SEGMENT_HEADER, SegmentHeader};
use super::inventory::{Inventory, Link};
use super::options::LogOptions;
use super::position::LogPosition;
use super::segments::{SPARES_MAX, Segment, Segments};
use super::writer::Log;
use crate::Error;
use crate::aligned::ALIGN;
use crate::dir::{Dir, rewrite};
use crate::error::is_without_room;
use crate::io::FileName;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;

const FILL_BYTES: usize = 1 << 20;

/// Makes the segments in `kept`, which end at `end` and are proved durable until `proved`, durable, begins a segment of a generation above
/// `newest` behind them, and clears away what isn't log. Without room for that segment the log is one that has failed.
pub(super) fn begin_generation(
    dir: &mut dyn Dir,
    options: LogOptions,
    newest: u64,
    inventory: &Inventory,
    mut kept: Vec<Link>,
    proved: LogPosition,
    end: LogPosition,
) -> Result<Log, Error> {
    let Some(generation) = generation_above(newest) else {
        return Err(Error::Unusable(format!(
            "the log in {} was opened 2^32 times, or says so: no generation is left; load its data into a new store",
            dir.path()
        )));
    };
    for link in &kept {
        make_durable(dir, link, proved, end)?;
    }
    let mut previous = kept.last().map_or(Previous::default(), |link| Previous {
        generation: link.header.generation,
        file: link.header.file,
        end: end.offset,
    });
    let files = match sort_files(dir, &options, inventory, &kept, end) {
        Err(Error::Io { source, .. }) if is_without_room(&source) && !kept.is_empty() => {
            let next_number = inventory.files.last().map_or(1, |file| file.number + 1);
            let live = live_segments(&options, &kept);
            let segments = Segments::new(options.segment_bytes, next_number, live, Vec::new());
            return Ok(Log::without_room(options, segments, generation, end));
        }
        files => files?,
    };
    // A newest segment without a part is replaced, so that openings alone don't make the log grow.
    if let Some(empty) = kept.pop_if(|_| end.offset == SEGMENT_HEADER) {
        previous = empty.header.previous;
    }
    let header = SegmentHeader {
        shard_id: options.shard_id,
        file: files.segment,
        generation,
        previous,
        prepared_bytes: options.segment_bytes.into(),
        durable: LogPosition { segment: previous.generation, offset: previous.end },
    };
    let mut block = vec![0; SEGMENT_HEADER as usize];
    header.encode(&mut block);
    dir.write(FileName::Log(files.segment), 0, &block)
        .map_err(|error| Error::io("write", FileName::Log(files.segment), dir.path(), error))?;
    sync(dir, files.segment)?;
    dir.sync_dir().map_err(|error| Error::io("sync", "names", dir.path(), error))?;
    files.waste.iter().try_for_each(|&number| unlink(dir, number))?;
    let live = live_segments(&options, &kept);
    let segments = Segments::new(options.segment_bytes, files.next_number, live, files.spares);
    let bytes = options.segment_bytes.into();
    let newest = Segment { generation, file: files.segment, prepared: true, bytes };
    Ok(Log::new(options, segments, newest))
}

fn live_segments(options: &LogOptions, kept: &[Link]) -> VecDeque<Segment> {
    let segment = |link: &Link| Segment {
        generation: link.header.generation,
        file: link.header.file,
        prepared: link.len == u64::from(options.segment_bytes),
        bytes: link.len,
    };
    kept.iter().map(segment).collect()
}

/// The first generation of the opening after the one that `newest` belongs to.
fn generation_above(newest: u64) -> Option<u64> {
    u32::try_from((newest >> 32) + 1).ok().map(|opening| u64::from(opening) << 32)
}

struct Files {
    /// For the new segment; zero-filled or used before, synced.
    segment: u64,
    spares: Vec<u64>,
    waste: Vec<u64>,
    next_number: u64,
}

/// Decides what becomes of the files that aren't kept, and makes one if none can be used. A newest segment in `kept`
/// without a part, which the new one replaces, isn't overwritten for that: until the new header is durable it is all
/// that says how far the log has come.
fn sort_files(
    dir: &mut dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    kept: &[Link],
    end: LogPosition,
) -> Result<Files, Error> {
    let size = u64::from(options.segment_bytes);
    let mut next_number = inventory.files.last().map_or(1, |file| file.number + 1);
    let replaced = kept.last().filter(|_| end.offset == SEGMENT_HEADER).map(|link| link.header.file);
    let (mut usable, mut waste) = (Vec::new(), Vec::new());
    for file in &inventory.files {
        if kept.iter().any(|link| link.header.file == file.number) {
            continue;
        }
        if file.len == size && usable.len() <= SPARES_MAX {
            usable.push(file.number);
        } else if file.header == Err(NoHeader::Blank) {
            // It was never used, and its room may be wanted below.
            unlink(dir, file.number)?;
        } else {
            waste.push(file.number);
        }
    }
    if usable.is_empty() {
        let file = FileName::Log(next_number);
        if let Err(error) = fill(dir, file, size) {
            // What there is of it would only take room. (Mostly: a file that wasn't even made can't be removed.)
            drop(dir.unlink(file));
            return Err(Error::io("prepare", file, dir.path(), error));
        }
        usable.push(next_number);
        next_number += 1;
    }
    // Their length must be durable before a header says so: whoever made them may have been killed.
    for &number in &usable {
        let file = FileName::Log(number);
        rewrite(dir, file, size - ALIGN as u64..size)
            .map_err(|error| Error::io("prepare", file, dir.path(), error))?;
    }
    let mut spares = usable.split_off(1);
    if let Some(replaced) = replaced {
        let is_spare = inventory.files.iter().any(|file| file.number == replaced && file.len == size);
        if is_spare && spares.len() < SPARES_MAX { spares.push(replaced) } else { waste.push(replaced) }
    }
    Ok(Files { segment: usable[0], spares, waste, next_number })
}

/// Makes durable what a segment of the log holds.
fn make_durable(dir: &mut dyn Dir, link: &Link, proved: LogPosition, end: LogPosition) -> Result<(), Error> {
    let segment = link.header.generation;
    let from = match segment.cmp(&proved.segment) {
        Ordering::Less => return sync(dir, link.header.file),
        Ordering::Equal => proved.offset,
        Ordering::Greater => 0,
    };
    let to = if segment == end.segment { end.offset } else { link.end.unwrap_or(from) };
    let file = FileName::Log(link.header.file);
    // A file that the log made in a hurry, and cut before its first part, may hold less than its header's block.
    let to = u64::from(to).min(link.len);
    rewrite(dir, file, u64::from(from).min(to)..to)
        .map_err(|error| Error::io("make durable", file, dir.path(), error))
}

fn sync(dir: &mut dyn Dir, number: u64) -> Result<(), Error> {
    let file = FileName::Log(number);
    dir.sync(file).map_err(|error| Error::io("sync", file, dir.path(), error))
}

fn unlink(dir: &mut dyn Dir, number: u64) -> Result<(), Error> {
    let file = FileName::Log(number);
    dir.unlink(file).map_err(|error| Error::io("remove", file, dir.path(), error))
}

fn fill(dir: &mut dyn Dir, file: FileName, size: u64) -> io::Result<()> {
    dir.create(file)?;
    let zeros = vec![0; FILL_BYTES];
    let mut at = 0;
    while at < size {
        let len = (size - at).min(FILL_BYTES as u64);
        dir.write(file, at, &zeros[..len as usize])?;
        at += len;
    }
    Ok(())
}
