//! The bytes of a manifest: what `docs/formats/manifest.md` draws, and nothing else.

use super::state::{Edit, GroupState, Membership, TableEntry};
use crate::aligned::{ALIGN, AlignedBuf};
use crate::clock::{ClockStamp, STAMP_BYTES};
use crate::key::{Incarnation, Partition, Version};
use crate::log::position::{LogPosition, Reached};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version this build writes. It reads version 1 too, whose edits have no [`EditTail`] and carry no clocks.
pub(super) const FORMAT_VERSION: u32 = 2;
/// The file's header takes its first block; records follow, each at a multiple of this.
pub(super) const BLOCK: u64 = ALIGN as u64;

const FILE_MAGIC: u64 = u64::from_le_bytes(*b"PinMnfst");
const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"PMrc");
const RECORD_HEADER: usize = size_of::<RecordHeader>();
const HAS_LOG_START: u32 = 1;
const HAS_NEXT_FILE: u32 = 2;
const HAS_LOG_REACHED: u32 = 4;
const HAS_MEMBERSHIP: u32 = 8;
const HAS_CLOCK: u32 = 16;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: U64,
    version: U32,
    crc: U32,
    shard_id: [u8; 16],
    number: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordHeader {
    magic: U32,
    crc: U32,
    sequence: U64,
    len: U32,
    padded: U32,
    kind: u8,
    zero: [u8; 7],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EditHeader {
    log_generation: U64,
    log_offset: U32,
    flags: U32,
    next_file: U64,
    added: U32,
    removed: U32,
    groups: U32,
    zero: U32,
}

/// What version 2 added behind the header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct EditTail {
    reached_generation: U64,
    reached_file: U64,
    shard: U32,
    shards: U32,
    partitions: U32,
    layout: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTable {
    number: U64,
    file_bytes: U64,
    level: u8,
    zero: [u8; 7],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawGroup {
    partition: U16,
    zero: U16,
    incarnation: U32,
    applied_index: U64,
    applied_term: U64,
    max_version: U64,
    floor: U64,
    clock_us: U64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// The edit that makes the full state out of an empty one; the first record of a file.
    State = 1,
    Edit = 2,
}

/// Where a file's checksums start from, so that a record only checks out where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    pub shard_id: [u8; 16],
    pub number: u64,
    /// The version of its format.
    pub version: u32,
}

impl FileIdentity {
    /// A file that this build makes.
    pub fn new(shard_id: [u8; 16], number: u64) -> FileIdentity {
        FileIdentity { shard_id, number, version: FORMAT_VERSION }
    }

    fn checksum(&self, offset: u64, bytes: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.shard_id);
        let crc = crc32c::crc32c_append(crc, &self.number.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &offset.to_le_bytes()), bytes)
    }

    /// Appends the file's first block.
    pub fn encode_header(&self, buf: &mut AlignedBuf) {
        let start = buf.len();
        let mut header = FileHeader {
            magic: FILE_MAGIC.into(),
            version: self.version.into(),
            crc: 0.into(),
            shard_id: self.shard_id,
            number: self.number.into(),
        };
        buf.extend_from_slice(header.as_bytes());
        buf.resize(start + ALIGN);
        header.crc = crc32c::crc32c(&buf[start..]).into();
        buf[start..start + size_of::<FileHeader>()].copy_from_slice(header.as_bytes());
    }

    /// Appends a record that will lie at file offset `offset`, padded to whole blocks.
    pub fn encode(&self, kind: RecordKind, sequence: u64, edit: &Edit, offset: u64, buf: &mut AlignedBuf) {
        let start = buf.len();
        buf.resize(start + RECORD_HEADER);
        encode_edit(edit, self.version, buf);
        let end = buf.len();
        buf.pad();
        let header = RecordHeader {
            magic: RECORD_MAGIC.into(),
            crc: 0.into(),
            sequence: sequence.into(),
            len: count(end - start - RECORD_HEADER),
            padded: count(buf.len() - start),
            kind: kind as u8,
            zero: [0; 7],
        };
        buf[start..start + RECORD_HEADER].copy_from_slice(header.as_bytes());
        let crc = self.checksum(offset, &buf[start + 8..]);
        buf[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the record that starts `bytes`, at file offset `offset`; the error says what is wrong.
    pub fn parse(&self, offset: u64, bytes: &[u8]) -> Result<ManifestRecord, &'static str> {
        let Ok((header, _)) = RecordHeader::ref_from_prefix(bytes) else {
            return Err("the file ends in the middle of a record");
        };
        if header.magic.get() != RECORD_MAGIC {
            return Err("there is no record where one should be");
        }
        let (len, padded) = (header.len.get() as usize, header.padded.get() as usize);
        if padded % ALIGN != 0 || RECORD_HEADER + len > padded || padded > bytes.len() {
            return Err("a record's length is impossible");
        }
        if header.crc.get() != self.checksum(offset, &bytes[8..padded]) {
            return Err("a record's checksum is wrong");
        }
        let kind = match header.kind {
            1 => RecordKind::State,
            2 => RecordKind::Edit,
            _ => return Err("a record's kind is unknown"),
        };
        let edit = parse_edit(&bytes[RECORD_HEADER..RECORD_HEADER + len], self.version)
            .ok_or("an edit is too short")?;
        Ok(ManifestRecord { kind, sequence: header.sequence.get(), edit, bytes: padded as u64 })
    }
}

