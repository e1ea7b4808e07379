//! `kill -9` under load: what was acknowledged is there after a restart, and nothing that was never written.

mod common;

use common::resp::{Reply, Resp};
use common::{Kvd, store_dir};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const WRITERS: usize = 4;
const KEYS_PER_WRITER: u64 = 200;
const ROUNDS: usize = 20;
const DEPTH: usize = 8;

/// What a writer knows of each of its keys: the last number acknowledged, and the last one sent.
type Known = HashMap<u64, (u64, u64)>;

/// A value tells its key and its number, and is long enough to notice a part of it missing.
fn value(key: &str, number: u64) -> Vec<u8> {
    let mut value = format!("{key}:{number}:").into_bytes();
    value.resize(20 + (number as usize * 37) % 300, b'x');
    value
}

fn key(writer: usize, key: u64) -> String {
    format!("writer{writer}-key{key}")
}

/// Writes until the connection breaks; some writes go in pipelines, some in one MSET.
fn write(
    address: &str,
    writer: usize,
    seed: u64,
    known: &Mutex<Known>,
    acknowledged: &AtomicUsize,
    over: &AtomicBool,
) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut resp = Resp::connect(address);
    while !over.load(Ordering::Relaxed) {
        let mut sent = Vec::new();
        for _ in 0..DEPTH {
            let place = random.random_range(0..KEYS_PER_WRITER);
            let mut known = known.lock().expect("no holder of the lock panics");
            let entry = known.entry(place).or_insert((0, 0));
            entry.1 += 1;
            sent.push((place, entry.1));
        }
        let name = |place| key(writer, place);
        let mut bytes = Vec::new();
        for &(place, number) in &sent {
            let name = name(place);
            bytes.extend(common::resp::encode(&[b"SET", name.as_bytes(), &value(&name, number)]));
        }
        if resp.try_send(&bytes).is_err() {
            return;
        }
        for (place, number) in sent {
            match resp.try_reply() {
                Ok(reply) => assert_eq!(reply, Reply::ok()),
                Err(_) => return,
            }
            known
                .lock()
                .expect("no holder of the lock panics")
                .entry(place)
                .and_modify(|entry| entry.0 = number);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Every acknowledged write is there, or a later one that was sent; every value is whole.
fn verify(kvd: &Kvd, known: &[Arc<Mutex<Known>>], round: usize) {
    let mut resp = kvd.resp();
    for (writer, known) in known.iter().enumerate() {
        for (&place, entry) in known.lock().expect("no holder of the lock panics").iter_mut() {
            let name = key(writer, place);
            let found = match resp.call(&["GET", &name]) {
                Reply::Null => 0,
                Reply::Bulk(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let number =
                        text.split(':').nth(1).and_then(|number| number.parse().ok()).unwrap_or(u64::MAX);
                    assert_eq!(bytes, value(&name, number), "{name} in round {round}");
                    number
                }
                other => panic!("{name} in round {round}: {other:?}"),
            };
            let (acknowledged, sent) = *entry;
            assert!(
                (acknowledged..=sent).contains(&found),
                "{name} in round {round}: {found} was found, {acknowledged} was acknowledged, {sent} was sent"
            );
            // What is there now stays there.
            *entry = (found, sent);
        }
    }
}

fn survive(durability: &str, rounds: usize) {
    let (_root, dir) = store_dir();
    let known: Vec<Arc<Mutex<Known>>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..rounds {
        // 64 MB: memtables fill, so that flushes and merges are cut off too.
        let kvd = Kvd::start(&dir, &["--durability", durability, "--shards", "2", "--memory", "64MB"]);
        verify(&kvd, &known, round);
        let (acknowledged, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let goal = random.random_range(1..3000);
        let writers: Vec<_> = known
            .iter()
            .enumerate()
            .map(|(writer, known)| {
                let (address, known) = (kvd.resp.clone(), Arc::clone(known));
                let (acknowledged, over) = (Arc::clone(&acknowledged), Arc::clone(&over));
                let seed = (round * WRITERS + writer) as u64;
                std::thread::spawn(move || write(&address, writer, seed, &known, &acknowledged, &over))
            })
            .collect();
        let until = std::time::Instant::now() + common::DEADLINE;
        while acknowledged.load(Ordering::Relaxed) < goal {
            assert!(std::time::Instant::now() < until, "writes stand still: {}", kvd.log());
            std::thread::yield_now();
        }
        kvd.kill();
        over.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join().expect("no writer panics"));
    }
    let kvd = Kvd::start(&dir, &["--durability", durability]);
    verify(&kvd, &known, rounds);
    assert_eq!(kvd.stop().code(), Some(0));
}

#[test]
fn killed_twenty_times_under_load_it_loses_nothing_acknowledged() {
    survive("sync", ROUNDS);
}

#[test]
fn what_the_kernel_has_survives_a_kill_too() {
    survive("interval:50", 3);
}

#[test]
fn counters_and_deletes_and_clears_survive_a_kill() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let mut resp = kvd.resp();
    resp.call(&["MSET", "a", "1", "b", "2", "c", "3"]);
    resp.call(&["FLUSHALL"]);
    resp.call(&["MSET", "b", "4", "d", "5", "e", "6"]);
    resp.call(&["DEL", "d"]);
    resp.call(&["PEXPIRE", "e", "100000"]);
    for _ in 0..10 {
        resp.call(&["INCR", "counter"]);
    }
    kvd.kill();
    let kvd = Kvd::start(&dir, &[]);
    let mut resp = kvd.resp();
    let expected =
        [Reply::Null, Reply::bulk("4"), Reply::Null, Reply::Null, Reply::bulk("6"), Reply::bulk("10")];
    assert_eq!(resp.call(&["MGET", "a", "b", "c", "d", "e", "counter"]), Reply::Array(expected.to_vec()));
    assert!((1..=100_000).contains(&resp.call(&["PTTL", "e"]).integer()));
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer(3));
}
