//! What is refused as damage or as another's, and what a repair keeps.

use super::*;
use crate::aligned::AlignedBuf;
use crate::manifest::format::{FileIdentity, RecordKind};

#[test]
fn tables_without_a_manifest_are_not_taken_for_an_empty_store() {
    for file in [FileName::Table(1), FileName::Log(1)] {
        let mut dir = MemoryDir::new();
        dir.create(file).unwrap();
        let error = recover(&mut dir).unwrap_err().to_string();
        assert!(error.contains("the manifest is missing") && error.contains("store/shard-000"), "{error}");
    }
}

#[test]
fn the_manifest_of_another_shard_is_refused() {
    let (mut dir, _) = sample(1);
    let error = Manifest::recover(&mut dir, [1; 16]).unwrap_err().to_string();
    assert!(error.contains("000001.manifest") && error.contains("another shard"), "{error}");
}

#[test]
fn an_edit_that_contradicts_the_state_is_damage() {
    let (mut dir, mut manifest) = sample(4);
    let mut requests = Vec::new();
    manifest.append(Edit { removed: vec![77], ..Edit::default() }, &mut requests);
    settle(&mut dir, &mut manifest, requests);
    let error = recover(&mut dir).unwrap_err().to_string();
    assert!(error.contains("removes table 77") && error.contains("offset 24576"), "{error}");
}

/// Found by fuzzing: the next number overflowed.
#[test]
fn numbers_that_no_store_reaches_are_damage_wherever_they_are() {
    let file = |number| TableEntry { number, level: 1, file_bytes: 4096 };
    let group = GroupState { max_version: Version(u64::MAX), ..GroupState::default() };
    for (edit, what) in [
        (Edit { next_file: Some(u64::MAX), ..Edit::default() }, "numbers a file"),
        (Edit { added: vec![file(FileName::NUMBER_MAX + 1)], ..Edit::default() }, "numbers a file"),
        (Edit { groups: vec![group], ..Edit::default() }, "which none reaches"),
    ] {
        for (kind, block) in [(RecordKind::State, 1), (RecordKind::Edit, 3)] {
            let (mut dir, manifest) = sample(2);
            forge(&mut dir, manifest.file(), kind, block as u64, &edit, block * BLOCK);
            let error = recover(&mut dir).unwrap_err().to_string();
            let place = format!("000001.manifest is damaged at offset {}", block * BLOCK);
            assert!(error.contains(&place) && error.contains(what), "{error}");
        }
    }
}

#[test]
fn a_manifest_without_numbers_left_is_refused() {
    let (mut dir, manifest) = sample(1);
    for sequence in [1 << 62, u64::MAX] {
        forge(&mut dir, manifest.file(), RecordKind::State, sequence, &Edit::default(), BLOCK);
        let error = recover(&mut dir).unwrap_err().to_string();
        assert!(error.contains("000001.manifest") && error.contains("no number is left"), "{error}");
    }
    let (mut dir, _) = sample(1);
    dir.create(FileName::Log(u64::MAX)).unwrap();
    let error = recover(&mut dir).unwrap_err().to_string();
    assert!(error.contains("18446744073709551615.log") && error.contains("move it out"), "{error}");
}

/// Puts a record with a right checksum at an offset.
fn forge(dir: &mut MemoryDir, file: FileName, kind: RecordKind, sequence: u64, edit: &Edit, offset: usize) {
    let mut record = AlignedBuf::with_capacity(BLOCK);
    FileIdentity::new(SHARD, 1).encode(kind, sequence, edit, offset as u64, &mut record);
    dir.tamper(file, |bytes| bytes[offset..offset + BLOCK].copy_from_slice(&record));
}

#[test]
fn a_repair_keeps_the_state_before_the_damage() {
    let (mut dir, manifest) = sample(6);
    dir.flip(manifest.file(), 5 * BLOCK + 50, 2);
    assert!(recover(&mut dir).is_err());
    let report = Manifest::repair(&mut dir, SHARD).unwrap();
    assert_eq!((report.kept_edits, report.dropped_edits), (3, 2));
    assert_eq!(report.state, state_after(3));
    assert!(report.damage[0].contains("000001.manifest is damaged at offset 20480"), "{:?}", report.damage);
    assert_eq!(recover(&mut dir).unwrap().1, state_after(3));
    assert!(Manifest::repair(&mut dir, SHARD).unwrap().damage.is_empty());
}

