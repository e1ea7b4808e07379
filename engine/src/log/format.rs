//! The bytes of a log segment: what `docs/formats/log.md` draws, and nothing else.
//!
//! Every checksum starts from the place it is written at (shard, file, generation, offset), so bytes that
//! lie anywhere else, or that an earlier life of a recycled file left behind, never check out.

use super::position::LogPosition;
use super::record::{Record, RecordKind, UnknownRecord};
use crate::key::Partition;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version this build writes and reads.
pub(super) const FORMAT_VERSION: u32 = 2;
/// The segment header takes the first block of the file; parts follow.
pub(super) const SEGMENT_HEADER: u32 = 4096;
/// Length of a part's header.
pub(super) const PART_HEADER: usize = size_of::<RawPartHeader>();
/// Length of a record's header.
pub(super) const RECORD_HEADER: usize = size_of::<RecordHeader>();
/// Records, and parts of a buffered log, start at multiples of this.
pub(super) const STEP: usize = 8;

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"PinLogSg");
pub(super) const PART_MAGIC: u32 = u32::from_le_bytes(*b"PLpt");

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawSegmentHeader {
    magic: U64,
    version: U32,
    crc: U32,
    shard_id: [u8; 16],
    file: U64,
    generation: U64,
    previous_generation: U64,
    previous_file: U64,
    previous_end: U32,
    zero: U32,
    prepared_bytes: U64,
    durable_generation: U64,
    durable_offset: U32,
    zero_too: U32,
}

/// What a segment's first block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub shard_id: [u8; 16],
    pub file: u64,
    pub generation: u64,
    pub previous: Previous,
    /// Length the file was zero-filled to before its first use; 0 if it wasn't.
    pub prepared_bytes: u64,
    pub durable: LogPosition,
}

/// The segment before, and where its last part ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Previous {
    /// 0 at the beginning of a log.
    pub generation: u64,
    pub file: u64,
    pub end: u32,
}

/// Why a first block is no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// All zero: never used.
    Blank,
    /// Something else.
    Bad,
    /// A sound header of another format version.
    Version(u32),
}

impl SegmentHeader {
    /// Writes the header into a zeroed block of [`SEGMENT_HEADER`] bytes.
    pub fn encode(&self, block: &mut [u8]) {
        let mut raw = RawSegmentHeader {
            magic: SEGMENT_MAGIC.into(),
            version: FORMAT_VERSION.into(),
            crc: 0.into(),
            shard_id: self.shard_id,
            file: self.file.into(),
            generation: self.generation.into(),
            previous_generation: self.previous.generation.into(),
            previous_file: self.previous.file.into(),
            previous_end: self.previous.end.into(),
            zero: 0.into(),
            prepared_bytes: self.prepared_bytes.into(),
            durable_generation: self.durable.segment.into(),
            durable_offset: self.durable.offset.into(),
            zero_too: 0.into(),
        };
        let len = size_of::<RawSegmentHeader>();
        block[..len].copy_from_slice(raw.as_bytes());
        raw.crc = crc32c::crc32c(block).into();
        block[..len].copy_from_slice(raw.as_bytes());
    }

    /// Reads a first block, [`SEGMENT_HEADER`] bytes.
    pub fn parse(block: &[u8]) -> Result<SegmentHeader, NoHeader> {
        let Ok((raw, _)) = RawSegmentHeader::ref_from_prefix(block) else { return Err(NoHeader::Bad) };
        if block.iter().all(|&byte| byte == 0) {
            return Err(NoHeader::Blank);
        }
        let crc = crc32c::crc32c(&block[..12]);
        let crc = crc32c::crc32c_append(crc, &[0; 4]);
        let crc = crc32c::crc32c_append(crc, &block[16..]);
        if raw.magic.get() != SEGMENT_MAGIC || raw.crc.get() != crc {
            return Err(NoHeader::Bad);
        }
        if raw.version.get() != FORMAT_VERSION {
            return Err(NoHeader::Version(raw.version.get()));
        }
        // No writer makes one that doesn't rise; a chain that believed it could lead anywhere. Nor does one know what comes later.
        if raw.previous_generation.get().max(raw.durable_generation.get()) >= raw.generation.get() {
            return Err(NoHeader::Bad);
        }
        Ok(SegmentHeader {
            shard_id: raw.shard_id,
            file: raw.file.get(),
            generation: raw.generation.get(),
            previous: Previous {
                generation: raw.previous_generation.get(),
                file: raw.previous_file.get(),
                end: raw.previous_end.get(),
            },
            prepared_bytes: raw.prepared_bytes.get(),
            durable: LogPosition { segment: raw.durable_generation.get(), offset: raw.durable_offset.get() },
        })
    }
}

