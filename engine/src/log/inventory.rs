//! Which log files a directory has, what their headers say, and how the segments follow each other.
//!
//! The newest segment counts, and every segment names its predecessor and where that ended. So the log is
//! the chain read backwards from the newest header; files outside of it are leftovers, whatever they hold. The manifest
//! names a segment at which the chain starts and one that it reaches at least, so no end of it goes unmissed either.

use super::format::{NoHeader, SEGMENT_HEADER, SegmentHeader};
use super::options::LogOptions;
use super::position::{Extent, LogPosition, Reached};
use super::reader::SegmentReader;
use crate::Error;
use crate::dir::{Dir, repair_hint};
use crate::io::FileName;

/// A log file.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogFile {
    pub number: u64,
    pub len: u64,
    pub header: Result<SegmentHeader, NoHeader>,
}

/// A segment of the log proper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub header: SegmentHeader,
    pub len: u64,
    /// Where its successor says it ended; `None` for the newest.
    pub end: Option<u32>,
}

impl Link {
    /// Reads the segment.
    pub fn reader<'d>(&self, dir: &'d dyn Dir, options: &LogOptions) -> SegmentReader<'d> {
        let SegmentHeader { file, generation, .. } = self.header;
        SegmentReader::new(dir, options.shard_id, file, self.len, generation)
    }
}

/// The log files of a directory.
#[derive(Debug)]
pub(super) struct Inventory {
    pub files: Vec<LogFile>,
}

impl Inventory {
    /// Reads every log file's first block.
    pub fn read(dir: &dyn Dir) -> Result<Inventory, Error> {
        let names = dir.list().map_err(|error| Error::io("list", "log files", dir.path(), error))?;
        let mut files = Vec::new();
        for name in names {
            let FileName::Log(number) = name else { continue };
            let len = dir.len(name).map_err(|error| Error::io("stat", name, dir.path(), error))?;
            let header = if len < u64::from(SEGMENT_HEADER) {
                Err(NoHeader::Blank)
            } else {
                let block = dir
                    .read(name, 0, SEGMENT_HEADER as usize)
                    .map_err(|error| Error::io("read", name, dir.path(), error))?;
                SegmentHeader::parse(&block)
            };
            let header =
                header.and_then(|header| if header.file == number { Ok(header) } else { Err(NoHeader::Bad) });
            files.push(LogFile { number, len, header });
        }
        files.sort_by_key(|file| file.number);
        Ok(Inventory { files })
    }