/// A sound record.
#[derive(Debug)]
pub(super) struct ManifestRecord {
    pub kind: RecordKind,
    pub sequence: u64,
    pub edit: Edit,
    /// Bytes it takes in the file.
    pub bytes: u64,
}

/// What is wrong with a file's first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Bad,
    Version(u32),
}

/// Reads a file's first block: the shard and number it was written for, and its version.
pub(super) fn parse_header(block: &[u8]) -> Result<FileIdentity, HeaderFault> {
    let Ok((header, _)) = FileHeader::ref_from_prefix(block) else { return Err(HeaderFault::Bad) };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &[0; 4]);
    if header.magic.get() != FILE_MAGIC || header.crc.get() != crc32c::crc32c_append(crc, &block[16..]) {
        return Err(HeaderFault::Bad);
    }
    match header.version.get() {
        version @ 1..=FORMAT_VERSION => {
            Ok(FileIdentity { shard_id: header.shard_id, number: header.number.get(), version })
        }
        version => Err(HeaderFault::Version(version)),
    }
}

fn count(len: usize) -> U32 {
    u32::try_from(len).expect("a manifest's state is far below 4 GiB").into()
}

fn encode_edit(edit: &Edit, version: u32, buf: &mut AlignedBuf) {
    let log_start = edit.log_start.unwrap_or_default();
    let flag = |set: bool, flag| if set { flag } else { 0 };
    let flags = flag(edit.log_start.is_some(), HAS_LOG_START)
        | flag(edit.next_file.is_some(), HAS_NEXT_FILE)
        | flag(edit.log_reached.is_some(), HAS_LOG_REACHED)
        | flag(edit.membership.is_some(), HAS_MEMBERSHIP)
        | flag(edit.clock.is_some(), HAS_CLOCK);
    let header = EditHeader {
        log_generation: log_start.segment.into(),
        log_offset: log_start.offset.into(),
        flags: flags.into(),
        next_file: edit.next_file.unwrap_or_default().into(),
        added: count(edit.added.len()),
        removed: count(edit.removed.len()),
        groups: count(edit.groups.len()),
        zero: 0.into(),
    };
    buf.extend_from_slice(header.as_bytes());
    if version > 1 {
        buf.extend_from_slice(EditTail::of(edit).as_bytes());
    }
    for table in &edit.added {
        let (number, file_bytes) = (table.number.into(), table.file_bytes.into());
        buf.extend_from_slice(RawTable { number, file_bytes, level: table.level, zero: [0; 7] }.as_bytes());
    }
    for number in &edit.removed {
        buf.extend_from_slice(&number.to_le_bytes());
    }
    for group in &edit.groups {
        let raw = RawGroup {
            partition: group.partition.0.into(),
            zero: 0.into(),
            incarnation: group.incarnation.0.into(),
            applied_index: group.applied_index.into(),
            applied_term: group.applied_term.into(),
            max_version: group.max_version.0.into(),
            floor: group.floor.0.into(),
            clock_us: group.clock_us.into(),
        };
        buf.extend_from_slice(raw.as_bytes());
    }
    if let Some(clock) = &edit.clock {
        buf.extend_from_slice(&clock.to_bytes());
    }
}

