//! Reads entries of a group back while the log is open: for a replica that is behind by more than is kept in memory.
//!
//! A job like a flush: it asks for pieces of the segments and checks every part as a recovery does. It holds no segment: one that
//! was let go and used again since shows itself by its generation, and what was in it isn't there any more.

use super::format::{PART_HEADER, PartHeader, SEGMENT_HEADER, Seed};
use super::position::LogPosition;
use super::record::{Record, RecordKind};
use super::writer::Log;
use crate::Error;
use crate::aligned::AlignedBuf;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use crate::job::{Job, JobKind, JobOutput, JobStep, LoggedEntry};
use crate::key::Partition;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

/// What is read at once; a longer part is read whole.
const READ_BYTES: u64 = 256 << 10;

/// The job. See the module's text.
#[derive(Debug)]
pub struct ReadBackJob {
    shard_id: [u8; 16],
    group: Partition,
    wanted: RangeInclusive<u64>,
    /// What is still to be read.
    stretches: VecDeque<Stretch>,
    /// Bytes of the first stretch, and where they begin in its file.
    window: AlignedBuf,
    window_at: u64,
    is_reading: bool,
    found: BTreeMap<u64, LoggedEntry>,
}

/// A stretch of a segment.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    file: u64,
    generation: u64,
    at: u64,
    end: u64,
}

/// What a part that is to be read came to.
enum Part {
    Read(IoRequest),
    Taken(usize),
    /// There is none: the segment ends, or it isn't the one that it was.
    None,
}

impl Log {
    /// A job that reads a group's entries back, of which the first lies at `from` or behind: those that stand in the log as far as it is
    /// written now, whatever was in their places before. It ends with [`JobOutput::Entries`], or with an error where some of
    /// them aren't in the log any more.
    pub fn read_back(&self, group: Partition, wanted: RangeInclusive<u64>, from: LogPosition) -> ReadBackJob {
        let end = self.end();
        let stretches = self
            .segments
            .live()
            .filter(|segment| segment.generation >= from.segment && segment.generation <= end.segment);
        let stretches = stretches.map(|segment| Stretch {
            file: segment.file,
            generation: segment.generation,
            at: first_of(segment.generation, from).into(),
            end: if segment.generation == end.segment { end.offset.into() } else { segment.bytes },
        });
        ReadBackJob {
            shard_id: self.options.shard_id,
            group,
            wanted,
            stretches: stretches.collect(),
            window: AlignedBuf::with_capacity(0),
            window_at: 0,
            is_reading: false,
            found: BTreeMap::new(),
        }
    }
}

/// Where the first part begins that is read of a segment.
fn first_of(generation: u64, from: LogPosition) -> u32 {
    if generation == from.segment { from.offset.max(SEGMENT_HEADER) } else { SEGMENT_HEADER }
}

impl ReadBackJob {
    /// Takes the part that comes next in a stretch, or asks for it.
    fn part(&mut self, stretch: Stretch) -> Result<Part, Error> {
        let Some(header) = self.bytes(stretch, PART_HEADER) else {
            return Ok(self.ask(stretch, PART_HEADER));
        };
        let seed = Seed::of_file(&self.shard_id, stretch.file);
        let part = PartHeader::parse(seed, stretch.at, header);
        let Some(part) = part.filter(|part| part.generation == stretch.generation) else {
            return Ok(Part::None);
        };
        let len = part.padded as usize;
        let Some(bytes) = self.bytes(stretch, len) else { return Ok(self.ask(stretch, len)) };
        let file = FileName::Log(stretch.file);
        let sound = part.verify(seed.of_segment(stretch.generation), stretch.at, bytes);
        sound.map_err(|(offset, what)| Error::Damaged { file, offset, what })?;
        let mut taken = Vec::new();
        for record in part.records(bytes) {
            let record =
                record.map_err(|unknown| unknown.error(file, "the shard's directory", stretch.at))?;
            taken.extend(self.is_about(&record).then(|| entry_of(&record)).flatten());
        }
        taken.into_iter().for_each(|(entry, is_copy)| self.take(entry, is_copy));
        Ok(Part::Taken(len))
    }

    fn is_about(&self, record: &Record<'_>) -> bool {
        record.group == self.group && record.index <= *self.wanted.end()
    }

    fn bytes(&self, stretch: Stretch, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(stretch.at.checked_sub(self.window_at)?).ok()?;
        self.window.get(start..start.checked_add(len)?)
    }

    /// Asks for at least so many bytes; there is no part where the stretch ends before.
    fn ask(&mut self, stretch: Stretch, len: usize) -> Part {
        let left = stretch.end.saturating_sub(stretch.at);
        if left < len as u64 {
            return Part::None;
        }
        self.is_reading = true;
        self.window_at = stretch.at;
        let len = READ_BYTES.max(len as u64).min(left) as usize;
        Part::Read(IoRequest::Read {
            token: Token(0),
            file: FileName::Log(stretch.file),
            offset: stretch.at,
            len,
        })
    }

    /// An entry deletes those at and behind its index; a copy deletes nothing.
    fn take(&mut self, entry: LoggedEntry, is_copy: bool) {
        if is_copy && self.found.get(&entry.index).is_some_and(|known| known.term >= entry.term) {
            return;
        }
        if !is_copy {
            self.found.split_off(&entry.index);
        }
        if self.wanted.contains(&entry.index) {
            self.found.insert(entry.index, entry);
        }
    }

    fn finish(&mut self) -> Result<JobOutput, Error> {
        let found = std::mem::take(&mut self.found);
        match self.wanted.clone().find(|index| !found.contains_key(index)) {
            None => Ok(JobOutput::Entries(found.into_values().collect())),
            Some(index) => Err(Error::Unusable(format!(
                "entry {index} of partition {} isn't in the log any more",
                self.group.0
            ))),
        }
    }
}

/// The entry that a record is, and whether it is a copy.
fn entry_of(record: &Record<'_>) -> Option<(LoggedEntry, bool)> {
    let RecordKind::Entry(entry) = record.kind else { return None };
    let Record { term, index, is_copy, payload, .. } = *record;
    Some((LoggedEntry { term, index, entry, payload: payload.into() }, is_copy))
}

impl Job for ReadBackJob {
    fn kind(&self) -> JobKind {
        JobKind::Housekeeping
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep {
        for completion in completions.drain(..) {
            self.is_reading = false;
            match completion.result {
                Ok(IoOutput::Data(data)) => self.window = data,
                Ok(_) => {}
                Err(source) => {
                    let file = self.stretches.front().map_or(0, |stretch| stretch.file);
                    let file = FileName::Log(file);
                    return JobStep::Done(Err(Error::io("read", file, "the shard's directory", source)));
                }
            }
        }
        let mut taken = 0;
        while !self.is_reading {
            let Some(&stretch) = self.stretches.front() else { return JobStep::Done(self.finish()) };
            if taken > budget_bytes {
                return JobStep::More;
            }
            match self.part(stretch) {
                Err(error) => return JobStep::Done(Err(error)),
                Ok(Part::Read(request)) => requests.push(request),
                Ok(Part::Taken(len)) => {
                    taken += len;
                    self.stretches[0].at += len as u64;
                }
                Ok(Part::None) => {
                    self.stretches.pop_front();
                    self.window.clear();
                }
            }
        }
        JobStep::Waiting
    }
}