    /// Refuses files of another shard or another format version.
    pub fn check(&self, dir: &dyn Dir, options: &LogOptions) -> Result<(), Error> {
        for file in &self.files {
            match file.header {
                Err(NoHeader::Version(found)) => {
                    let (file, supported) = (FileName::Log(file.number), super::format::FORMAT_VERSION);
                    return Err(Error::Format { file, found, supported });
                }
                Ok(header) if header.shard_id != options.shard_id => {
                    let (file, dir) = (FileName::Log(file.number), dir.path());
                    return Err(Error::Unusable(format!(
                        "{file} in {dir} belongs to another shard; move it back to where it came from"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The highest generation any sound header names.
    pub fn newest_generation(&self) -> u64 {
        self.headers().map(|(header, _)| header.generation).max().unwrap_or(0)
    }

    /// Where the segment that follows says that this one ended.
    pub fn end_of(&self, generation: u64) -> Option<u32> {
        let follower = self.headers().find(|(header, _)| header.previous.generation == generation);
        follower.map(|(header, _)| header.previous.end)
    }

    fn headers(&self) -> impl Iterator<Item = (SegmentHeader, u64)> {
        self.files.iter().filter_map(|file| file.header.ok().map(|header| (header, file.len)))
    }

    /// The segments that the manifest knows to be log and those behind, oldest first, that lead to the newest generation
    /// below `below`. The error is the link that is missing.
    pub fn chain(&self, known: Extent, below: u64) -> Result<Vec<Link>, Missing> {
        let Extent { start: from, reached } = known;
        let newest = self
            .headers()
            .filter(|(header, _)| header.generation >= from.segment && header.generation < below)
            .max_by_key(|(header, _)| header.generation);
        let found = newest.map_or(0, |(header, _)| header.generation);
        if found < reached.generation && reached.generation < below {
            return Err(Missing::newest(reached, found));
        }
        let Some((header, len)) = newest else {
            return if from.segment == 0 { Ok(Vec::new()) } else { Err(Missing::first(from)) };
        };
        match self.back_from(header, len, from.segment) {
            (chain, None) => Ok(chain),
            (_, Some(missing)) => Err(missing),
        }
    }

    /// The segments that lead to the newest generation below `below`, oldest first, as far back as they are there, and
    /// the one before them if there was one.
    pub fn chain_that_is_there(&self, below: u64) -> (Vec<Link>, Option<Missing>) {
        let newest = self.headers().filter(|(header, _)| header.generation < below);
        match newest.max_by_key(|(header, _)| header.generation) {
            Some((header, len)) => self.back_from(header, len, 0),
            None => (Vec::new(), None),
        }
    }

    /// The segments from `to` or the log's beginning on that lead to this one, and the link that is missing.
    fn back_from(&self, newest: SegmentHeader, len: u64, to: u64) -> (Vec<Link>, Option<Missing>) {
        let mut chain = vec![Link { header: newest, len, end: None }];
        let (mut first, mut missing) = (newest, None);
        while first.generation != to && first.previous.generation != 0 && first.previous.generation >= to {
            let previous = first.previous;
            let follows = |header: &SegmentHeader| {
                header.generation == previous.generation && header.generation < first.generation
            };
            let link = self.headers().find(|(header, _)| follows(header));
            let Some((header, len)) = link else {
                missing = Some(Missing {
                    generation: previous.generation,
                    file: Some(previous.file),
                    told_by: ToldBy::Follower { file: first.file, end: previous.end },
                });
                break;
            };
            chain.push(Link { header, len, end: Some(previous.end) });
            first = header;
        }
        chain.reverse();
        (chain, missing)
    }

    /// Whether the file of a missing segment has begun a later life: the segment had been let go.
    pub fn is_used_again(&self, missing: &Missing) -> bool {
        let is_later = |(header, _): (SegmentHeader, u64)| {
            Some(header.file) == missing.file && header.generation > missing.generation
        };
        self.headers().any(is_later)
    }

    /// Whether the file of a missing segment is there and holds something that can't be read.
    pub fn is_unread(&self, missing: &Missing) -> bool {
        let is_unread =
            |file: &LogFile| file.header == Err(NoHeader::Bad) && Some(file.number) == missing.file;
        self.files.iter().any(is_unread)
    }

    /// A missing link as an error that names what to look for.
    pub fn describe(&self, dir: &dyn Dir, missing: Missing) -> Error {
        let Missing { generation, file, told_by } = missing;
        let known = file.and_then(|number| self.files.iter().find(|file| file.number == number));
        let suspect = known.or_else(|| {
            let is_unread = |file: &&LogFile| file.header == Err(NoHeader::Bad);
            self.files.iter().find(is_unread).filter(|_| file.is_none())
        });
        if let Some(suspect) = suspect {
            let what = match suspect.header {
                Ok(header) => format!(
                    "it should be segment {generation} of the log but its header says {}",
                    header.generation
                ),
                Err(_) => format!("the header of log segment {generation} can't be read"),
            };
            let (file, what) = (FileName::Log(suspect.number), format!("{what}; {}", repair_hint(dir)));
            return Error::Damaged { file, offset: 0, what };
        }
        let name = file.map_or("its file".to_owned(), |number| FileName::Log(number).to_string());
        let (who, held) = match told_by {
            ToldBy::Manifest { before: 0 } => ("the manifest names".to_owned(), "all of the log".to_owned()),
            ToldBy::Manifest { before } => {
                ("the manifest names".to_owned(), format!("all that was logged behind segment {before}"))
            }
            ToldBy::Follower { file, end } => {
                (format!("{} follows", FileName::Log(file)), format!("the log up to {generation}:{end}"))
            }
        };
        Error::Unusable(format!(
            "{name}, log segment {generation}, which {who}, is missing from {}; {held} was in it; put it back, or {}",
            dir.path(),
            repair_hint(dir)
        ))
    }
}

/// A segment that the log needs and no sound header names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    pub generation: u64,
    file: Option<u64>,
    told_by: ToldBy,
}

/// How it is known that there was such a segment.
#[derive(Clone, Copy, Debug)]
enum ToldBy {
    /// The manifest starts the log in it, or heard of it; the newest segment before it that is there.
    Manifest { before: u64 },
    /// The segment in this file follows it, and says where it ended.
    Follower { file: u64, end: u32 },
}

impl Missing {
    /// Whether there is no segment before it: nothing of the log is left from where the manifest starts it.
    pub fn is_everything(&self) -> bool {
        matches!(self.told_by, ToldBy::Manifest { before: 0 })
    }

    fn first(from: LogPosition) -> Missing {
        Missing { generation: from.segment, file: None, told_by: ToldBy::Manifest { before: 0 } }
    }

    /// The newest segment that the manifest heard of; the newest before it that is there.
    pub fn newest(reached: Reached, before: u64) -> Missing {
        let Reached { generation, file } = reached;
        Missing { generation, file: Some(file), told_by: ToldBy::Manifest { before } }
    }
}
