//! Reading the log back when a shard opens.
//!
//! 1. The chain of segments is found from the newest header backwards (`inventory.rs`).
//! 2. Its parts are read forward, each checked whole before any of its records is handed out.
//! 3. The first bad part ends the log. If anything that was written later says that the log was durable
//!    beyond the bad part's start, it is damage and recovery refuses; otherwise it is the torn tail.
//! 4. What was read and isn't proved durable is written again and synced: a killed process leaves parts that
//!    only the page cache has, and after a failed sync such as no sync will write. Then a new
//!    generation is begun: its header, durable before the first part, names the end that was found. The
//!    upper half of a generation counts openings, so no generation is ever used twice, not even one of
//!    which a crash left nothing but stray sectors.

use super::begin::begin_generation;
use super::format::SEGMENT_HEADER;
use super::inventory::{Inventory, Link, LogFile};
use super::options::LogOptions;
use super::position::{Extent, LogPosition};
use super::reader::{Bad, SegmentReader};
use super::record::Record;
use super::writer::Log;
use crate::Error;
use crate::dir::{Dir, repair_hint};
use crate::io::FileName;

/// Hands every record of every part from where the manifest starts the log on to `visit`, in order, with the
/// position of its part, and returns the writer at the start of a new segment. In an empty directory it
/// makes the first segment. Where there is no room for one, the log is there to be read, and has failed: it begins
/// the segment when it is cut ([`Log::cut`]), as after a failed write.
///
/// Segments before the start are reused or removed. Nothing in the directory changes before all records were visited.
/// Fails with [`Error::Damaged`] where something that was proved durable isn't there any more, and with
/// [`Error::Unusable`] where a segment is missing that the manifest or another segment knows.
pub fn recover(
    dir: &mut dyn Dir,
    known: impl Into<Extent>,
    options: LogOptions,
    visit: &mut dyn FnMut(Record<'_>, LogPosition) -> Result<(), Error>,
) -> Result<Log, Error> {
    options.check()?;
    let inventory = Inventory::read(dir)?;
    inventory.check(dir, &options)?;
    let known = known.into();
    let chain = inventory.chain(known, u64::MAX).map_err(|missing| inventory.describe(dir, missing))?;
    let ended = read_chain(dir, &options, &chain, known.start, visit)?;
    if let Some(damage) = ended.damage(dir, &options, &chain)? {
        return Err(damage);
    }
    let leftovers = read_leftovers(dir, &options, &inventory, ended.staying(&chain))?;
    if let Some(damage) = leftovers.damage(dir, ended.position) {
        return Err(damage);
    }
    let newest = inventory.newest_generation().max(leftovers.newest_generation).max(known.start.segment);
    let kept = chain.into_iter().take(ended.link + 1).collect();
    begin_generation(dir, options, newest, &inventory, kept, ended.proved, ended.position)
}

/// Where reading a chain came to an end.
#[derive(Debug)]
pub(super) struct Ended {
    /// Index in the chain of the segment it ended in.
    pub link: usize,
    /// Where the first bad part, or the next part, starts.
    pub position: LogPosition,
    /// Up to where what was read says that it was durable.
    pub proved: LogPosition,
    bad: Option<Bad>,
    pub parts: u64,
    pub records: u64,
}

impl Ended {
    /// The links that stay log: up to the end, without a segment that has no part, which is replaced.
    pub fn staying<'c>(&self, chain: &'c [Link]) -> &'c [Link] {
        let is_empty = self.position.offset == SEGMENT_HEADER;
        &chain[..chain.len().min(self.link + usize::from(!is_empty))]
    }

    /// The error if what ended the log is damage; `None` if it is the log's tail.
    pub fn damage(
        &self,
        dir: &dyn Dir,
        options: &LogOptions,
        chain: &[Link],
    ) -> Result<Option<Error>, Error> {
        let Some(bad) = &self.bad else { return Ok(None) };
        let link = &chain[self.link];
        let file = FileName::Log(link.header.file);
        if link.len < link.header.prepared_bytes {
            let (made, hint) = (link.header.prepared_bytes, repair_hint(dir));
            let what = format!("the file ends here but was made {made} bytes long; {hint}");
            return Ok(Some(Error::Damaged { file, offset: link.len, what }));
        }
        let Some(proof) = self.proof(dir, options, chain)? else { return Ok(None) };
        let what = format!("{}, though {proof} proves it was durable; {}", bad.what, repair_hint(dir));
        Ok(Some(Error::Damaged { file, offset: bad.offset, what }))
    }

    /// Looks behind the bad part for anything that knew it to be durable.
    fn proof(&self, dir: &dyn Dir, options: &LogOptions, chain: &[Link]) -> Result<Option<String>, Error> {
        let link = &chain[self.link];
        let after = self.position.offset + 1;
        if let Some(proof) = find_proof(dir, options, link, after, self.position)? {
            return Ok(Some(proof));
        }
        for later in &chain[self.link + 1..] {
            if later.header.durable > self.position {
                return Ok(Some(format!("the header of {}", FileName::Log(later.header.file))));
            }
            if let Some(proof) = find_proof(dir, options, later, SEGMENT_HEADER, self.position)? {
                return Ok(Some(proof));
            }
        }
        Ok(None)
    }
}

