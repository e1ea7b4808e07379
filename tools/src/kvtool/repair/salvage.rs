//! Rewriting a table from the blocks that are sound.

use super::aside::ShardAside;
use crate::kvtool::target::Shard;
use crate::kvtool::text::key;
use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::create_file;
use pinion_engine::io::FileName;
use pinion_engine::key::{Entry, Version};
use pinion_engine::manifest::TableEntry;
use pinion_engine::table::{Block, BlockCursor, Compression, Salvage, TableBuilder, salvage};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Writes are about so long.
const WRITE_BYTES: usize = 1 << 20;

/// What became of a damaged table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableRepair {
    /// Its file.
    pub file: String,
    /// `salvaged`, `dropped` or `missing`.
    pub outcome: &'static str,
    /// Entries that stay.
    pub entries: u64,
    /// What is lost, in words.
    pub lost: Vec<String>,
}

/// Rewrites table `number` in its place; the original is kept. `None` for the entry if nothing could be saved.
pub fn rewrite(
    shard: &Shard,
    table: &TableEntry,
    aside: &ShardAside,
) -> Result<(TableRepair, Option<TableEntry>), Error> {
    let (dir, file) = (&shard.dir, FileName::Table(table.number));
    let path = Path::new(&dir.path()).join(file.to_string());
    let failed = |operation, source| Error::io(operation, file, dir.path(), source);
    let made = aside.scratch(&format!("{file}.salvaged"));
    let output = create_file(&made).map_err(|source| failed("salvage", source))?;
    let mut rewriter = Rewriter::new(table.number, output);
    let salvaged = salvage(dir, table.number, &mut |block| rewriter.take(&block))?;
    let (mut report, file_bytes) = rewriter.finish(&salvaged)?;
    report.file = file.to_string();
    aside.link(&path)?;
    let Some(file_bytes) = file_bytes else {
        report.outcome = "dropped";
        std::fs::remove_file(&made).map_err(|source| failed("remove", source))?;
        return Ok((report, None));
    };
    report.outcome = "salvaged";
    std::fs::rename(&made, &path).map_err(|source| failed("replace", source))?;
    let mut dir = dir.clone();
    dir.sync_dir().map_err(|source| failed("sync", source))?;
    Ok((report, Some(TableEntry { file_bytes, ..*table })))
}

/// Takes sound blocks, makes a table of them.
struct Rewriter {
    builder: TableBuilder,
    output: File,
    number: u64,
    entries: u64,
    misplaced: u64,
    last: Option<(Vec<u8>, Version)>,
    /// Where the last block ended in the damaged file.
    end: u64,
    lost: Vec<String>,
}

impl Rewriter {
    fn new(number: u64, output: File) -> Rewriter {
        Rewriter {
            builder: TableBuilder::new(number, Compression::None, 0),
            output,
            number,
            entries: 0,
            misplaced: 0,
            last: None,
            end: 0,
            lost: Vec::new(),
        }
    }

    fn take(&mut self, block: &Arc<Block>) -> Result<(), Error> {
        let at = block.at();
        let mut cursor = BlockCursor::new(block.clone());
        if at.offset > self.end
            && let Some(first) = cursor.entry()
        {
            let from = self.last.as_ref().map_or_else(|| "the first key".to_owned(), |(last, _)| key(last));
            self.lost.push(format!("entries between {from} and {}", key(first.key)));
        }
        self.end = at.offset + u64::from(at.len);
        while let Some(entry) = cursor.entry() {
            self.add(entry);
            cursor.next();
        }
        while let Some(run) = self.builder.take_output(WRITE_BYTES) {
            self.write(&run)?;
        }
        Ok(())
    }

    /// Adds an entry if it is behind the last, as it must be.
    fn add(&mut self, entry: Entry<'_>) {
        let version = entry.stamp.version();
        let is_behind = self.last.as_ref().is_none_or(|(key, last)| {
            key.as_slice() < entry.key || (key.as_slice() == entry.key && *last > version)
        });
        if !is_behind {
            self.misplaced += 1;
            return;
        }
        self.builder.add(entry);
        self.entries += 1;
        let (key, last) = self.last.get_or_insert_default();
        key.clear();
        key.extend_from_slice(entry.key);
        *last = version;
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let file = FileName::Table(self.number);
        self.output
            .write_all(bytes)
            .map_err(|source| Error::io("write", file, "the repair's directory", source))
    }

    /// Ends the table: the report, and its length unless nothing was saved.
    fn finish(mut self, salvaged: &Salvage) -> Result<(TableRepair, Option<u64>), Error> {
        if salvaged.gaps.last().is_some_and(|(offset, _)| *offset >= self.end) {
            let from = self.last.as_ref().map_or_else(|| "the first key".to_owned(), |(last, _)| key(last));
            self.lost.push(match &salvaged.meta {
                Some(meta) => format!("entries between {from} and {}", key(&meta.max_key)),
                None => format!("entries behind {from}, if there were any"),
            });
        }
        match &salvaged.meta {
            Some(meta) => {
                for range in &meta.range_tombstones {
                    self.builder.add_range_tombstone(range.clone());
                }
            }
            None => self
                .lost
                .push("range deletions, if there were any: what they deleted is visible again".into()),
        }
        if self.misplaced > 0 {
            self.lost.push(format!("{} entries that were out of order", self.misplaced));
        }
        let report = TableRepair {
            entries: self.entries,
            lost: std::mem::take(&mut self.lost),
            ..TableRepair::default()
        };
        if self.builder.is_empty() {
            return Ok((report, None));
        }
        let number = self.number;
        let empty = TableBuilder::new(number, Compression::None, 0);
        let finished = std::mem::replace(&mut self.builder, empty).finish();
        self.write(&finished.tail)?;
        let synced = self.output.sync_all();
        synced
            .map_err(|source| Error::io("sync", FileName::Table(number), "the repair's directory", source))?;
        Ok((report, Some(finished.meta.file_bytes)))
    }
}
