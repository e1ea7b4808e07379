//! What a segment's header said, put together from the log around it.
//!
//! A damaged header hides a segment whose parts are sound. All that it says is known elsewhere, too:
//!
//! 1. The file is known by its name; the generation by the segment's first part, or by the header that follows.
//! 2. The predecessor is the newest segment of a lower generation. That there was none in between is shown by the
//!    generations, by the first part (it says how far the log was durable), or by the entries: the indices of every
//!    group go on without a gap, in this segment or a later one.
//! 3. The predecessor ended at its last whole part, or, where the log was cut after a failed write, before the first
//!    one whose indices are given again, in whatever segment behind it.
//!
//! What can't be shown isn't restored: the log ends there, as it did. Nor is anything in a log with groups that have replicas: there
//! an index is given again where a leader changes, too, and shows nothing.

use super::format::{NoHeader, PART_HEADER, Previous, SEGMENT_HEADER, SegmentHeader};
use super::inventory::{Inventory, LogFile};
use super::options::LogOptions;
use super::position::{Extent, LogPosition};
use super::reader::SegmentReader;
use super::record::{Record, RecordKind};
use crate::Error;
use crate::dir::Dir;
use crate::key::Partition;
use std::collections::BTreeMap;

/// The first generation of a log.
const FIRST: u64 = 1 << 32;

/// The first index of each group.
type Indices = BTreeMap<Partition, u64>;

/// A damaged header's segment, as its parts tell it.
struct Hidden {
    file: LogFile,
    generation: u64,
    /// What its first part says was durable.
    durable: LogPosition,
    /// The first index of each group in it.
    first: Indices,
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
    if hidden.is_empty() {
        return Ok(Vec::new());
    }
    hidden.sort_by_key(|hidden| hidden.generation);
    let mut segments: Vec<(u64, Indices)> = Vec::new();
    for file in &inventory.files {
        if let Ok(header) = file.header {
            segments.push((header.generation, first_of(dir, options, *file, header.generation)?));
        }
    }
    segments.extend(hidden.iter().map(|hidden| (hidden.generation, hidden.first.clone())));
    let sound = inventory.files.iter().filter_map(|file| Some((*file, file.header.ok()?.generation)));
    for (file, generation) in sound.chain(hidden.iter().map(|hidden| (hidden.file, hidden.generation))) {
        if has_replicas(dir, options, file, generation)? {
            return Ok(Vec::new());
        }
    }
    let mut restored = Vec::new();
    for hidden in hidden {
        let given = given_since(&segments, hidden.generation);
        let Some(header) = header_of(dir, options, inventory, known, &hidden, &given)? else { continue };
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
    let mut first_part = None;
    let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, 0);
    reader.scan(SEGMENT_HEADER, Some(SEGMENT_HEADER + PART_HEADER as u32), &mut |_, part| {
        first_part = Some(part);
        false
    })?;
    let headers = || inventory.files.iter().filter_map(|file| file.header.ok());
    let follower = headers().find(|header| header.previous.file == file.number);
    let heard_of = Some(known.reached.generation).filter(|_| known.reached.file == file.number);
    let generation = first_part.map(|part| part.generation);
    let generation = generation.or(follower.map(|header| header.previous.generation)).or(heard_of);
    let Some(generation) = generation.filter(|&it| headers().all(|header| header.generation != it)) else {
        return Ok(None);
    };
    let durable = first_part.map_or(LogPosition::default(), |part| part.durable);
    let first = first_of(dir, options, file, generation)?;
    Ok(Some(Hidden { file, generation, durable, first }))
}

/// Whether a segment has anything of a group with replicas.
fn has_replicas(dir: &dyn Dir, options: &LogOptions, file: LogFile, generation: u64) -> Result<bool, Error> {
    let mut found = false;
    let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, generation);
    let mut at = SEGMENT_HEADER;
    while let Ok(part) = reader.part(at, None)? {
        reader.visit(at, &part, &mut |record, _| {
            found |= !matches!(record.kind, RecordKind::WRITES | RecordKind::Clock)
                || record.is_copy
                || record.term > 1;
            Ok(())
        })?;
        at += part.padded;
    }
    Ok(found)
}