fn find_proof(
    dir: &dyn Dir,
    options: &LogOptions,
    link: &Link,
    from: u32,
    beyond: LogPosition,
) -> Result<Option<String>, Error> {
    let mut reader = link.reader(dir, options);
    let (mut proof, file) = (None, reader.file());
    reader.scan(from, link.end, &mut |offset, part| {
        if part.generation == link.header.generation && part.durable > beyond {
            proof = Some(format!("the part at offset {offset} of {file}"));
        }
        proof.is_none()
    })?;
    Ok(proof)
}

/// Reads the chain's parts up to the first bad one.
pub(super) fn read_chain(
    dir: &dyn Dir,
    options: &LogOptions,
    chain: &[Link],
    from: LogPosition,
    visit: &mut dyn FnMut(Record<'_>, LogPosition) -> Result<(), Error>,
) -> Result<Ended, Error> {
    let mut ended =
        Ended { link: 0, position: from, proved: LogPosition::default(), bad: None, parts: 0, records: 0 };
    for (index, link) in chain.iter().enumerate() {
        let segment = link.header.generation;
        let first = if segment == from.segment { from.offset } else { 0 };
        ended.link = index;
        ended.proved = ended.proved.max(link.header.durable);
        ended.position = LogPosition { segment, offset: first.max(SEGMENT_HEADER) };
        if link.end.is_some_and(|end| end < ended.position.offset) {
            return Err(Error::Unusable(format!(
                "the manifest in {} starts the log at offset {first} of {}, which ended before; {}",
                dir.path(),
                FileName::Log(link.header.file),
                repair_hint(dir)
            )));
        }
        let mut reader = link.reader(dir, options);
        while link.end != Some(ended.position.offset) {
            match reader.part(ended.position.offset, link.end)? {
                Ok(part) => {
                    reader.visit(ended.position.offset, &part, visit)?;
                    ended.position.offset += part.padded;
                    ended.proved = ended.proved.max(part.durable);
                    ended.parts += 1;
                    ended.records += u64::from(part.records);
                }
                Err(bad) => {
                    ended.bad = Some(bad);
                    return Ok(ended);
                }
            }
        }
    }
    Ok(ended)
}

/// What the files that don't stay log hold.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    pub newest_generation: u64,
    furthest: Option<(LogPosition, FileName)>,
}

impl Leftovers {
    /// The error, if a file has a part that knew the log to be durable beyond `end`.
    pub fn damage(&self, dir: &dyn Dir, end: LogPosition) -> Option<Error> {
        let (_, file) = self.furthest.filter(|(durable, _)| *durable > end)?;
        let hint = repair_hint(dir);
        let what = format!("the header of a log segment can't be read, or is of an older one; {hint}");
        Some(Error::Damaged { file, offset: 0, what })
    }
}

/// Looks through the files that don't stay log for parts that are newer than their headers: the newest segment's header
/// may be damaged, or lost together with the first part, for they are one write.
pub(super) fn read_leftovers(
    dir: &dyn Dir,
    options: &LogOptions,
    inventory: &Inventory,
    kept: &[Link],
) -> Result<Leftovers, Error> {
    let mut leftovers = Leftovers::default();
    let stays = |file: &LogFile| kept.iter().any(|link| link.header.file == file.number);
    for file in inventory.files.iter().filter(|file| !stays(file)) {
        let known = file.header.map_or(0, |header| header.generation);
        let mut reader = SegmentReader::new(dir, options.shard_id, file.number, file.len, 0);
        let name = reader.file();
        reader.scan(SEGMENT_HEADER, None, &mut |_, part| {
            if part.generation > known {
                leftovers.newest_generation = leftovers.newest_generation.max(part.generation);
                if leftovers.furthest.is_none_or(|(durable, _)| part.durable > durable) {
                    leftovers.furthest = Some((part.durable, name));
                }
            }
            true
        })?;
    }
    Ok(leftovers)
}
