//! More writes than the disk takes: writers are slowed, nobody is refused, memory stays within its bounds.

mod common;

use common::resp::{Reply, encode};
use common::{Kvd, store_dir};

/// One at a time: all of them are pinned to the same CPU, and background work yields to every other server there.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

const CONNECTIONS: usize = 8;
const BATCHES: usize = 30;
const DEPTH: usize = 10;
const VALUE_BYTES: usize = 64 << 10;

fn write_more_than_fits(shards: &str) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", shards, "--memory", "64MB", "--durability", "none"]);
    let writers: Vec<_> = (0..CONNECTIONS)
        .map(|writer| {
            let mut resp = kvd.resp();
            std::thread::spawn(move || {
                for batch in 0..BATCHES {
                    let mut bytes = Vec::new();
                    for place in 0..DEPTH {
                        let key = format!("writer{writer}-{batch}-{place}");
                        let mut value = key.clone().into_bytes();
                        value.resize(VALUE_BYTES, b'v');
                        bytes.extend(encode(&[b"SET", key.as_bytes(), &value]));
                    }
                    resp.send_bytes(&bytes);
                    for _ in 0..DEPTH {
                        assert_eq!(resp.reply(), Reply::ok());
                    }
                }
            })
        })
        .collect();
    let mut most = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        most = most.max(common::anonymous_bytes(kvd.pid()));
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    writers.into_iter().for_each(|writer| writer.join().expect("a writer is content"));
    assert!(most < 200 << 20, "{} MiB were in memory", most >> 20);
    let mut resp = kvd.resp();
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer((CONNECTIONS * BATCHES * DEPTH) as i64));
    for writer in 0..CONNECTIONS {
        let key = format!("writer{writer}-{}-{}", BATCHES / 2, DEPTH / 2);
        assert!(resp.call(&["GET", &key]).bytes().starts_with(key.as_bytes()));
    }
}

#[test]
fn writers_of_one_shard_are_slowed_and_never_refused() {
    write_more_than_fits("1");
}

#[test]
fn writers_of_several_shards_are_slowed_and_never_refused() {
    write_more_than_fits("3");
}

#[test]
fn the_largest_values_sent_at_once_are_all_taken() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--memory", "256MB"]);
    let value = vec![b'v'; 16 << 20];
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (mut resp, value) = (kvd.resp(), value.clone());
            std::thread::spawn(move || {
                for number in 0..3 {
                    resp.send(&[b"SET", format!("large{writer}-{number}").as_bytes(), &value]);
                }
                for _ in 0..3 {
                    assert_eq!(resp.reply(), Reply::ok());
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("a writer is content"));
    assert_eq!(kvd.resp().call(&["DBSIZE"]), Reply::Integer(12));
}
