//! Everything that log files hold, for inspection.

use super::format::SEGMENT_HEADER;
use super::inventory::Inventory;
use super::position::LogPosition;
use super::reader::SegmentReader;
use super::record::Record;
use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;

/// Something found in a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpItem<'a> {
    /// A segment begins.
    Segment {
        /// Its file.
        file: FileName,
        /// Its generation.
        generation: u64,
        /// The generation before it and the offset that one ended at; 0 at the log's beginning.
        previous: LogPosition,
        /// Where the log was known to be durable to when the segment began.
        durable: LogPosition,
    },
    /// A sound part begins.
    Part {
        /// Where.
        at: LogPosition,
        /// Its length with header and padding.
        bytes: u32,
        /// How many records follow.
        records: u32,
        /// Where the log was known to be durable to when it was written.
        durable: LogPosition,
    },
    /// A record of the part before.
    Record {
        /// Where its part starts.
        at: LogPosition,
        /// The record.
        record: Record<'a>,
    },
    /// No sound part follows in this segment.
    End {
        /// Where.
        at: LogPosition,
        /// Why; at the log's tail and where a successor began earlier, this is as it should be.
        what: String,
    },
    /// A file without a sound segment header: a spare, or damaged.
    Unused {
        /// The file.
        file: FileName,
    },
}

/// Hands out what every log file of a directory holds, oldest segment first, whether or not it still
/// counts: what a manifest's log start and the successors' headers exclude is shown too.
pub fn dump(dir: &dyn Dir, visit: &mut dyn FnMut(DumpItem<'_>) -> Result<(), Error>) -> Result<(), Error> {
    let mut files = Inventory::read(dir)?.files;
    files.sort_by_key(|file| file.header.map_or(u64::MAX, |header| header.generation));
    for file in files {
        let name = FileName::Log(file.number);
        let Ok(header) = file.header else {
            visit(DumpItem::Unused { file: name })?;
            continue;
        };
        let previous = LogPosition { segment: header.previous.generation, offset: header.previous.end };
        let (generation, durable) = (header.generation, header.durable);
        visit(DumpItem::Segment { file: name, generation, previous, durable })?;
        let mut reader = SegmentReader::new(dir, header.shard_id, file.number, file.len, generation);
        let mut at = LogPosition { segment: generation, offset: SEGMENT_HEADER };
        loop {
            let part = match reader.part(at.offset, None)? {
                Ok(part) => part,
                Err(bad) => {
                    visit(DumpItem::End { at, what: bad.what })?;
                    break;
                }
            };
            let (bytes, records, durable) = (part.padded, part.records, part.durable);
            visit(DumpItem::Part { at, bytes, records, durable })?;
            reader.visit(at.offset, &part, &mut |record, at| visit(DumpItem::Record { at, record }))?;
            at.offset += part.padded;
        }
    }
    Ok(())
}
