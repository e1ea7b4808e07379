//! Write batches: the payload of an entry, the effects of one or more requests on one partition.
//!
//! A batch is atomic because it lies in one record. It holds effects (value, absolute expiry, version),
//! never operations, so applying it is the same on every replica. It names no incarnation: each replica
//! adds its own. Layout, little-endian: `clock_us u64 | op count u32 | flags u32`, then per operation
//! `stamp u64 | expiry u64 | value length u32 | key length u16 | keyspace u16 | key | value`; a range
//! delete has the range's first user key as its key and the range's end as its value. Behind the operations is, if flag 2 says
//! so, which of its requests are to be done once ([`crate::once::Section`]).

use crate::key::{Expiry, Keyspace, Kind, Stamp, Version};
use crate::once::{Once, Section, SectionBuilder};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BatchHeader {
    clock_us: U64,
    ops: U32,
    /// [`HAS_SECTION`].
    flags: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct OpHeader {
    stamp: U64,
    expiry: U64,
    value_len: U32,
    key_len: U16,
    keyspace: U16,
}

const BATCH_HEADER: usize = size_of::<BatchHeader>();

/// Flag: behind the operations is which of its requests are to be done once.
const HAS_SECTION: u32 = 2;

/// Packs operations into a batch; reused from batch to batch without allocating.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    ops: u32,
    once: SectionBuilder,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder::new(0)
    }
}

impl BatchBuilder {
    /// What a batch without operations takes, in bytes.
    pub const HEADER_BYTES: usize = BATCH_HEADER;
    /// What an operation takes beside its key and value, in bytes.
    pub const OP_BYTES: usize = size_of::<OpHeader>();

    /// An empty batch; `clock_us` is the proposer's shard time ([`crate::clock`]), microseconds.
    pub fn new(clock_us: u64) -> BatchBuilder {
        let mut builder = BatchBuilder { bytes: Vec::new(), ops: 0, once: SectionBuilder::default() };
        builder.clear(clock_us);
        builder
    }

    /// Empties the batch, keeps its memory, and sets the proposer's shard time.
    pub fn clear(&mut self, clock_us: u64) {
        self.bytes.clear();
        self.ops = 0;
        self.once.clear();
        let header = BatchHeader { clock_us: clock_us.into(), ops: 0.into(), flags: 0.into() };
        self.bytes.extend_from_slice(header.as_bytes());
    }

    /// Completes it: sets the proposer's shard time, and says which requests are to be done once. Nothing is added afterwards.
    pub fn seal(&mut self, clock_us: u64) {
        self.bytes[..8].copy_from_slice(&clock_us.to_le_bytes());
        if !self.once.is_empty() {
            self.bytes[12..16].copy_from_slice(&HAS_SECTION.to_le_bytes());
            self.bytes.extend_from_slice(self.once.bytes());
        }
    }

    /// A request is to be done once, and came to this.
    pub fn remember(&mut self, once: &Once, answer: &[u8]) {
        self.once.push(once, answer);
    }

    /// What was first sent at or before this time is to be forgotten.
    pub fn raise_floor(&mut self, floor_us: u64) {
        self.once.raise_floor(floor_us);
    }

    /// Whether it has something forgotten.
    pub fn raises_floor(&self) -> bool {
        self.once.raises_floor()
    }

    /// Sets a value.
    pub fn put(&mut self, keyspace: Keyspace, key: &[u8], version: Version, expiry: Expiry, value: &[u8]) {
        self.push(keyspace, key, Stamp::new(version, Kind::Value), expiry, value);
    }

    /// Removes a key.
    pub fn delete(&mut self, keyspace: Keyspace, key: &[u8], version: Version) {
        self.push(keyspace, key, Stamp::new(version, Kind::Tombstone), Expiry::NEVER, b"");
    }

    /// Removes every key from user key `start` up to, not including, `end`; an empty `end` means to the
    /// end of the partition.
    pub fn delete_range(&mut self, keyspace: Keyspace, start: &[u8], end: &[u8], version: Version) {
        self.push(keyspace, start, Stamp::new(version, Kind::RangeTombstone), Expiry::NEVER, end);
    }

