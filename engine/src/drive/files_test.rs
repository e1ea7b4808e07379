//! Which descriptors are kept, shared, replaced and left over.

use super::*;
use crate::io::Token;
use std::fs;

#[test]
fn a_descriptor_is_shared_until_the_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("000001.log"), b"old").unwrap();
    let mut files = Files::new(dir.path(), false).unwrap();
    let first = files.get(FileName::Log(1)).unwrap();
    assert!(Arc::ptr_eq(&first, &files.get(FileName::Log(1)).unwrap()));
    files.observe(&IoRequest::Create { token: Token(0), file: FileName::Log(1) });
    assert!(!Arc::ptr_eq(&first, &files.get(FileName::Log(1)).unwrap()));
}

#[test]
fn a_file_that_somebody_removed_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::new(dir.path(), false).unwrap();
    for number in [1, 2] {
        fs::write(dir.path().join(FileName::Table(number).to_string()), b"").unwrap();
        files.get(FileName::Table(number)).unwrap();
    }
    fs::remove_file(dir.path().join("000001.sst")).unwrap();
    assert_eq!(files.take_unlinked().len(), 1);
    assert_eq!(files.open.keys().collect::<Vec<_>>(), [&(FileName::Table(2), false)]);
}

#[test]
fn a_file_is_left_over_when_its_last_user_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("000001.sst"), b"").unwrap();
    let mut files = Files::new(dir.path(), false).unwrap();
    let file = FileName::Table(1);
    assert!(files.find(file).is_none());
    let opened = OpenFile::open(dir.path(), file, false).unwrap();
    let users = [files.insert(file, opened), files.find(file).unwrap()];
    files.forget(file);
    for user in users {
        assert!(files.take_dropped().is_empty());
        files.let_go(user);
    }
    assert_eq!(files.take_dropped().len(), 1);
}

#[test]
fn unaligned_writes_get_a_descriptor_without_o_direct() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    fs::write(dir.path().join("000001.log"), b"").unwrap();
    let mut files = Files::new(dir.path(), true).unwrap();
    let direct = files.is_direct();
    assert_eq!(files.for_write(FileName::Log(1), 4096, 8192).unwrap().is_direct(), direct);
    assert!(!files.for_write(FileName::Log(1), 8, 4096).unwrap().is_direct());
    assert!(!files.for_write(FileName::Log(1), 4096, 8).unwrap().is_direct());
}

#[test]
fn no_write_of_a_buffered_log_goes_past_the_page_cache() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    for name in ["000001.log", "000001.manifest"] {
        fs::write(dir.path().join(name), b"").unwrap();
    }
    let mut files = Files::new(dir.path(), true).unwrap();
    files.buffer_log();
    assert!(!files.for_write(FileName::Log(1), 4096, 8192).unwrap().is_direct());
    let direct = files.is_direct();
    assert_eq!(files.for_write(FileName::Manifest(1), 4096, 8192).unwrap().is_direct(), direct);
}

#[test]
fn only_direct_log_writes_into_prepared_space_write_through() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    for name in ["000001.log", "000001.manifest"] {
        fs::write(dir.path().join(name), [0; 8192]).unwrap();
    }
    let mut files = Files::new(dir.path(), true).unwrap();
    let (log, manifest) = (FileName::Log(1), FileName::Manifest(1));
    let file = files.for_write(log, 0, 4096).unwrap();
    files.set_log_sync(LogSync::Linked);
    assert!(!files.writes_through(log, &file, 4096, 4096));
    files.set_log_sync(LogSync::WriteThrough);
    assert_eq!(files.writes_through(log, &file, 4096, 4096), files.is_direct());
    assert!(!files.writes_through(log, &file, 8192, 4096), "the file has to grow");
    assert!(!files.writes_through(manifest, &file, 4096, 4096));
    let buffered = files.for_write(log, 8, 8).unwrap();
    assert!(!files.writes_through(log, &buffered, 8, 8));
}

#[test]
fn a_directory_in_memory_has_no_o_direct() {
    if let Ok(dir) = tempfile::tempdir_in("/dev/shm") {
        assert!(!Files::new(dir.path(), true).unwrap().is_direct());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn the_number_of_open_files_is_bounded_and_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::new(dir.path(), false).unwrap();
    for number in 1..=2 * OPEN_MAX as u64 {
        fs::write(dir.path().join(FileName::Table(number).to_string()), b"").unwrap();
        files.get(FileName::Table(number)).unwrap();
        assert!(files.open.len() <= OPEN_MAX);
        assert_eq!(files.open.len() + files.dropped.len(), number as usize, "nothing is closed here");
    }
    assert!(files.open.contains_key(&(FileName::Table(2 * OPEN_MAX as u64), false)));
}