impl EditTail {
    fn of(edit: &Edit) -> EditTail {
        let reached = edit.log_reached.unwrap_or_default();
        let none = Membership { shard: 0, shards: 0, partitions: 0, layout: 0 };
        let Membership { shard, shards, partitions, layout } = edit.membership.unwrap_or(none);
        EditTail {
            reached_generation: reached.generation.into(),
            reached_file: reached.file.into(),
            shard: shard.into(),
            shards: shards.into(),
            partitions: partitions.into(),
            layout: layout.into(),
        }
    }

    fn reached(&self) -> Reached {
        Reached { generation: self.reached_generation.get(), file: self.reached_file.get() }
    }

    fn membership(&self) -> Membership {
        let [shard, shards, partitions, layout] =
            [self.shard, self.shards, self.partitions, self.layout].map(U32::get);
        Membership { shard, shards, partitions, layout }
    }
}

fn parse_edit(bytes: &[u8], version: u32) -> Option<Edit> {
    let (header, rest) = EditHeader::ref_from_prefix(bytes).ok()?;
    let (tail, rest) = match version {
        1 => (None, rest),
        _ => EditTail::ref_from_prefix(rest).ok().map(|(tail, rest)| (Some(tail), rest))?,
    };
    let (added, rest) = <[RawTable]>::ref_from_prefix_with_elems(rest, header.added.get() as usize).ok()?;
    let (removed, rest) = <[U64]>::ref_from_prefix_with_elems(rest, header.removed.get() as usize).ok()?;
    let (groups, rest) = <[RawGroup]>::ref_from_prefix_with_elems(rest, header.groups.get() as usize).ok()?;
    let flags = header.flags.get();
    let clock = match flags & HAS_CLOCK {
        0 => rest.is_empty().then_some(None)?,
        _ => Some(ClockStamp::from_bytes(<&[u8; STAMP_BYTES]>::try_from(rest).ok()?)),
    };
    let log_start = LogPosition { segment: header.log_generation.get(), offset: header.log_offset.get() };
    let table = |raw: &RawTable| TableEntry {
        number: raw.number.get(),
        level: raw.level,
        file_bytes: raw.file_bytes.get(),
    };
    let group = |raw: &RawGroup| GroupState {
        partition: Partition(raw.partition.get()),
        incarnation: Incarnation(raw.incarnation.get()),
        applied_index: raw.applied_index.get(),
        applied_term: raw.applied_term.get(),
        max_version: Version(raw.max_version.get()),
        floor: Version(raw.floor.get()),
        clock_us: raw.clock_us.get(),
    };
    let tail_has = |flag| tail.filter(|_| flags & flag != 0);
    Some(Edit {
        added: added.iter().map(table).collect(),
        removed: removed.iter().map(|number| number.get()).collect(),
        groups: groups.iter().map(group).collect(),
        log_start: (flags & HAS_LOG_START != 0).then_some(log_start),
        log_reached: tail_has(HAS_LOG_REACHED).map(EditTail::reached),
        next_file: (flags & HAS_NEXT_FILE != 0).then_some(header.next_file.get()),
        membership: tail_has(HAS_MEMBERSHIP).map(EditTail::membership),
        clock,
    })
}