    fn push(&mut self, keyspace: Keyspace, key: &[u8], stamp: Stamp, expiry: Expiry, value: &[u8]) {
        let key_len = u16::try_from(key.len()).expect("keys are limited to 65,535 bytes");
        let value_len = u32::try_from(value.len()).expect("values are limited to 16 MiB");
        let header = OpHeader {
            stamp: stamp.0.into(),
            expiry: expiry.0.into(),
            value_len: value_len.into(),
            key_len: key_len.into(),
            keyspace: keyspace.0.into(),
        };
        self.bytes.reserve(BatchBuilder::OP_BYTES + key.len() + value.len());
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.ops += 1;
        self.bytes[8..12].copy_from_slice(&self.ops.to_le_bytes());
    }

    /// Whether it holds neither an operation nor anything of a request.
    pub fn is_empty(&self) -> bool {
        self.ops == 0 && self.once.is_empty()
    }

    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.ops as usize
    }

    /// Bytes of it once it is sealed.
    pub fn sealed_bytes(&self) -> usize {
        self.bytes.len() + self.once.bytes().len()
    }

    /// The operation that was added when [`BatchBuilder::bytes`] was `offset` long.
    pub fn op_at(&self, offset: usize) -> BatchOp<'_> {
        op_at(&self.bytes, offset)
    }

    /// The encoded batch, complete once it is sealed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the encoded batch out, which is sealed, and leaves an empty one.
    pub fn take(&mut self) -> Vec<u8> {
        let taken = std::mem::take(&mut self.bytes);
        self.clear(0);
        taken
    }

    /// Memory that it holds, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.once.memory_bytes()
    }

    /// Gives back what it doesn't need now.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.once.shrink();
    }
}

/// The operation at `offset` of a batch that was encoded here.
pub fn op_at(bytes: &[u8], offset: usize) -> BatchOp<'_> {
    let mut ops = BatchOps { left: 1, rest: &bytes[offset..], has_section: false };
    ops.parse_next().expect("an operation that was encoded here decodes")
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOp<'a> {
    /// What it does.
    pub kind: Kind,
    /// In which keyspace.
    pub keyspace: Keyspace,
    /// The user's key; the first one of a range.
    pub key: &'a [u8],
    /// The version it writes.
    pub version: Version,
    /// When the value expires.
    pub expiry: Expiry,
    /// The value; for a range, the user key that ends it (exclusive; empty: the partition's end).
    pub value: &'a [u8],
}

/// An encoded batch, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    clock_us: u64,
    ops: u32,
    has_section: bool,
    body: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Reads a batch's header. The operations are checked as [`Batch::ops`] hands them out.
    pub fn parse(bytes: &'a [u8]) -> Result<Batch<'a>, String> {
        let Ok((header, body)) = BatchHeader::ref_from_prefix(bytes) else {
            return Err(format!("a batch of {} bytes is shorter than its header", bytes.len()));
        };
        let flags = header.flags.get();
        if flags & !HAS_SECTION != 0 {
            return Err(format!("a batch has flags {flags:#010x}, of which this build knows nothing"));
        }
        let has_section = flags & HAS_SECTION != 0;
        Ok(Batch { clock_us: header.clock_us.get(), ops: header.ops.get(), has_section, body })
    }

    /// The proposer's shard time, microseconds.
    pub fn clock_us(&self) -> u64 {
        self.clock_us
    }

    /// How many operations it says it holds.
    pub fn len(&self) -> usize {
        self.ops as usize
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ops == 0
    }

    /// Its operations in order. The first error ends the iteration.
    pub fn ops(&self) -> BatchOps<'a> {
        BatchOps { left: self.ops, rest: self.body, has_section: self.has_section }
    }

    /// Which of its requests are to be done once; `None` if it says nothing of that.
    pub fn section(&self) -> Result<Option<Section<'a>>, String> {
        self.ops().section()
    }
}

/// Iterates over the operations of a [`Batch`].
#[derive(Clone, Debug)]
pub struct BatchOps<'a> {
    left: u32,
    rest: &'a [u8],
    has_section: bool,
}

