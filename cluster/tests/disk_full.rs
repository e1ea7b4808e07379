//! A full disk: writes are refused with a clear error, reads go on, and writes come back when there is room.

mod common;

use common::resp::Reply;
use common::{Kvd, command, refused, stderr, wait_until};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A small file system of our own, unmounted in the end.
struct Small {
    root: tempfile::TempDir,
}

impl Small {
    /// `None`, with a line that says why, where file systems can't be mounted.
    fn mount(mib: usize) -> Option<Small> {
        Small::mount_with(&format!("size={mib}m"))
    }

    fn mount_with(options: &str) -> Option<Small> {
        let root = tempfile::tempdir().expect("a temporary directory");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(root.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            Some(Small { root })
        } else {
            println!("skipped: mounting a tmpfs needs root");
            None
        }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    /// A directory for a store on it, by a name elsewhere: the server's messages are written beside that, not to the disk that
    /// is full.
    fn store(&self) -> (tempfile::TempDir, PathBuf) {
        let elsewhere = tempfile::tempdir().expect("a temporary directory");
        let dir = elsewhere.path().join("store");
        std::fs::create_dir(self.path().join("store")).expect("the file system is ours");
        std::os::unix::fs::symlink(self.path().join("store"), &dir).expect("a link can be made");
        (elsewhere, dir)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.root.path()).status();
    }
}

fn fill(path: &Path) -> PathBuf {
    let ballast = path.join("ballast");
    fill_up(File::create(&ballast).expect("a file can be made"));
    ballast
}

