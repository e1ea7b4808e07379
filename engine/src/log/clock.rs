//! What the log knows of the time: the payload of a [`RecordKind::Clock`], and how entries carry it on.
//!
//! A clock record is written with the first part of an opening; before entries, where what the wall clock is ahead of
//! BOOTTIME has changed; once a second while nothing else is written and keys expire; and when a wall clock has come to be
//! believed of which none tells. Entries carry shard time alone: between two clock records all clocks go on alike.

use super::record::{EntryType, Record, RecordKind};
use crate::clock::{ClockStamp, STAMP_BYTES};

/// The payload of a clock record: the stamp.
pub fn clock_payload(stamp: &ClockStamp) -> [u8; STAMP_BYTES] {
    stamp.to_bytes()
}

/// The newest stamp behind a record, given the one before it.
pub fn clock_behind(before: Option<ClockStamp>, record: &Record<'_>) -> Result<Option<ClockStamp>, String> {
    match record.kind {
        RecordKind::Clock => {
            let stamp = <&[u8; STAMP_BYTES]>::try_from(record.payload);
            let length = record.payload.len();
            let stamp = stamp.map_err(|_| format!("a clock record has {length} bytes, not {STAMP_BYTES}"))?;
            Ok(Some(ClockStamp::from_bytes(stamp).or_newer(before)))
        }
        RecordKind::Entry(EntryType::Normal | EntryType::Tick) => {
            Ok(ClockStamp::behind_entry(before, record.batch()?.clock_us()))
        }
        RecordKind::Entry(_) | RecordKind::HardState => Ok(before),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Partition;
    use crate::clock::{BootId, BootTime};
    use crate::log::BatchBuilder;

    fn record(kind: RecordKind, payload: &[u8]) -> Record<'_> {
        Record { kind, ..Record::writes(Partition(0), 1, 0, payload) }
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
        let known = clock_behind(known, &record(RecordKind::WRITES, entry.bytes())).unwrap().unwrap();
        assert_eq!((known.shard_us, known.wall_us, known.boot.us), (1500, 2500, 540));
    }

    #[test]
    fn a_clock_record_of_another_length_is_refused() {
        let mut payload = clock_payload(&stamp()).to_vec();
        payload.push(0);
        assert!(clock_behind(None, &record(RecordKind::Clock, &payload)).is_err());
        assert!(clock_behind(None, &record(RecordKind::Clock, &payload[..20])).is_err());
    }
}