#[test]
fn a_repair_without_any_state_refuses_and_says_so() {
    let (mut dir, manifest) = sample(2);
    dir.flip(manifest.file(), BLOCK + 50, 2);
    let error = Manifest::repair(&mut dir, SHARD).unwrap_err().to_string();
    assert!(
        error.contains("000001.manifest is damaged at offset 4096") && error.contains("backup"),
        "{error}"
    );
}

/// Rule: what may not be skipped is refused. A torn edit is cut; a sound one that a newer build wrote never is.
#[test]
fn a_sound_edit_that_this_build_cannot_read_is_refused_and_not_cut_as_a_torn_one() {
    let (mut dir, manifest) = sample(2);
    let (file, at) = (manifest.file(), dir.bytes(manifest.file()).len());
    // A flag of its header that nobody knows here.
    add_changed(&mut dir, 3, |bytes| bytes[32 + 12] |= 64);
    let error = recover(&mut dir).map(drop).unwrap_err().to_string();
    assert!(error.contains("knows nothing") && error.contains("000001.manifest"), "{error}");
    assert!(matches!(recover(&mut dir), Err(Error::Newer { .. })));
    assert!(Manifest::repair(&mut dir, SHARD).is_err(), "a repair doesn't cut it either");
    // An edit that was torn is cut as ever.
    dir.flip(file, at + 100, 3);
    assert_eq!(recover(&mut dir).unwrap().1, state_after(2));
}

/// Adds a sound edit in which something was changed.
fn add_changed(dir: &mut MemoryDir, number: u64, change: impl FnOnce(&mut [u8])) {
    let file = FileName::Manifest(1);
    let at = dir.bytes(file).len() as u64;
    let place = FileIdentity::new(SHARD, 1);
    let mut bytes = AlignedBuf::with_capacity(0);
    place.encode(RecordKind::Edit, number + 1, &edit(number), at, &mut bytes);
    change(&mut bytes);
    let salt = [&SHARD[..], &1_u64.to_le_bytes(), &at.to_le_bytes()].concat();
    let crc = crc32c::crc32c(&[&salt[..], &bytes[8..]].concat()).to_le_bytes();
    bytes[4..8].copy_from_slice(&crc);
    dir.write(file, at, &bytes).and_then(|()| dir.sync(file)).unwrap();
}

#[test]
fn a_whole_edit_proves_that_it_was_durable_whatever_it_says() {
    // What it says makes no sense.
    let (mut dir, _) = sample(2);
    add_changed(&mut dir, 3, |bytes| bytes[32 + 72 + 24 + 8] += 1);
    assert!(matches!(recover(&mut dir), Err(Error::Damaged { .. })));
    // It lies behind a bad one, and says what nobody knows here.
    let (mut dir, manifest) = sample(3);
    let at = dir.bytes(manifest.file()).len() - BLOCK + 100;
    add_changed(&mut dir, 4, |bytes| bytes[32 + 12] |= 64);
    dir.flip(manifest.file(), at, 0);
    assert!(matches!(recover(&mut dir), Err(Error::Damaged { .. })));
}

#[test]
fn a_group_that_left_is_known_as_long_as_the_log_has_something_of_it() {
    let mut state = state_after(3);
    let left = GroupState {
        partition: Partition(9),
        has_left: true,
        log_from: LogPosition { segment: 7, offset: 4096 },
        ..GroupState::default()
    };
    state.apply(&Edit { groups: vec![left.clone()], ..Edit::default() });
    assert_eq!(state.groups[&Partition(9)], left);
    let moved = |segment| Edit { log_start: Some(LogPosition { segment, offset: 0 }), ..Edit::default() };
    state.apply(&moved(7));
    assert!(state.groups.contains_key(&Partition(9)));
    state.apply(&moved(8));
    assert!(!state.groups.contains_key(&Partition(9)));
}
