//! Damage against tail: what was proved durable and can't be read is refused, the rest is cut.

use super::super::format::{SEGMENT_HEADER, SegmentHeader};
use super::*;
use crate::dir::Dir;
use proptest::prelude::*;

/// A log of several parts over several segments, one opening.
struct Sample {
    dir: MemoryDir,
    options: LogOptions,
    /// Start of each part.
    starts: Vec<LogPosition>,
    /// End of each part.
    ends: Vec<LogPosition>,
}

fn sample(direct: bool, lens: &[usize]) -> Sample {
    let options = options(direct, 16 << 10);
    let mut dir = MemoryDir::new();
    let mut log = create(&mut dir, options);
    let mut ends = Vec::new();
    for (index, &len) in lens.iter().enumerate() {
        ends.push(part(&mut dir, &mut log, true, &[Written { index: index as u64, len }]));
    }
    let (_, records) = reopen(&mut dir.clone(), LogPosition::default(), options).unwrap();
    let starts = records.iter().map(|(position, _)| *position).collect();
    Sample { dir, options, starts, ends }
}

impl Sample {
    /// The file of a generation: in a first opening they are made in order, from 1.
    fn file(&self, position: LogPosition) -> FileName {
        FileName::Log((position.segment & 0xffff_ffff) + 1)
    }

    fn reopen(&mut self) -> Result<usize, Error> {
        let mut dir = self.dir.clone();
        reopen(&mut dir, LogPosition::default(), self.options).map(|(_, records)| records.len())
    }

