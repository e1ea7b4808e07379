//! The bytes of a group's section in an edit: fixed fields, then parts with a tag, each with its length before it.
//!
//! A part that this build doesn't know is refused by its name, unless it says that who doesn't know it may skip it.

use super::group_state::{ConfState, GroupState, OriginState};
use crate::fields::{Malformed, Reader, Writer};
use crate::key::{Incarnation, Partition, Version};
use crate::log::position::LogPosition;
use crate::once::{ClientRows, Kept, Table};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Bytes of a section without parts, its length included.
const SECTION_BYTES_MIN: usize = 72;

const HAS_LEFT: u16 = 1;

const CONF: u8 = 1;
const ORIGINS: u8 = 2;
const ANSWERS: u8 = 3;
const CLIENTS: u8 = 7;
/// Flag of a part: who doesn't know it may skip it.
const MAY_BE_SKIPPED: u8 = 1;

/// Bytes of a row of origins, of one of answers without what was answered, and of one of clients.
const ORIGIN_BYTES: usize = 26;
const ANSWER_BYTES_MIN: usize = 36;
const CLIENT_BYTES: usize = 32;

/// Appends the section of a group.
pub(super) fn encode(group: &GroupState, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    let mut writer = Writer(bytes);
    writer.u32(0);
    writer.u16(group.partition.0);
    writer.u16(if group.has_left { HAS_LEFT } else { 0 });
    writer.u32(group.incarnation.0);
    writer.u32(group.log_from.offset);
    writer.u64(group.log_from.segment);
    writer.u64(group.applied_index);
    writer.u64(group.applied_term);
    writer.u64(group.max_version.0);
    writer.u64(group.floor.0);
    writer.u64(group.clock_us);
    writer.u64(0);
    if let Some(conf) = &group.conf {
        encode_part(CONF, &conf.to_bytes(), bytes);
    }
    if !group.origins.is_empty() {
        encode_part(ORIGINS, &encode_origins(&group.origins), bytes);
    }
    if let Some(table) = &group.once {
        encode_part(ANSWERS, &encode_answers(table), bytes);
        encode_part(CLIENTS, &encode_clients(table), bytes);
    }
    let length = u32::try_from(bytes.len() - start).expect("a group's section is far below 4 GiB");
    bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn encode_part(tag: u8, content: &[u8], bytes: &mut Vec<u8>) {
    let mut writer = Writer(bytes);
    writer.u8(tag);
    writer.u8(0);
    writer.u16(0);
    writer.bytes(content);
}

fn encode_origins(origins: &[OriginState]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + origins.len() * ORIGIN_BYTES);
    let mut writer = Writer(&mut bytes);
    writer.len(origins.len());
    for OriginState { origin, start, sequence, stamp } in origins {
        writer.u16(*origin);
        writer.u64(*start);
        writer.u64(*sequence);
        writer.u64(stamp.0);
    }
    bytes
}

fn encode_answers(table: &Table) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer(&mut bytes);
    writer.len(table.answers());
    for (client, rows) in table.clients() {
        for Kept { number, first_sent_us, answer } in &rows.kept {
            writer.u128(client);
            writer.u64(*number);
            writer.u64(*first_sent_us);
            writer.bytes(answer);
        }
    }
    bytes
}

fn encode_clients(table: &Table) -> Vec<u8> {
    let clients = table.clients();
    let mut bytes = Vec::with_capacity(12 + clients.len() * CLIENT_BYTES);
    let mut writer = Writer(&mut bytes);
    writer.u64(table.floor_us());
    writer.len(clients.len());
    for (client, rows) in clients {
        writer.u128(client);
        writer.u64(rows.lowest);
        writer.u64(rows.newest_us);
    }
    bytes
}

/// Why a section can't be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It isn't one.
    Malformed(Malformed),
    /// A newer build wrote it: what this one doesn't know of it.
    Unknown(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Malformed(Malformed(what)) => f.write_str(what),
            Unread::Unknown(what) => f.write_str(what),
        }
    }
}