/// Where checksums of a file, or of one life of it, start from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed(u32);

impl Seed {
    /// For part headers: the shard and the file. (They carry their generation themselves.)
    pub fn of_file(shard_id: &[u8; 16], file: u64) -> Seed {
        Seed(crc32c::crc32c_append(crc32c::crc32c(shard_id), &file.to_le_bytes()))
    }

    /// For records: the generation too.
    pub fn of_segment(self, generation: u64) -> Seed {
        Seed(crc32c::crc32c_append(self.0, &generation.to_le_bytes()))
    }

    fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &offset.to_le_bytes()), bytes)
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPartHeader {
    magic: U32,
    crc: U32,
    generation: U64,
    durable_generation: U64,
    durable_offset: U32,
    records: U32,
    len: U32,
    padded: U32,
}

/// What a part's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartHeader {
    pub generation: u64,
    /// Everything before was durable when this was written.
    pub durable: LogPosition,
    pub records: u32,
    /// Bytes of records after the header.
    pub len: u32,
    /// Bytes of header, records and padding.
    pub padded: u32,
}

impl PartHeader {
    /// Writes the header at the start of `bytes`, for the file offset `offset`.
    pub fn encode(&self, file: Seed, offset: u64, bytes: &mut [u8]) {
        let raw = RawPartHeader {
            magic: PART_MAGIC.into(),
            crc: 0.into(),
            generation: self.generation.into(),
            durable_generation: self.durable.segment.into(),
            durable_offset: self.durable.offset.into(),
            records: self.records.into(),
            len: self.len.into(),
            padded: self.padded.into(),
        };
        bytes[..PART_HEADER].copy_from_slice(raw.as_bytes());
        let crc = file.checksum(offset, &bytes[8..PART_HEADER]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a header that starts `bytes`, at file offset `offset`; `None` if there is none.
    pub fn parse(file: Seed, offset: u64, bytes: &[u8]) -> Option<PartHeader> {
        let (raw, _) = RawPartHeader::ref_from_prefix(bytes).ok()?;
        if raw.magic.get() != PART_MAGIC || raw.crc.get() != file.checksum(offset, &bytes[8..PART_HEADER]) {
            return None;
        }
        let part = PartHeader {
            generation: raw.generation.get(),
            durable: LogPosition { segment: raw.durable_generation.get(), offset: raw.durable_offset.get() },
            records: raw.records.get(),
            len: raw.len.get(),
            padded: raw.padded.get(),
        };
        // Nobody knows what will be durable later, whatever a checksum says.
        let is_possible = part.durable <= LogPosition { segment: part.generation, offset: offset as u32 };
        let holds = u64::from(part.padded) >= PART_HEADER as u64 + u64::from(part.len);
        (is_possible && holds && (part.padded as usize).is_multiple_of(STEP)).then_some(part)
    }

    /// Checks records and padding of a whole part that starts `bytes` at file offset `offset`; the error
    /// says where, in the file, and what.
    pub fn verify(&self, segment: Seed, offset: u64, bytes: &[u8]) -> Result<(), (u64, String)> {
        let end = PART_HEADER + self.len as usize;
        let mut at = PART_HEADER;
        for _ in 0..self.records {
            let place = offset + at as u64;
            let rest = &bytes[at..end];
            let Some(len) = record_len(rest) else {
                return Err((place, "a record reaches past its part".to_owned()));
            };
            let crc = segment.checksum(place, &rest[4..len]);
            if rest[..4] != crc.to_le_bytes() {
                return Err((place, "a record's checksum is wrong".to_owned()));
            }
            at += len;
        }
        if at != end {
            return Err((offset, "a part's record count is wrong".to_owned()));
        }
        match bytes[end..self.padded as usize].iter().position(|&byte| byte != 0) {
            Some(dirt) => Err((offset + (end + dirt) as u64, "a part's padding isn't zero".to_owned())),
            None => Ok(()),
        }
    }

    /// The records of a verified part that starts `bytes`.
    pub fn records<'a>(&self, bytes: &'a [u8]) -> Records<'a> {
        Records { rest: &bytes[PART_HEADER..PART_HEADER + self.len as usize], at: PART_HEADER as u64 }
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordHeader {
    crc: U32,
    len: U32,
    term: U64,
    index: U64,
    group: U16,
    kind: u8,
    entry: u8,
    origin: U16,
    flags: u8,
    zero: u8,
}

/// It was copied to the head of the log.
const IS_COPY: u8 = 1;
/// Who doesn't know it may skip it.
const MAY_BE_SKIPPED: u8 = 0x80;

/// Bytes a record of so long a payload takes, a multiple of [`STEP`].
pub(super) const fn record_bytes(payload: usize) -> usize {
    (RECORD_HEADER + payload).next_multiple_of(STEP)
}

/// Appends a record that will lie at file offset `offset`.
pub(super) fn encode_record(
    record: &Record<'_>,
    segment: Seed,
    offset: u64,
    buf: &mut crate::aligned::AlignedBuf,
) {
    let start = buf.len();
    let end = start + record_bytes(record.payload.len());
    buf.reserve(end - start);
    let (kind, entry) = record.kind.to_bytes();
    let header = RecordHeader {
        crc: 0.into(),
        len: u32::try_from(record.payload.len()).expect("payloads are limited to 1 GiB").into(),
        term: record.term.into(),
        index: record.index.into(),
        group: record.group.0.into(),
        kind,
        entry,
        origin: record.origin.into(),
        flags: if record.is_copy { IS_COPY } else { 0 },
        zero: 0,
    };
    buf.extend_from_slice(header.as_bytes());
    buf.extend_from_slice(record.payload);
    buf.resize(end);
    let crc = segment.checksum(offset, &buf[start + 4..end]);
    buf[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Length, with padding, of the record that starts `bytes`; `None` if it doesn't fit.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let (header, _) = RecordHeader::ref_from_prefix(bytes).ok()?;
    let len = record_bytes(header.len.get() as usize);
    (len <= bytes.len()).then_some(len)
}

/// Iterates over the records of a verified part, but for those that who doesn't know them may skip. Any other that this
/// build doesn't know is the error.
pub(super) struct Records<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, UnknownRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let len = record_len(self.rest)?;
            let (bytes, rest) = self.rest.split_at(len);
            let at = self.at;
            (self.rest, self.at) = (rest, at + len as u64);
            match parse_record(bytes, at) {
                Err(UnknownRecord { flags, .. }) if flags & MAY_BE_SKIPPED != 0 => {}
                record => return Some(record),
            }
        }
    }
}

/// Reads a verified record that lies at `at` of its part.
fn parse_record(bytes: &[u8], at: u64) -> Result<Record<'_>, UnknownRecord> {
    let (header, payload) =
        RecordHeader::ref_from_prefix(bytes).expect("its length was read from its header");
    let RecordHeader { kind, entry, flags, zero, .. } = *header;
    let is_plain = flags & !(IS_COPY | MAY_BE_SKIPPED) == 0 && zero == 0;
    let known = RecordKind::from_bytes(kind, entry).filter(|_| is_plain);
    let kind = known.ok_or(UnknownRecord { kind, entry, flags, at })?;
    Ok(Record {
        group: Partition(header.group.get()),
        kind,
        term: header.term.get(),
        index: header.index.get(),
        origin: header.origin.get(),
        is_copy: flags & IS_COPY != 0,
        payload: &payload[..header.len.get() as usize],
    })
}