    #[track_caller]
    fn assert_damaged(&mut self, file: FileName, offsets: std::ops::Range<u64>) {
        let before = self.dir.bytes(file).to_vec();
        match self.reopen() {
            Err(Error::Damaged { file: named, offset, what }) => {
                assert_eq!(named, file, "{what}");
                assert!(offsets.contains(&offset), "{offset} isn't in {offsets:?}: {what}");
                assert!(what.contains("`kvtool repair store`"), "{what}");
            }
            other => panic!("damage in {file} at {offsets:?} came to {other:?}"),
        }
        assert_eq!(self.dir.bytes(file), before, "a refused log is left as it is");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_in_a_part_that_is_proved_durable_is_damage(
        direct in any::<bool>(),
        lens in proptest::collection::vec(0_usize..9000, 2..12),
        victim in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut sample = sample(direct, &lens);
        let victim = victim.index(lens.len() - 1);
        let (start, end) = (sample.starts[victim], sample.ends[victim]);
        let file = sample.file(start);
        let byte = start.offset as usize + byte.index((end.offset - start.offset) as usize);
        sample.dir.flip(file, byte, bit);
        sample.assert_damaged(file, start.offset.into()..end.offset.into());
    }

    #[test]
    fn a_flipped_bit_in_the_very_last_part_cuts_it(
        direct in any::<bool>(),
        lens in proptest::collection::vec(0_usize..9000, 1..12),
        byte in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let mut sample = sample(direct, &lens);
        let (start, end) = (sample.starts[lens.len() - 1], sample.ends[lens.len() - 1]);
        let byte = start.offset as usize + byte.index((end.offset - start.offset) as usize);
        sample.dir.flip(sample.file(start), byte, bit);
        prop_assert_eq!(sample.reopen().unwrap(), lens.len() - 1);
    }

    #[test]
    fn a_flipped_bit_in_the_header_of_a_segment_is_damage(
        segment in 0_usize..4, byte in 0_usize..4096, bit in 0_u8..8,
    ) {
        // Three parts a segment and two in the last: the second proves the first, and the header.
        let mut sample = sample(true, &[4000; 8]);
        let file = sample.file(sample.starts[segment * 2]);
        sample.dir.flip(file, byte, bit);
        sample.assert_damaged(file, 0..1);
    }

    #[test]
    fn no_damage_makes_recovery_panic(
        direct in any::<bool>(),
        flips in proptest::collection::vec((1_u64..4, 0_usize..16 << 10, any::<u8>()), 1..40),
    ) {
        let mut sample = sample(direct, &[3000, 10, 5000, 700, 8000, 1]);
        for (file, offset, byte) in flips {
            let file = FileName::Log(file);
            if Dir::len(&sample.dir, file).is_ok_and(|len| offset < len as usize) {
                sample.dir.tamper(file, |bytes| bytes[offset] = byte);
            }
        }
        let _ = sample.reopen();
    }
}

#[test]
fn a_later_segment_proves_the_end_of_the_one_before() {
    let mut sample = sample(true, &[4000, 4000, 4000, 10]);
    let (start, end) = (sample.starts[2], sample.ends[2]);
    assert!(sample.starts[3].segment > start.segment);
    let file = sample.file(start);
    sample.dir.flip(file, start.offset as usize + 50, 0);
    sample.assert_damaged(file, start.offset.into()..end.offset.into());
}

#[test]
fn a_missing_segment_is_named() {
    let mut sample = sample(true, &[4000; 9]);
    sample.dir.unlink(FileName::Log(2)).unwrap();
    let error = sample.reopen().unwrap_err().to_string();
    assert!(error.contains("000002.log") && error.contains("000003.log follows"), "{error}");
    assert!(error.contains("store/shard-000"), "{error}");
}

#[test]
fn a_segment_cut_short_is_damage_at_its_new_end() {
    let mut sample = sample(true, &[10, 10]);
    sample.dir.tamper(FileName::Log(1), |bytes| bytes.truncate(10_000));
    sample.assert_damaged(FileName::Log(1), 10_000..10_001);
}

#[test]
fn the_start_that_the_manifest_names_must_be_there() {
    let mut sample = sample(true, &[4000; 6]);
    let from = sample.starts[4];
    sample.dir.unlink(sample.file(from)).unwrap();
    let error = reopen(&mut sample.dir, from, sample.options).unwrap_err().to_string();
    assert!(error.contains("the manifest names") && error.contains("missing"), "{error}");
}

#[test]
fn the_log_of_another_shard_is_refused() {
    let mut sample = sample(true, &[10]);
    let options = LogOptions { shard_id: [8; 16], ..sample.options };
    let error = reopen(&mut sample.dir, LogPosition::default(), options).unwrap_err().to_string();
    assert!(error.contains("000001.log") && error.contains("another shard"), "{error}");
}

#[test]
fn a_newer_format_is_named_not_called_damage() {
    let mut sample = sample(true, &[10]);
    sample.dir.tamper(FileName::Log(1), |bytes| {
        bytes[8] = 9;
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c(&bytes[..4096]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    });
    let error = sample.reopen().unwrap_err();
    assert!(matches!(error, Error::Format { file: FileName::Log(1), found: 9, .. }), "{error}");
}

/// What may not be skipped is refused, by its name where it has one.
#[test]
fn a_record_of_an_unknown_kind_is_refused_unless_it_may_be_skipped() {
    let read = |kind: u8, entry: u8, flags: u8| {
        let mut dir = MemoryDir::new();
        let options = options(true, 16 << 10);
        let mut log = create(&mut dir, options);
        part(&mut dir, &mut log, true, &[Written { index: 1, len: 10 }]);
        dir.tamper(FileName::Log(1), |bytes| {
            let record = 4096 + 40;
            (bytes[record + 26], bytes[record + 27], bytes[record + 30]) = (kind, entry, flags);
            let crc = [&SHARD[..], &1_u64.to_le_bytes(), &(1_u64 << 32).to_le_bytes()].concat();
            let crc = [&crc[..], &(record as u64).to_le_bytes(), &bytes[record + 4..record + 48]].concat();
            bytes[record..record + 4].copy_from_slice(&crc32c::crc32c(&crc).to_le_bytes());
        });
        let mut read = 0;
        let log = recover(&mut dir, LogPosition::default(), options, &mut |_, _| {
            read += 1;
            Ok(())
        });
        log.map(|_| read)
    };
    assert_eq!(read(1, 1, 0).unwrap(), 1);
    let named = [
        ((99, 0, 0), "kind 99"),
        ((1, 6, 0), "prepare"),
        ((1, 9, 0), "type 9"),
        ((4, 0, 0), "outbox"),
        ((1, 1, 2), "0x02"),
    ];
    for ((kind, entry, flags), name) in named {
        let error = read(kind, entry, flags).unwrap_err().to_string();
        let is_told = error.contains("at offset 4136") && error.contains(name);
        assert!(is_told && error.contains("000001.log"), "{error}");
    }
    assert_eq!(read(99, 0, 0x80).unwrap(), 0);
}

#[test]
fn sizes_that_cannot_work_are_refused() {
    for segment_bytes in [0, 4096, (1 << 20) + 1, u32::MAX] {
        let error = reopen(&mut MemoryDir::new(), LogPosition::default(), options(true, segment_bytes));
        assert!(matches!(error, Err(Error::Limit(_))));
    }
}

/// Changes what a segment's header says, checksum included.
fn change_header(dir: &mut MemoryDir, file: FileName, change: impl FnOnce(&mut SegmentHeader)) {
    dir.tamper(file, |bytes| {
        let block = &mut bytes[..SEGMENT_HEADER as usize];
        let mut header = SegmentHeader::parse(block).expect("the header is sound");
        change(&mut header);
        header.encode(block);
    });
}

#[test]
fn a_header_that_names_a_predecessor_not_older_than_itself_is_damage() {
    let mut sample = sample(false, &[100, 100, 100]);
    let (file, later) = (sample.file(sample.starts[0]), sample.starts[0].segment);
    change_header(&mut sample.dir, file, |header| header.previous.generation = later);
    sample.assert_damaged(file, 0..1);
}

#[test]
fn a_log_that_opened_opens_again_whatever_predecessor_an_empty_segment_named() {
    let options = options(false, 16 << 10);
    for named in [u64::MAX, 1 << 33] {
        let mut dir = MemoryDir::new();
        create(&mut dir, options);
        change_header(&mut dir, FileName::Log(1), |header| header.previous.generation = named);
        for _ in 0..3 {
            reopen(&mut dir, LogPosition::default(), options).unwrap();
        }
    }
}

#[test]
fn a_log_that_no_generation_is_left_for_is_refused_and_left_alone() {
    let options = options(false, 16 << 10);
    let mut dir = MemoryDir::new();
    create(&mut dir, options);
    change_header(&mut dir, FileName::Log(1), |header| header.generation = u64::MAX << 32);
    let before = dir.bytes(FileName::Log(1)).to_vec();
    let refused = reopen(&mut dir, LogPosition::default(), options).err();
    assert!(matches!(refused, Some(Error::Unusable(text)) if text.contains("no generation is left")));
    assert_eq!(dir.list().unwrap(), [FileName::Log(1)]);
    assert_eq!(dir.bytes(FileName::Log(1)), before);
}