impl From<Malformed> for Unread {
    fn from(malformed: Malformed) -> Unread {
        Unread::Malformed(malformed)
    }
}

/// For how many sections there may be room in so many bytes, of those that are said to follow.
pub(super) fn capacity(bytes: usize, said: u32) -> usize {
    (said as usize).min(bytes / SECTION_BYTES_MIN)
}

/// Takes a section off the front of what `reader` has.
pub(super) fn parse(reader: &mut Reader<'_>) -> Result<GroupState, Unread> {
    let length = reader.len()?;
    let rest = length.checked_sub(4).ok_or(Malformed("a group's section is shorter than its length"))?;
    let mut section = Reader(reader.take(rest)?);
    let partition = Partition(section.u16()?);
    let flags = section.u16()?;
    if flags & !HAS_LEFT != 0 {
        return Err(Unread::Unknown(format!("flags {flags:#06x} of partition {}", partition.0)));
    }
    let incarnation = Incarnation(section.u32()?);
    let offset = section.u32()?;
    let mut group = GroupState {
        partition,
        incarnation,
        has_left: flags & HAS_LEFT != 0,
        log_from: LogPosition { segment: section.u64()?, offset },
        applied_index: section.u64()?,
        applied_term: section.u64()?,
        max_version: Version(section.u64()?),
        floor: Version(section.u64()?),
        clock_us: section.u64()?,
        ..GroupState::default()
    };
    if section.u64()? != 0 {
        return Err(Unread::Unknown(format!("a number of partition {} that should be zero", partition.0)));
    }
    let mut once = OnceParts::default();
    while !section.is_empty() {
        parse_part(&mut section, &mut group, &mut once)?;
    }
    group.once = once.table();
    Ok(group)
}

/// What the parts say of requests that are to be done once.
#[derive(Default)]
struct OnceParts {
    floor_us: u64,
    clients: BTreeMap<u128, ClientRows>,
}

impl OnceParts {
    fn table(self) -> Option<Arc<Table>> {
        let table = Table::restored(self.floor_us, self.clients);
        (!table.is_empty()).then(|| Arc::new(table))
    }

    fn parse_answers(&mut self, content: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader(content);
        for _ in 0..reader.count(ANSWER_BYTES_MIN)? {
            let rows = self.clients.entry(reader.u128()?).or_default();
            let (number, first_sent_us) = (reader.u64()?, reader.u64()?);
            if rows.kept.last().is_some_and(|last| last.number >= number) {
                return Err(Malformed("a client's requests aren't in the order of their numbers"));
            }
            rows.newest_us = rows.newest_us.max(first_sent_us);
            rows.kept.push(Kept { number, first_sent_us, answer: reader.bytes()?.into() });
        }
        reader.end()
    }

    fn parse_clients(&mut self, content: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader(content);
        self.floor_us = reader.u64()?;
        let mut last = None;
        for _ in 0..reader.count(CLIENT_BYTES)? {
            let client = reader.u128()?;
            if last.replace(client).is_some_and(|last| last >= client) {
                return Err(Malformed("clients aren't in the order of their ids"));
            }
            let rows = self.clients.entry(client).or_default();
            rows.lowest = reader.u64()?;
            rows.newest_us = rows.newest_us.max(reader.u64()?);
        }
        reader.end()
    }
}