impl<'a> BatchOps<'a> {
    /// Bytes of what is left.
    pub fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// What is behind the operations that are left.
    pub fn section(mut self) -> Result<Option<Section<'a>>, String> {
        if !self.has_section {
            return Ok(None);
        }
        while self.left > 0 {
            self.parse_next()?;
        }
        Section::parse(self.rest).map(Some).map_err(|error| error.to_string())
    }

    fn parse_next(&mut self) -> Result<BatchOp<'a>, String> {
        let Ok((header, rest)) = OpHeader::ref_from_prefix(self.rest) else {
            return Err(format!("a batch ends {} operations early", self.left));
        };
        let (key_len, value_len) = (usize::from(header.key_len.get()), header.value_len.get() as usize);
        if rest.len() < key_len + value_len {
            return Err(format!("an operation of {} bytes reaches past its batch", key_len + value_len));
        }
        let (key, rest) = rest.split_at(key_len);
        let (value, rest) = rest.split_at(value_len);
        let stamp = Stamp(header.stamp.get());
        let Some(kind) = stamp.kind() else {
            return Err(format!("operation kind {} is unknown", stamp.0 as u8));
        };
        self.rest = rest;
        self.left -= 1;
        Ok(BatchOp {
            kind,
            keyspace: Keyspace(header.keyspace.get()),
            key,
            version: stamp.version(),
            expiry: Expiry(header.expiry.get()),
            value,
        })
    }
}

impl<'a> Iterator for BatchOps<'a> {
    type Item = Result<BatchOp<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.has_section {
                return None;
            }
            let trailing = std::mem::take(&mut self.rest).len();
            return (trailing > 0)
                .then(|| Err(format!("{trailing} bytes follow the batch's last operation")));
        }
        let item = self.parse_next();
        if item.is_err() {
            (self.left, self.rest) = (0, &[]);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_batch_hands_out_what_was_packed() {
        let mut builder = BatchBuilder::new(77);
        assert!(builder.is_empty());
        builder.put(Keyspace(1), b"key", Version(5), Expiry(9), b"value");
        builder.delete(Keyspace(2), b"gone", Version(6));
        builder.delete_range(Keyspace(3), b"a", b"", Version(7));
        let batch = Batch::parse(builder.bytes()).unwrap();
        assert_eq!((batch.clock_us(), batch.len()), (77, 3));
        let ops: Vec<_> = batch.ops().collect::<Result<_, _>>().unwrap();
        let op = |kind, keyspace, key, version, expiry, value| BatchOp {
            kind,
            keyspace: Keyspace(keyspace),
            key,
            version: Version(version),
            expiry: Expiry(expiry),
            value,
        };
        assert_eq!(
            ops,
            [
                op(Kind::Value, 1, &b"key"[..], 5, 9, &b"value"[..]),
                op(Kind::Tombstone, 2, b"gone", 6, 0, b""),
                op(Kind::RangeTombstone, 3, b"a", 7, 0, b""),
            ]
        );
    }

    #[test]
    fn a_batch_that_says_more_than_this_build_knows_is_refused() {
        let mut bytes = BatchBuilder::new(1).bytes().to_vec();
        bytes[12] = 1;
        assert!(Batch::parse(&bytes).unwrap_err().contains("flags 0x00000001"));
    }

    #[test]
    fn a_cleared_builder_starts_over() {
        let mut builder = BatchBuilder::new(1);
        builder.delete(Keyspace(0), b"k", Version(1));
        builder.clear(1);
        builder.seal(2);
        assert!(builder.is_empty());
        let batch = Batch::parse(builder.bytes()).unwrap();
        assert_eq!((batch.clock_us(), batch.ops().count()), (2, 0));
    }

    #[test]
    fn a_batch_cut_anywhere_is_an_error() {
        let mut builder = BatchBuilder::new(1);
        builder.put(Keyspace(0), b"key", Version(1), Expiry::NEVER, b"value");
        builder.put(Keyspace(0), b"key2", Version(2), Expiry::NEVER, b"value2");
        for len in 0..builder.bytes().len() {
            let outcome = Batch::parse(&builder.bytes()[..len])
                .and_then(|batch| batch.ops().collect::<Result<Vec<_>, _>>());
            assert!(outcome.is_err(), "cut at {len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(batch) = Batch::parse(&bytes) {
                for op in batch.ops() {
                    let _ = op;
                }
            }
        }
    }
}
