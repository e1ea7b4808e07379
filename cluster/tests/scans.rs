//! Ordered scans over many partitions: what memory they take, and what is left when their clients go away.

mod common;

use common::resp::Reply;
use common::{DEADLINE, Kvd, store_dir};
use pinion_net::client::{Batch, ScanOptions};
use std::time::{Duration, Instant};

const ARGUMENTS: [&str; 8] =
    ["--shards", "2", "--partitions", "256", "--memory", "96MB", "--durability", "none"];
const VALUE_BYTES: usize = 4 << 20;
const KEYS: usize = 40;

fn value(number: usize) -> Vec<u8> {
    vec![number as u8; VALUE_BYTES]
}

/// A store of 160 MiB, most of which doesn't fit in memory.
fn filled(dir: &std::path::Path) -> Kvd {
    let kvd = Kvd::start(dir, &ARGUMENTS);
    let client = kvd.client();
    for number in 0..KEYS {
        // Where the disk is slower than the writer, it is told to try again.
        let deadline = Instant::now() + Duration::from_secs(180);
        while let Err(error) = client.put(format!("key{number:03}"), value(number)) {
            assert!(error.to_string().contains("busy") && Instant::now() < deadline, "{error}");
        }
    }
    kvd
}

fn scan_all(kvd: &Kvd) {
    let items: Vec<_> = kvd.client().scan(ScanOptions::default()).map(Result::unwrap).collect();
    assert_eq!(items.len(), KEYS);
    for (number, item) in items.into_iter().enumerate() {
        assert_eq!(item.key, format!("key{number:03}").into_bytes());
        assert!(item.value.bytes == value(number), "key{number:03} has another value");
    }
}

#[test]
fn scans_of_huge_values_over_many_partitions_cost_bounded_memory() {
    let (_root, dir) = store_dir();
    assert!(filled(&dir).stop().success());
    // A new process: what the load and its merges left behind doesn't count.
    let kvd = Kvd::start(&dir, &ARGUMENTS);
    let before = kvd.memory_anonymous_kib();
    let most = std::thread::scope(|threads| {
        let scans: Vec<_> = (0..4).map(|_| threads.spawn(|| scan_all(&kvd))).collect();
        let mut most = 0;
        while scans.iter().any(|scan| !scan.is_finished()) {
            most = most.max(kvd.memory_anonymous_kib());
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        scans.into_iter().for_each(|scan| scan.join().expect("a scan is complete"));
        most
    });
    let more = most.saturating_sub(before) >> 10;
    // A value of each partition at once would be 4 x 40 x 4 MiB. One scan of a core holds three blocks and reads one; four
    // pages are on their way to their clients.
    assert!(more < 320, "{more} MiB more than the {} MiB before", before >> 10);
}

#[test]
fn clients_that_go_away_in_the_middle_of_scans_leave_nothing_behind() {
    use std::io::Write;
    let (_root, dir) = store_dir();
    let kvd = filled(&dir);
    for _ in 0..4 {
        let mut resp = kvd.resp();
        resp.send(&["KEYS", "*"]);
        resp.send(&["DBSIZE"]);
        let mut items = kvd.client().scan(ScanOptions::default());
        drop(items.next());
        let mut half = std::net::TcpStream::connect(&kvd.kv).unwrap();
        half.write_all(b"P").unwrap();
    }
    // What they left running ends, and those who stay find room.
    scan_all(&kvd);
    let until = Instant::now() + DEADLINE;
    while memory_of_scans(&kvd) != 0 {
        assert!(Instant::now() < until, "scans that nobody waits for keep their memory");
        std::thread::yield_now();
    }
    assert_eq!(kvd.resp().call(&["DBSIZE"]), Reply::Integer(KEYS as i64));
    assert!(kvd.stop().success());
}

fn memory_of_scans(kvd: &Kvd) -> usize {
    let info = String::from_utf8(kvd.resp().call(&["INFO", "memory"]).bytes()).expect("INFO is text");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_scans:")).expect("it is told");
    line.trim().parse().expect("a number")
}

#[test]
fn small_items_between_huge_ones_come_in_order_and_in_pages_that_make_progress() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "3", "--memory", "64MB"]);
    let client = kvd.client();
    let mut batch = Batch::new();
    let mut expected = Vec::new();
    for number in 0..600 {
        let key = format!("key{number:04}");
        let len = if number % 97 == 0 { 2 << 20 } else { number % 50 };
        if len > 1000 {
            client.put(&key, vec![b'h'; len]).unwrap();
        } else {
            batch.put(&key, vec![b's'; len]).unwrap();
        }
        expected.push((key.into_bytes(), len));
    }
    client.write(&batch).unwrap();
    for page_items in [1000, 10] {
        let options = ScanOptions { page_items, ..ScanOptions::default() };
        let items: Vec<_> =
            client.scan(options).map(Result::unwrap).map(|item| (item.key, item.value.bytes.len())).collect();
        assert_eq!(items, expected);
    }
    assert_eq!(client.count(&ScanOptions::default()).unwrap(), 600);
}