fn fill_up(mut file: File) {
    let block = vec![1; 64 << 10];
    while file.write_all(&block).is_ok() {}
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself() {
    let Some(small) = Small::mount(300) else { return };
    let (_elsewhere, dir) = small.store();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--memory", "64MB"]);
    let mut resp = kvd.resp();
    assert_eq!(resp.call(&["SET", "before", "x"]), Reply::ok());
    let ballast = fill(small.path());
    let value = vec![b'v'; 512 << 10];
    let mut acknowledged = Vec::new();
    let mut refusal = None;
    for number in 0..2000 {
        let key = format!("key{number}");
        match resp.call(&[b"SET", key.as_bytes(), &value]) {
            Reply::Error(error) => {
                refusal = Some(error);
                break;
            }
            reply => {
                assert_eq!(reply, Reply::ok());
                acknowledged.push(key);
            }
        }
    }
    let refusal = refusal.expect("a full disk takes no gigabyte");
    println!("refused after {} writes: {refusal}", acknowledged.len());
    assert_eq!(resp.call(&["GET", "before"]), Reply::bulk("x"));
    let ready = kvd.http("/ready");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the disk is full"), "{ready}");
    let health = kvd.http("/health");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""status":"read-only""#), "{health}");
    let told = |text: &str| kvd.log().matches(text).count();
    wait_until("the log says so", || told("shard 0 takes no writes: the disk is full") > 0);
    assert_eq!(told("shard 0 takes no writes: the disk is full"), 1, "{}", kvd.log());
    assert!(!kvd.log().contains("the shard's directory"), "{}", kvd.log());
    std::fs::remove_file(ballast).expect("the ballast is ours");
    let until = Instant::now() + common::DEADLINE;
    while resp.call(&["SET", "after", "x"]) != Reply::ok() {
        assert!(Instant::now() < until, "writes don't come back; kvd says: {}", kvd.log());
        std::thread::yield_now();
    }
    for key in &acknowledged {
        assert_eq!(resp.call(&["STRLEN", key]), Reply::Integer(512 << 10), "{key}");
    }
    assert!(kvd.http("/ready").starts_with("HTTP/1.1 200"));
    wait_until("the log says so", || told("shard 0 takes writes again") > 0);
    assert_eq!(told("shard 0 takes no writes: the disk is full"), 1, "{}", kvd.log());
    assert_eq!(told("shard 0 takes writes again"), 1, "{}", kvd.log());
    kvd.kill();
    let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
    let mut resp = kvd.resp();
    assert_eq!(resp.call(&["GET", "after"]), Reply::bulk("x"));
    for key in &acknowledged {
        assert_eq!(resp.call(&["STRLEN", key]), Reply::Integer(512 << 10), "{key} after a restart");
    }
    drop(kvd);
}

#[test]
fn a_start_on_a_full_disk_serves_reads_leaves_nothing_and_takes_writes_when_there_is_room() {
    let Some(small) = Small::mount(120) else { return };
    let (_elsewhere, dir) = small.store();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--memory", "64MB"]);
    assert_eq!(kvd.resp().call(&["SET", "before", "x"]), Reply::ok());
    assert_eq!(kvd.stop().code(), Some(0));
    let ballast = fill(small.path());
    let files = || {
        let names = std::fs::read_dir(dir.join("shard-000")).expect("the shard is there");
        let mut names: Vec<_> = names.map(|entry| entry.expect("a name").file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    for _ in 0..2 {
        let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
        assert_eq!(kvd.resp().call(&["GET", "before"]), Reply::bulk("x"));
        let ready = kvd.http("/ready");
        assert!(
            ready.starts_with("HTTP/1.1 503") && ready.contains("there is no room for the log"),
            "{ready}"
        );
        wait_until("the log says so", || kvd.log().contains("there is no room for the log in"));
        kvd.kill();
        // The file of an attempt that was under way when it was killed may be there: the next start removes it.
        let left = files().len();
        assert!(
            (before.len()..=before.len() + 1).contains(&left),
            "attempts leave their files: {:?}",
            files()
        );
    }
    let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
    std::fs::remove_file(ballast).expect("the ballast is ours");
    let mut resp = kvd.resp();
    let until = Instant::now() + common::DEADLINE;
    while resp.call(&["SET", "after", "x"]) != Reply::ok() {
        assert!(Instant::now() < until, "writes don't come back; kvd says: {}", kvd.log());
        std::thread::yield_now();
    }
    kvd.kill();
    let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
    for key in ["before", "after"] {
        assert_eq!(kvd.resp().call(&["GET", key]), Reply::bulk("x"));
    }
    assert_eq!(kvd.stop().code(), Some(0));
}

/// A file that others fill and empty, as on a disk that is nearly full all day.
#[test]
fn a_shard_without_room_refuses_at_once_says_so_once_and_answers_the_reads_behind() {
    let Some(small) = Small::mount(300) else { return };
    let (_elsewhere, dir) = small.store();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--memory", "64MB"]);
    let mut resp = kvd.resp();
    let value = vec![b'v'; 256 << 10];
    let ballast = fill(small.path());
    // Both shards run out of room.
    let until = Instant::now() + common::DEADLINE;
    while kvd.log().matches("takes no writes: the disk is full").count() < 2 {
        assert!(Instant::now() < until, "a full disk takes writes for ever: {}", kvd.log());
        for number in 0..64 {
            let key = format!("key{number}");
            resp.call(&[b"SET", key.as_bytes(), &value]);
        }
    }
    let info = |resp: &mut common::resp::Resp| match resp.call(&["INFO", "persistence"]) {
        Reply::Bulk(text) => String::from_utf8(text).expect("INFO is text"),
        other => panic!("INFO is answered {other:?}"),
    };
    let said = info(&mut resp);
    assert!(said.contains("aof_last_write_status:err\r\nread_only_shards:2"), "{said}");
    for round in 0..50 {
        // Room for less than a table comes and goes: it changes nothing.
        let file = File::options().append(true).open(&ballast).expect("the ballast is ours");
        let len = file.metadata().expect("it is open").len();
        file.set_len(len - (1 << 20)).expect("it gets shorter");
        fill_up(file);
        for number in 0..20 {
            let key = format!("new{round}-{number}");
            let refused = resp.call(&[b"SET", key.as_bytes(), &value]);
            assert!(
                matches!(&refused, Reply::Error(text) if text.contains("the disk is full")),
                "{refused:?}"
            );
            assert_eq!(resp.call(&["EXISTS", &key]), Reply::Integer(0));
        }
    }
    let log = kvd.log();
    assert_eq!(log.matches("takes no writes").count(), 2, "{log}");
    assert_eq!(log.matches("takes writes again").count(), 0, "{log}");
    let told = log.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).count();
    assert!(told < 20, "{log}");
    std::fs::remove_file(ballast).expect("the ballast is ours");
    let until = Instant::now() + common::DEADLINE;
    while !info(&mut resp).contains("aof_last_write_status:ok\r\nread_only_shards:0") {
        assert!(Instant::now() < until, "writes don't come back; kvd says: {}", kvd.log());
        std::thread::yield_now();
    }
    assert_eq!(resp.call(&["SET", "after", "x"]), Reply::ok());
}

/// A disk may have bytes left and no file to put them in.
#[test]
fn a_disk_without_room_for_a_name_keeps_nobody_from_a_store_whose_lock_file_is_gone_but_a_second_server() {
    let Some(small) = Small::mount_with("size=300m,nr_inodes=200") else { return };
    let (_elsewhere, dir) = small.store();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--memory", "64MB"]);
    assert_eq!(kvd.resp().call(&["SET", "before", "x"]), Reply::ok());
    assert_eq!(kvd.stop().code(), Some(0));
    std::fs::remove_file(dir.join("LOCK")).expect("the store is ours");
    let ballast = small.path().join("ballast");
    std::fs::create_dir(&ballast).expect("the file system is ours");
    let made = (0..200).take_while(|number| File::create(ballast.join(number.to_string())).is_ok()).count();
    assert!(made < 200, "there is no room for more names");
    let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
    assert!(!dir.join("LOCK").exists());
    assert_eq!(kvd.resp().call(&["GET", "before"]), Reply::bulk("x"));
    let second = refused(&mut command(&dir));
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("in use by another process"), "{}", stderr(&second));
    std::fs::remove_dir_all(ballast).expect("the ballast is ours");
    let mut resp = kvd.resp();
    let until = Instant::now() + common::DEADLINE;
    while resp.call(&["SET", "after", "x"]) != Reply::ok() {
        assert!(Instant::now() < until, "writes don't come back; kvd says: {}", kvd.log());
        std::thread::yield_now();
    }
    assert_eq!(kvd.stop().code(), Some(0));
    let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
    for key in ["before", "after"] {
        assert_eq!(kvd.resp().call(&["GET", key]), Reply::bulk("x"));
    }
    assert!(dir.join("LOCK").exists());
    assert_eq!(kvd.stop().code(), Some(0));
}
