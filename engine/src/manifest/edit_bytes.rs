//! The bytes of an edit: a header, then tables, removed tables, sections of groups, and a stamp.

use super::group_section;
pub(super) use super::group_section::Unread;
use super::state::{Edit, Membership, TableEntry};
use crate::clock::{ClockStamp, STAMP_BYTES};
use crate::fields::{Malformed, Reader};
use crate::log::position::{LogPosition, Reached};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const HAS_LOG_START: u32 = 1;
const HAS_NEXT_FILE: u32 = 2;
const HAS_LOG_REACHED: u32 = 4;
const HAS_MEMBERSHIP: u32 = 8;
const HAS_CLOCK: u32 = 16;
const KNOWN_FLAGS: u32 = HAS_LOG_START | HAS_NEXT_FILE | HAS_LOG_REACHED | HAS_MEMBERSHIP | HAS_CLOCK;

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

fn count(len: usize) -> U32 {
    u32::try_from(len).expect("a manifest's state is far below 4 GiB").into()
}

/// Appends an edit.
pub(super) fn encode(edit: &Edit, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(header_of(edit).as_bytes());
    for table in &edit.added {
        let (number, file_bytes) = (table.number.into(), table.file_bytes.into());
        bytes.extend_from_slice(RawTable { number, file_bytes, level: table.level, zero: [0; 7] }.as_bytes());
    }
    for number in &edit.removed {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    edit.groups.iter().for_each(|group| group_section::encode(group, bytes));
    if let Some(clock) = &edit.clock {
        bytes.extend_from_slice(&clock.to_bytes());
    }
}

fn header_of(edit: &Edit) -> EditHeader {
    let flag = |set: bool, flag| if set { flag } else { 0 };
    let flags = flag(edit.log_start.is_some(), HAS_LOG_START)
        | flag(edit.next_file.is_some(), HAS_NEXT_FILE)
        | flag(edit.log_reached.is_some(), HAS_LOG_REACHED)
        | flag(edit.membership.is_some(), HAS_MEMBERSHIP)
        | flag(edit.clock.is_some(), HAS_CLOCK);
    let (log_start, reached) = (edit.log_start.unwrap_or_default(), edit.log_reached.unwrap_or_default());
    let none = Membership { shard: 0, shards: 0, partitions: 0, layout: 0 };
    let Membership { shard, shards, partitions, layout } = edit.membership.unwrap_or(none);
    EditHeader {
        log_generation: log_start.segment.into(),
        log_offset: log_start.offset.into(),
        flags: flags.into(),
        next_file: edit.next_file.unwrap_or_default().into(),
        added: count(edit.added.len()),
        removed: count(edit.removed.len()),
        groups: count(edit.groups.len()),
        zero: 0.into(),
        reached_generation: reached.generation.into(),
        reached_file: reached.file.into(),
        shard: shard.into(),
        shards: shards.into(),
        partitions: partitions.into(),
        layout: layout.into(),
    }
}

/// Reads an edit.
pub(super) fn parse(bytes: &[u8]) -> Result<Edit, Unread> {
    let short = || Malformed("an edit is too short");
    let (header, rest) = EditHeader::ref_from_prefix(bytes).map_err(|_| short())?;
    let flags = header.flags.get();
    if flags & !KNOWN_FLAGS != 0 || header.zero.get() != 0 {
        return Err(Unread::Unknown(format!("flags {flags:#010x} of an edit")));
    }
    let (added, rest) =
        <[RawTable]>::ref_from_prefix_with_elems(rest, header.added.get() as usize).map_err(|_| short())?;
    if let Some(table) = added.iter().find(|table| table.zero != [0; 7]) {
        return Err(Unread::Unknown(format!("more of table {} than is known", table.number)));
    }
    let (removed, rest) =
        <[U64]>::ref_from_prefix_with_elems(rest, header.removed.get() as usize).map_err(|_| short())?;
    let mut reader = Reader(rest);
    let mut groups = Vec::with_capacity(group_section::capacity(rest.len(), header.groups.get()));
    for _ in 0..header.groups.get() {
        groups.push(group_section::parse(&mut reader)?);
    }
    let has = |flag| flags & flag != 0;
    let clock = match has(HAS_CLOCK) {
        true => Some(reader.take(STAMP_BYTES)?.try_into().map_err(|_| short())?),
        false => None,
    };
    reader.end()?;
    Ok(Edit {
        added: added.iter().map(RawTable::entry).collect(),
        removed: removed.iter().map(|number| number.get()).collect(),
        groups,
        log_start: has(HAS_LOG_START).then(|| header.log_start()),
        log_reached: has(HAS_LOG_REACHED).then(|| header.reached()),
        next_file: has(HAS_NEXT_FILE).then_some(header.next_file.get()),
        membership: has(HAS_MEMBERSHIP).then(|| header.membership()),
        clock: clock.map(ClockStamp::from_bytes),
    })
}

impl RawTable {
    fn entry(&self) -> TableEntry {
        TableEntry { number: self.number.get(), level: self.level, file_bytes: self.file_bytes.get() }
    }
}

impl EditHeader {
    fn log_start(&self) -> LogPosition {
        LogPosition { segment: self.log_generation.get(), offset: self.log_offset.get() }
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