/// The first index of each group in a segment.
fn first_of(dir: &dyn Dir, options: &LogOptions, file: LogFile, generation: u64) -> Result<Indices, Error> {
    let mut first = Indices::new();
    walk(dir, options, file, generation, &mut |group, index| {
        first.entry(group).or_insert(index);
        true
    })?;
    Ok(first)
}

/// The first index of each group in the segments from a generation on. The lowest is the first: what a later segment
/// gives is above all that was log when it was begun.
fn given_since(segments: &[(u64, Indices)], generation: u64) -> Indices {
    let mut given = Indices::new();
    for (_, first) in segments.iter().filter(|(of, _)| *of >= generation) {
        for (&group, &index) in first {
            given.entry(group).and_modify(|known| *known = index.min(*known)).or_insert(index);
        }
    }
    given
}

/// The header of a hidden segment, if its place in the log can be shown. `given` are the first indices in it and
/// behind it.
fn header_of(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    known: Extent,
    hidden: &Hidden,
    given: &Indices,
) -> Result<Option<SegmentHeader>, Error> {
    let Hidden { file, generation, durable, ref first } = *hidden;
    let before = inventory.files.iter().filter_map(|file| Some((*file, file.header.ok()?)));
    let before = before.filter(|(_, header)| header.generation < generation);
    let begins_all = || !first.is_empty() && first.values().all(|&index| index == 1);
    let previous = match before.max_by_key(|(_, header)| header.generation) {
        _ if known.start.segment == generation => Some(Previous::default()),
        None if generation == FIRST => Some(Previous::default()),
        None if known.start.segment == 0 && begins_all() => Some(Previous::default()),
        None => None,
        Some((file, header)) => {
            let previous = end_before(dir, options, (file, header), hidden, given)?;
            let end = |previous: &Previous| LogPosition { segment: header.generation, offset: previous.end };
            previous.filter(|previous| known.start <= end(previous))
        }
    };
    let durable = if durable.segment < generation { durable } else { LogPosition::default() };
    let is_full = file.len == u64::from(options.segment_bytes);
    let prepared_bytes = if is_full { file.len } else { 0 };
    let (shard_id, file) = (options.shard_id, file.number);
    Ok(previous.map(|previous| SegmentHeader {
        shard_id,
        file,
        generation,
        previous,
        prepared_bytes,
        durable,
    }))
}

/// Where the newest segment known before a hidden one ended, if it is shown to be the one before it.
fn end_before(
    dir: &dyn Dir,
    options: &LogOptions,
    (file, header): (LogFile, SegmentHeader),
    hidden: &Hidden,
    given: &Indices,
) -> Result<Option<Previous>, Error> {
    let Hidden { generation, durable, ref first, .. } = *hidden;
    let mut last = Indices::new();
    let end = walk(dir, options, file, header.generation, &mut |group, index| {
        let is_given_again = given.get(&group).is_some_and(|&given| given <= index);
        if !is_given_again {
            last.insert(group, index);
        }
        !is_given_again
    })?;
    let follows = |indices: &Indices, group, last: u64| Some(*indices.get(group)? == last.checked_add(1)?);
    let goes_on = last.iter().any(|(group, &last)| follows(first, group, last) == Some(true));
    let has_gap = last.iter().any(|(group, &last)| follows(given, group, last) == Some(false));
    // The log was durable in a segment between the two, which isn't there.
    let is_one_missing = durable.segment > header.generation && durable.segment < generation;
    let is_said = (goes_on || durable.segment == header.generation) && !has_gap && !is_one_missing;
    let is_next = is_said || generation - header.generation == 1;
    Ok(is_next.then_some(Previous { generation: header.generation, file: header.file, end }))
}

/// Whether it is where its entry was first: those go on without a gap. Copies may come at any later time.
fn is_own_entry(record: &Record<'_>) -> bool {
    record.kind.is_entry() && !record.is_copy
}

/// Shows the entries of a segment's sound parts, group and index, until `goes_on` is false; where the last part of
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
    while let Ok(part) = reader.part(at, None)? {
        let mut is_part = true;
        reader.visit(at, &part, &mut |record, _| {
            is_part = is_part && (!is_own_entry(&record) || goes_on(record.group, record.index));
            Ok(())
        })?;
        if !is_part {
            break;
        }
        at += part.padded;
    }
    Ok(at)
}