fn parse_part(section: &mut Reader<'_>, group: &mut GroupState, once: &mut OnceParts) -> Result<(), Unread> {
    let (tag, flags, zero) = (section.u8()?, section.u8()?, section.u16()?);
    let content = section.bytes()?;
    let is_known = flags & !MAY_BE_SKIPPED == 0 && zero == 0;
    match tag {
        _ if !is_known => {
            let what = format!("flags {flags:#04x} of part {tag} of partition {}", group.partition.0);
            return Err(Unread::Unknown(what));
        }
        CONF if group.conf.is_some() => return Err(Malformed("a section has two lists of replicas").into()),
        CONF => group.conf = Some(Box::new(ConfState::parse(content)?)),
        ORIGINS => group.origins = parse_origins(content)?,
        ANSWERS => once.parse_answers(content)?,
        CLIENTS => once.parse_clients(content)?,
        _ if flags & MAY_BE_SKIPPED != 0 => {}
        _ => {
            let name = match tag {
                4 => "counts",
                5 => "dictionary",
                6 => "feed",
                _ => "no name here",
            };
            return Err(Unread::Unknown(format!("part {tag} ({name}) of partition {}", group.partition.0)));
        }
    }
    Ok(())
}

fn parse_origins(content: &[u8]) -> Result<Vec<OriginState>, Malformed> {
    let mut reader = Reader(content);
    let mut origins = Vec::new();
    for _ in 0..reader.count(ORIGIN_BYTES)? {
        let (origin, start, sequence) = (reader.u16()?, reader.u64()?, reader.u64()?);
        origins.push(OriginState { origin, start, sequence, stamp: Version(reader.u64()?) });
    }
    reader.end()?;
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> GroupState {
        let conf = ConfState {
            voters: vec![1, 2, 3],
            outgoing: vec![1, 2, 4],
            learners: vec![9],
            next_learners: vec![4],
            auto_leave: true,
        };
        GroupState {
            partition: Partition(7),
            incarnation: Incarnation(2),
            has_left: true,
            applied_index: 3,
            applied_term: 4,
            max_version: Version(5),
            floor: Version(6),
            clock_us: 8,
            log_from: LogPosition { segment: 1 << 32, offset: 4096 },
            conf: Some(Box::new(conf)),
            origins: vec![OriginState { origin: 5, start: 77, sequence: 12, stamp: Version(40) }],
            once: Some(Arc::new(Table::restored(50, [(u128::MAX - 3, client())]))),
        }
    }

    fn client() -> ClientRows {
        let answer =
            |number: u64, answer: &[u8]| Kept { number, first_sent_us: 90 + number, answer: answer.into() };
        ClientRows::new(2, 99, [answer(2, b"1"), answer(5, &[7; 100])])
    }

    fn encoded(group: &GroupState) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(group, &mut bytes);
        bytes
    }

    #[test]
    fn a_section_says_all_of_a_group_and_a_plain_one_is_short() {
        let plain = GroupState { partition: Partition(3), ..GroupState::default() };
        for group in [full(), plain.clone()] {
            let bytes = encoded(&group);
            let mut reader = Reader(&bytes);
            assert_eq!(parse(&mut reader), Ok(group));
            assert!(reader.is_empty());
        }
        assert_eq!(encoded(&plain).len(), SECTION_BYTES_MIN);
    }

    #[test]
    fn a_section_cut_anywhere_is_malformed() {
        let bytes = encoded(&full());
        for len in 0..bytes.len() {
            let cut = parse(&mut Reader(&bytes[..len]));
            assert!(matches!(cut, Err(Unread::Malformed(_))), "cut at {len}: {cut:?}");
        }
    }

    #[test]
    fn a_part_that_nobody_knows_is_refused_by_name_unless_it_may_be_skipped() {
        let with = |tag, flags| {
            let mut bytes = encoded(&full());
            let at = bytes.len();
            encode_part(tag, b"what it says", &mut bytes);
            bytes[at + 1] = flags;
            let length = bytes.len() as u32;
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            parse(&mut Reader(&bytes))
        };
        assert_eq!(with(6, 0), Err(Unread::Unknown("part 6 (feed) of partition 7".into())));
        assert_eq!(with(200, MAY_BE_SKIPPED), Ok(full()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&mut Reader(&bytes));
        }
    }
}
