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
