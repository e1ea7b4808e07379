//! What a segment's header said, put together from the log around it.
//!
//! A damaged header hides a segment whose commits are sound. All that it says is known elsewhere, too:
//!
//! 1. The file is known by its name; the generation by the segment's first commit, or by the header that follows.
//! 2. The predecessor is the newest segment of a lower generation. That there was none in between is shown by the
//!    generations, by the first commit (it says how far the log was durable), or by the entries: a group's indices go
//!    on without a gap.
//! 3. The predecessor ended at its last whole commit, or, where the log was cut after a failed write, before the first
//!    one whose indices are given again behind it.
//!
//! What can't be shown isn't restored: the log ends there, as it did.

use super::format::{COMMIT_HEADER, NoHeader, Previous, SEGMENT_HEADER, SegmentHeader};
use super::inventory::{Inventory, LogFile};
use super::reader::SegmentReader;
use super::{Extent, LogOptions, LogPosition, RecordKind};
use crate::Error;
use crate::dir::Dir;
use crate::key::Partition;
use std::collections::BTreeMap;

/// The first generation of a log.
const FIRST: u64 = 1 << 32;

/// A damaged header's segment, as its commits tell it.
struct Hidden {
    file: LogFile,
    generation: u64,
    /// What its first commit says was durable.
    durable: LogPosition,
    /// The first index of each group in it.
    first: BTreeMap<Partition, u64>,
}

/// Puts the headers that are damaged, and can be known, back into the inventory; they are returned, to be written.
pub(super) fn restore(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &mut Inventory,
    known: Extent,
) -> Result<Vec<SegmentHeader>, Error> {
    let is_hidden = |file: &&LogFile| matches!(file.header, Err(NoHeader::Bad | NoHeader::Blank));
    let mut hidden = Vec::new();
    for file in inventory.files.iter().filter(is_hidden) {
        hidden.extend(look(dir, options, inventory, known, *file)?);
    }
    hidden.sort_by_key(|hidden| hidden.generation);
    let mut restored = Vec::new();
    for hidden in hidden {
        let Some(header) = header_of(dir, options, inventory, known, &hidden)? else { continue };
        let place = inventory.files.iter_mut().find(|file| file.number == header.file);
        let place = place.expect("the file was found in the inventory");
        place.header = Ok(header);
        restored.push(header);
    }
    Ok(restored)
}

/// Finds out which segment a file is; `None` if it is none, or another file has it.
fn look(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    known: Extent,
    file: LogFile,
) -> Result<Option<Hidden>, Error> {
    let mut first_commit = None;
    let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, 0);
    reader.scan(SEGMENT_HEADER, Some(SEGMENT_HEADER + COMMIT_HEADER as u32), &mut |_, commit| {
        first_commit = Some(commit);
        false
    })?;
    let headers = || inventory.files.iter().filter_map(|file| file.header.ok());
    let follower = headers().find(|header| header.previous.file == file.number);
    let heard_of = Some(known.reached.generation).filter(|_| known.reached.file == file.number);
    let generation = first_commit.map(|commit| commit.generation);
    let generation = generation.or(follower.map(|header| header.previous.generation)).or(heard_of);
    let Some(generation) = generation.filter(|&it| headers().all(|header| header.generation != it)) else {
        return Ok(None);
    };
    let durable = first_commit.map_or(LogPosition::default(), |commit| commit.durable);
    let mut first = BTreeMap::new();
    walk(dir, options, file, generation, &mut |group, index| {
        first.entry(group).or_insert(index);
        true
    })?;
    Ok(Some(Hidden { file, generation, durable, first }))
}

/// The header of a hidden segment, if its place in the log can be shown.
fn header_of(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    known: Extent,
    hidden: &Hidden,
) -> Result<Option<SegmentHeader>, Error> {
    let Hidden { file, generation, durable, ref first } = *hidden;
    let before = inventory.files.iter().filter_map(|file| Some((*file, file.header.ok()?)));
    let before = before.filter(|(_, header)| header.generation < generation);
    let previous = match before.max_by_key(|(_, header)| header.generation) {
        _ if known.start.segment == generation => Previous::default(),
        None if generation == FIRST || first.values().all(|&index| index == 1) => Previous::default(),
        None => return Ok(None),
        Some((file, header)) => {
            let mut last = BTreeMap::new();
            let end = walk(dir, options, file, header.generation, &mut |group, index| {
                let is_given_again = first.get(&group).is_some_and(|&first| first <= index);
                if !is_given_again {
                    last.insert(group, index);
                }
                !is_given_again
            })?;
            let follows = |(group, &index): (&Partition, &u64)| {
                last.get(group).is_some_and(|&last: &u64| last.checked_add(1) == Some(index))
            };
            let goes_on = first.iter().any(follows);
            let is_next = generation - header.generation == 1 || durable.segment == header.generation;
            let is_before_start = known.start > LogPosition { segment: header.generation, offset: end };
            if !(goes_on || is_next) || is_before_start {
                return Ok(None);
            }
            Previous { generation: header.generation, file: header.file, end }
        }
    };
    let durable = if durable.segment < generation { durable } else { LogPosition::default() };
    let is_full = file.len == u64::from(options.segment_bytes);
    let prepared_bytes = if is_full { file.len } else { 0 };
    let shard_id = options.shard_id;
    Ok(Some(SegmentHeader { shard_id, file: file.number, generation, previous, prepared_bytes, durable }))
}

/// Shows the entries of a segment's sound commits, group and index, until `goes_on` is false; where the last commit of
/// which it wasn't ends.
fn walk(
    dir: &dyn Dir,
    options: &LogOptions,
    file: LogFile,
    generation: u64,
    goes_on: &mut dyn FnMut(Partition, u64) -> bool,
) -> Result<u32, Error> {
    let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, generation);
    let mut at = SEGMENT_HEADER;
    while let Ok(commit) = reader.commit(at, None)? {
        let mut is_part = true;
        reader.visit(at, &commit, &mut |record, _| {
            is_part = is_part && (record.kind != RecordKind::Entry || goes_on(record.group, record.index));
            Ok(())
        })?;
        if !is_part {
            break;
        }
        at += commit.padded;
    }
    Ok(at)
}
