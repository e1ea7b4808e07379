//! What the log knows of the time: the payload of a [`RecordKind::Clock`], and how entries carry it on.
//!
//! A clock record is written with the first part of an opening; before entries, where what the wall clock is ahead of
//! BOOTTIME has changed; once a second while nothing else is written and keys expire; and when a wall clock has come to be
//! believed of which none tells. Entries carry shard time alone: between two clock records all clocks go on alike.

use super::batch::{Batch, BatchBuilder};
use super::record::{Record, RecordKind};
use crate::clock::{ClockStamp, STAMP_BYTES};

/// The payload of a clock record: a batch without operations, as builds before this one know it, and the stamp.
pub fn clock_payload(stamp: &ClockStamp) -> Vec<u8> {
    let mut payload = BatchBuilder::new(stamp.shard_us).bytes().to_vec();
    payload.extend_from_slice(&stamp.to_bytes());
    payload
}

/// The newest stamp behind a record, given the one before it.
pub fn clock_behind(before: Option<ClockStamp>, record: &Record<'_>) -> Result<Option<ClockStamp>, String> {
    let clock_us = match record.kind {
        RecordKind::Entry | RecordKind::Clock => Batch::parse(record.payload)?.clock_us(),
        RecordKind::HardState | RecordKind::Copy => return Ok(before),
    };
    let stamp = record.payload.get(BatchBuilder::HEADER_BYTES..).unwrap_or_default();
    match (record.kind, <&[u8; STAMP_BYTES]>::try_from(stamp)) {
        (RecordKind::Clock, Ok(stamp)) => Ok(Some(ClockStamp::from_bytes(stamp).or_newer(before))),
        (RecordKind::Clock, Err(_)) if !stamp.is_empty() => {
            Err(format!("a clock record has {} bytes behind its time, not {STAMP_BYTES}", stamp.len()))
        }
        // Builds before this one logged one clock.
        _ => Ok(ClockStamp::behind_entry(before, clock_us)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Partition;
    use crate::clock::{BootId, BootTime};

    fn record(kind: RecordKind, payload: &[u8]) -> Record<'_> {
        Record { group: Partition(0), kind, term: 1, index: 0, payload }
    }

    fn stamp() -> ClockStamp {
        let boot = BootTime { id: BootId([3; 16]), us: 40 };
        ClockStamp { shard_us: 1000, wall_us: 2000, is_sure: true, boot }
    }

    #[test]
    fn a_clock_record_says_all_clocks_and_entries_carry_them_on() {
        let payload = clock_payload(&stamp());
        let known = clock_behind(None, &record(RecordKind::Clock, &payload)).unwrap();
        assert_eq!(known, Some(stamp()));
        let entry = BatchBuilder::new(1500);
        let known = clock_behind(known, &record(RecordKind::Entry, entry.bytes())).unwrap().unwrap();
        assert_eq!((known.shard_us, known.wall_us, known.boot.us), (1500, 2500, 540));
    }

    #[test]
    fn an_older_build_logged_one_clock_and_no_boot() {
        let old = BatchBuilder::new(77);
        let known = clock_behind(None, &record(RecordKind::Clock, old.bytes())).unwrap();
        assert_eq!(known, Some(ClockStamp::of_one_clock(77)));
    }

    #[test]
    fn a_clock_record_of_another_length_is_refused() {
        let mut payload = clock_payload(&stamp());
        payload.push(0);
        assert!(clock_behind(None, &record(RecordKind::Clock, &payload)).is_err());
        assert!(clock_behind(None, &record(RecordKind::Clock, &payload[..20])).is_err());
    }
}
