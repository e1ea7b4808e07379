//! Durable writes by 1, 16 and 64 threads through the embedded store: an fdatasync linked to the log write
//! beside RWF_DSYNC on it, in turns, alone and beside a thread that computes. Medians of thousands of writes a second.

use pinion_engine::store::{KeyValue, LogSync, Store, StoreOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WAYS: [LogSync; 2] = [LogSync::Linked, LogSync::WriteThrough];
const VALUE: [u8; 100] = [7; 100];

fn main() {
    // `cargo test` only sees whether it runs.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let (rounds, time) =
        if is_bench { (5, Duration::from_millis(600)) } else { (1, Duration::from_millis(5)) };
    println!("| writers | beside | {} | {} | second / first |\n|---|---|---|---|---|", WAYS[0], WAYS[1]);
    for writers in [1, 16, 64] {
        for is_busy in [false, true] {
            let mut rates = [Vec::new(), Vec::new()];
            for _ in 0..rounds {
                for (way, rates) in WAYS.iter().zip(&mut rates) {
                    rates.push(measure(*way, writers, is_busy, time));
                }
            }
            let [linked, through] = rates.map(median);
            let beside = if is_busy { "a busy thread" } else { "nothing" };
            println!("| {writers} | {beside} | {linked:.1} | {through:.1} | {:.2} |", through / linked);
        }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Thousands of durable writes a second.
fn measure(log_sync: LogSync, writers: u64, is_busy: bool, time: Duration) -> f64 {
    let dir = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a directory on a disk");
    let options = StoreOptions { log_sync: Some(log_sync), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).expect("a new store");
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let elapsed = thread::scope(|scope| {
        if is_busy {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for writer in 0..writers {
            let (mut store, stop, done) = (store.clone(), &stop, &done);
            scope.spawn(move || {
                for i in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    store.put(&[writer.to_be_bytes(), i.to_be_bytes()].concat(), &VALUE).expect("a write");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let started = Instant::now();
        thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        started.elapsed()
    });
    done.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64() / 1e3
}
