//! Files that were there and aren't: the server refuses to start and says what is missing, and so does `--check`.

mod common;

use common::{Kvd, command, refused, stderr, store_dir};
use pinion_engine::drive::{OsDir, StoreFile};
use pinion_engine::io::FileName;
use pinion_engine::manifest::{Manifest, ManifestState};
use std::path::{Path, PathBuf};

const KEYS: usize = 200;

/// A store of two shards with keys in both, that served and was stopped in good order.
fn stopped() -> (tempfile::TempDir, PathBuf) {
    let (root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let mut resp = kvd.resp();
    for number in 0..KEYS {
        assert_eq!(resp.call(&["SET", &format!("key{number}"), "v"]), common::resp::Reply::ok());
    }
    assert_eq!(kvd.stop().code(), Some(0));
    (root, dir)
}

fn state(dir: &Path, shard: u32) -> ManifestState {
    let file = StoreFile::read(dir).expect("STORE can be read").expect("there is a store");
    let shard_dir = OsDir::open(file.shard_dir(dir, shard)).expect("the shard is there");
    Manifest::read(&shard_dir, file.shard_id(shard)).expect("its manifest is sound")
}

fn paths(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let paths =
        std::fs::read_dir(dir).expect("the shard is there").map(|entry| entry.expect("a name").path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Neither a start nor a check succeeds; the last line of both names it, and the command that mends it.
#[track_caller]
fn missed(dir: &Path, named: &str) {
    for check in [false, true] {
        let mut command = command(dir);
        let output = refused(if check { command.arg("--check") } else { &mut command });
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let text = stderr(&output);
        let line = text.trim_end().lines().last().unwrap_or_default();
        let command = format!("`kvtool repair {}`", dir.display());
        assert!(line.contains(named) && line.contains(&command), "check {check}: {text}");
    }
}

#[test]
fn whatever_is_missing_is_named_with_the_command_also_by_check_and_put_back_it_serves() {
    let (root, dir) = stopped();
    let aside = root.path().join("aside");
    let shard = dir.join("shard-001");
    let newest = FileName::Log(state(&dir, 1).log_reached.file).to_string();
    let manifests = paths(&shard, "manifest");
    let logs = paths(&shard, "log");
    for (gone, named) in [
        (vec![shard.clone()], "shard-001 is missing from"),
        (vec![shard.join(&newest)], newest.as_str()),
        (logs, "log segment"),
        (manifests, "the manifest is missing"),
        (vec![dir.join("STORE")], "STORE is missing"),
    ] {
        std::fs::create_dir(&aside).unwrap();
        for path in &gone {
            std::fs::rename(path, aside.join(path.file_name().unwrap())).unwrap();
        }
        missed(&dir, named);
        for path in &gone {
            std::fs::rename(aside.join(path.file_name().unwrap()), path).unwrap();
        }
        std::fs::remove_dir(&aside).unwrap();
    }
    // A directory that is there, and empty.
    std::fs::rename(&shard, &aside).unwrap();
    std::fs::create_dir(&shard).unwrap();
    missed(&dir, "all files of the shard are missing");
    std::fs::remove_dir(&shard).unwrap();
    std::fs::rename(&aside, &shard).unwrap();
    let store = std::fs::read(dir.join("STORE")).unwrap();
    let mut flipped = store.clone();
    flipped[70] ^= 1;
    std::fs::write(dir.join("STORE"), flipped).unwrap();
    missed(&dir, "STORE is no store file");
    std::fs::write(dir.join("STORE"), store).unwrap();
    assert!(command(&dir).arg("--check").output().unwrap().status.success());
    let kvd = Kvd::start(&dir, &[]);
    assert_eq!(kvd.resp().call(&["DBSIZE"]), common::resp::Reply::Integer(KEYS as i64));
}

/// An earlier build's `STORE` doesn't say that the shards were made; what the others hold does.
#[test]
fn a_shard_that_is_missing_or_empty_when_an_earlier_builds_store_is_taken_over_is_missed() {
    let (root, dir) = stopped();
    let file = StoreFile::read(&dir).unwrap().unwrap();
    StoreFile { is_made: false, ..file }.write(&dir).unwrap();
    let (shard, aside) = (dir.join("shard-001"), root.path().join("aside"));
    std::fs::rename(&shard, &aside).unwrap();
    missed(&dir, "shard-001 is missing from");
    std::fs::create_dir(&shard).unwrap();
    missed(&dir, "shard-001 is missing from");
    std::fs::remove_dir(&shard).unwrap();
    std::fs::rename(&aside, &shard).unwrap();
    let kvd = Kvd::start(&dir, &[]);
    assert_eq!(kvd.resp().call(&["DBSIZE"]), common::resp::Reply::Integer(KEYS as i64));
    assert!(StoreFile::read(&dir).unwrap().unwrap().is_made);
}

#[test]
fn a_first_start_that_was_cut_off_is_made_up_for_by_the_next() {
    let (_root, dir) = store_dir();
    std::fs::create_dir_all(dir.join("shard-000")).unwrap();
    StoreFile::new(2, 64).unwrap().write(&dir).unwrap();
    assert!(command(&dir).arg("--check").output().unwrap().status.success());
    let kvd = Kvd::start(&dir, &[]);
    assert_eq!(kvd.shards, 2);
    assert!(StoreFile::read(&dir).unwrap().unwrap().is_made, "it serves, so all shards were made");
}
