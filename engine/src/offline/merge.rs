//! Entries of tables and memtables as one stream in storage order, with every version and kind.
//!
//! A table is opened only when the stream reaches its first key and let go behind its last, so of tables that
//! don't overlap one at a time is in memory: its index and filter, and one chunk.

use crate::Error;
use crate::dir::Dir;
use crate::io::FileName;
use crate::key::Entry;
use crate::memtable::{Memtable, MemtableIter};
use crate::table::{BlockCursor, Table, TableMeta};
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

/// So much of a table is read at once.
const CHUNK_BYTES: u64 = 256 << 10;

/// A stream of the entries of several sources; stands at an entry, or at the end.
#[derive(Default)]
pub struct Merge<'a> {
    /// Sources that the stream hasn't reached, the first one last.
    waiting: Vec<Waiting<'a>>,
    active: BinaryHeap<Active<'a>>,
}

struct Waiting<'a> {
    /// No entry of it that is wanted has a key before this one.
    from: Vec<u8>,
    source: Source<'a>,
}

struct Active<'a> {
    source: Source<'a>,
}

enum Source<'a> {
    Table(Box<TableSource<'a>>),
    Memtable { memtable: &'a Memtable, iter: MemtableIter<'a>, entry: Option<Entry<'a>> },
}

impl<'a> Merge<'a> {
    /// A stream over nothing.
    pub fn new() -> Merge<'a> {
        Merge::default()
    }

    /// Adds a table of `dir` that says this of itself. To be called before the stream moves.
    pub fn add_table(&mut self, dir: &'a dyn Dir, meta: &'a TableMeta) {
        if meta.entries > 0 {
            let (from, source) = (meta.min_key.clone(), TableSource::new(dir, meta));
            self.waiting.push(Waiting { from, source: Source::Table(Box::new(source)) });
        }
    }

    /// Adds a memtable. To be called before the stream moves.
    pub fn add_memtable(&mut self, memtable: &'a Memtable) {
        let source = Source::Memtable { memtable, iter: memtable.iter(), entry: None };
        self.waiting.push(Waiting { from: Vec::new(), source });
    }

    /// Goes to the first entry with a stored key at or behind `key`; never back.
    pub fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        for mut active in std::mem::take(&mut self.active) {
            if active.key() < key {
                active.source.seek(key)?;
            }
            self.activate(active.source);
        }
        for waiting in &mut self.waiting {
            if waiting.from.as_slice() < key {
                waiting.from = key.to_vec();
            }
        }
        self.waiting.retain(|waiting| waiting.source.may_reach(key));
        self.waiting.sort_by(|a, b| b.from.cmp(&a.from));
        self.wake()
    }

    /// The entry here; `None` at the end.
    pub fn entry(&self) -> Option<Entry<'_>> {
        self.active.peek().and_then(|active| active.source.entry())
    }

    /// To the next entry.
    pub fn advance(&mut self) -> Result<(), Error> {
        if let Some(mut first) = self.active.peek_mut() {
            first.source.advance()?;
            if first.source.entry().is_none() {
                PeekMut::pop(first);
            }
        }
        self.wake()
    }

    /// Activates the sources that may hold the first entry.
    fn wake(&mut self) -> Result<(), Error> {
        let is_due = |waiting: &mut Waiting<'_>, active: &BinaryHeap<Active<'_>>| {
            active.peek().is_none_or(|first| waiting.from.as_slice() <= first.key())
        };
        while let Some(waiting) = self.waiting.pop_if(|waiting| is_due(waiting, &self.active)) {
            let mut source = waiting.source;
            source.seek(&waiting.from)?;
            self.activate(source);
        }
        Ok(())
    }

    fn activate(&mut self, source: Source<'a>) {
        if source.entry().is_some() {
            self.active.push(Active { source });
        }
    }
}

impl Active<'_> {
    fn key(&self) -> &[u8] {
        self.source.entry().map_or(&[], |entry| entry.key)
    }

    /// Storage order: keys rising, of one key the newest version first.
    fn order(&self) -> (&[u8], Reverse<u64>) {
        let version = self.source.entry().map_or(0, |entry| entry.stamp.version().0);
        (self.key(), Reverse(version))
    }
}

impl Ord for Active<'_> {
    /// The heap's greatest is the stream's first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order().cmp(&self.order())
    }
}

impl PartialOrd for Active<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Active<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Active<'_> {}

impl Source<'_> {
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Source::Table(table) => table.cursor.as_ref().and_then(BlockCursor::entry),
            Source::Memtable { entry, .. } => *entry,
        }
    }

    fn advance(&mut self) -> Result<(), Error> {
        match self {
            Source::Table(table) => table.advance(),
            Source::Memtable { iter, entry, .. } => {
                *entry = iter.next();
                Ok(())
            }
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        match self {
            Source::Table(table) => table.seek(key),
            Source::Memtable { memtable, iter, entry } => {
                *iter = memtable.seek(key);
                *entry = iter.next();
                Ok(())
            }
        }
    }

    /// Whether it may hold an entry at or behind `key`.
    fn may_reach(&self, key: &[u8]) -> bool {
        match self {
            Source::Table(table) => table.meta.max_key.as_slice() >= key,
            Source::Memtable { .. } => true,
        }
    }
}

/// Reads a table in order.
struct TableSource<'a> {
    dir: &'a dyn Dir,
    meta: &'a TableMeta,
    table: Option<Table>,
    /// The block after the cursor's.
    next: usize,
    cursor: Option<BlockCursor>,
    chunk: Vec<u8>,
    chunk_start: u64,
}

impl<'a> TableSource<'a> {
    fn new(dir: &'a dyn Dir, meta: &'a TableMeta) -> TableSource<'a> {
        TableSource { dir, meta, table: None, next: 0, cursor: None, chunk: Vec::new(), chunk_start: 0 }
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.cursor = None;
        let table = match self.table.take() {
            Some(table) => table,
            None => Table::open(self.dir, self.meta.number, false)?,
        };
        self.next = table.find_block(key).unwrap_or(table.blocks());
        self.table = Some(table);
        self.load()?;
        if let Some(cursor) = &mut self.cursor {
            cursor.seek(key);
        }
        self.skip_ended()
    }

    fn advance(&mut self) -> Result<(), Error> {
        if let Some(cursor) = &mut self.cursor {
            cursor.next();
        }
        self.skip_ended()
    }

    fn skip_ended(&mut self) -> Result<(), Error> {
        while self.cursor.as_ref().is_some_and(|cursor| cursor.entry().is_none()) {
            self.cursor = None;
            self.load()?;
        }
        Ok(())
    }

    /// Puts the cursor at the start of the next block, if there is one.
    fn load(&mut self) -> Result<(), Error> {
        let Some(table) = self.table.as_ref().filter(|table| self.next < table.blocks()) else {
            return Ok(());
        };
        let at = table.block_ref(self.next);
        let end = at.offset + u64::from(at.len);
        if at.offset < self.chunk_start || end > self.chunk_start + self.chunk.len() as u64 {
            let len = u64::from(at.len).max(CHUNK_BYTES).min(self.meta.file_bytes - at.offset);
            let file = FileName::Table(at.table);
            self.chunk = self
                .dir
                .read(file, at.offset, len as usize)
                .map_err(|source| Error::io("read", file, self.dir.path(), source))?;
            self.chunk_start = at.offset;
        }
        let start = (at.offset - self.chunk_start) as usize;
        let block = table.decode_block(at, &self.chunk[start..start + at.len as usize])?;
        self.cursor = Some(BlockCursor::new(Arc::new(block)));
        self.next += 1;
        Ok(())
    }
}
