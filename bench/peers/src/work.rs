//! What the stores are made to do.

use crate::engines::{Engine, Peer, Result, open, open_writers};
use crate::keys::{Zipfian, key};
use crate::measure::{Meter, Sample, Table};
use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use std::fmt;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Work {
    Load,
    Zipfian,
    Uniform,
    Absent,
    Updates,
    Rmw,
    Scans,
    Sync1,
    Sync16,
    Sync64,
}

impl Work {
    pub const ALL: [Work; 10] = [
        Work::Load,
        Work::Zipfian,
        Work::Uniform,
        Work::Absent,
        Work::Updates,
        Work::Rmw,
        Work::Scans,
        Work::Sync1,
        Work::Sync16,
        Work::Sync64,
    ];

    /// How many threads write durably, for the works that are about that.
    pub fn writers(self) -> Option<usize> {
        match self {
            Work::Sync1 => Some(1),
            Work::Sync16 => Some(16),
            Work::Sync64 => Some(64),
            _ => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Load => "load",
            Work::Zipfian => "C zipfian",
            Work::Uniform => "C uniform",
            Work::Absent => "absent keys",
            Work::Updates => "A",
            Work::Rmw => "F",
            Work::Scans => "E",
            Work::Sync1 => "sync x 1",
            Work::Sync16 => "sync x 16",
            Work::Sync64 => "sync x 64",
        })
    }
}

/// Sizes, shared by all stores.
pub struct Setup {
    pub records: u64,
    pub value_bytes: usize,
    pub memory_bytes: usize,
    pub seconds: f64,
    pub dir: PathBuf,
}

/// Loads every store, then lets them work in turns.
pub fn run_embedded(setup: &Setup, peers: &[Peer], works: &[Work], rounds: usize, table: &mut Table) -> Result<()> {
    if works.is_empty() {
        return Ok(());
    }
    let mut engines: Vec<(Peer, Box<dyn Engine>)> = Vec::new();
    for &peer in peers {
        let dir = setup.dir.join(peer.to_string());
        std::fs::create_dir_all(&dir)?;
        let mut engine = open(peer, &dir, setup.memory_bytes)?;
        eprintln!("load, {peer}");
        let sample = load(&mut *engine, setup)?;
        if works.contains(&Work::Load) {
            table.add(Work::Load, peer, sample);
        }
        engine.settle()?;
        engines.push((peer, engine));
    }
    let zipfian = Zipfian::new(setup.records);
    for round in 0..rounds {
        for &work in works.iter().filter(|&&work| work != Work::Load) {
            for (peer, engine) in &mut engines {
                eprintln!("round {} of {rounds}: {work}, {peer}", round + 1);
                let seed = round as u64 * 100 + work as u64;
                table.add(work, *peer, run(&mut **engine, setup, work, &zipfian, seed)?);
            }
        }
    }
    Ok(())
}

fn load(engine: &mut dyn Engine, setup: &Setup) -> Result<Sample> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut name = Vec::new();
    let mut value = vec![0; setup.value_bytes];
    let meter = Meter::start();
    let mut slowest = Duration::ZERO;
    for record in 0..setup.records {
        key(record, &mut name);
        random.fill_bytes(&mut value);
        let start = Instant::now();
        engine.put(&name, &value)?;
        slowest = slowest.max(start.elapsed());
    }
    Ok(meter.sample(setup.records, slowest))
}

fn run(engine: &mut dyn Engine, setup: &Setup, work: Work, zipfian: &Zipfian, seed: u64) -> Result<Sample> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut name = Vec::new();
    let mut value = vec![7; setup.value_bytes];
    let limit = Duration::from_secs_f64(setup.seconds);
    let (mut operations, mut slowest) = (0, Duration::ZERO);
    let meter = Meter::start();
    let mut now = Instant::now();
    while meter.elapsed() < limit {
        for _ in 0..16 {
            let record = match work {
                Work::Uniform => random.random_range(0..setup.records),
                Work::Absent => setup.records + random.random_range(0..setup.records),
                _ => zipfian.next(&mut random),
            };
            key(record, &mut name);
            let found = match work {
                Work::Scans => engine.scan(&name, random.random_range(1..=95))? > 0,
                Work::Updates if random.random() => {
                    engine.put(&name, &value)?;
                    true
                }
                Work::Rmw if random.random() => {
                    let found = engine.get(&name)?.is_some();
                    value[0] = value[0].wrapping_add(1);
                    engine.put(&name, &value)?;
                    found
                }
                _ => engine.get(&name)?.is_some(),
            };
            assert_eq!(found, work != Work::Absent, "record {record} of {work}");
            let end = Instant::now();
            slowest = slowest.max(end - now);
            now = end;
            operations += 1;
        }
    }
    Ok(meter.sample(operations, slowest))
}

/// Threads that write durably, each waiting for every put.
pub fn run_writers(setup: &Setup, peer: Peer, work: Work) -> Result<Sample> {
    let count = work.writers().unwrap_or(1);
    let dir = tempfile::tempdir_in(&setup.dir)?;
    let writers = open_writers(peer, dir.path(), setup.memory_bytes, count)?;
    let limit = Duration::from_secs_f64(setup.seconds);
    let (operations, slowest_us) = (AtomicU64::new(0), AtomicU64::new(0));
    let barrier = Barrier::new(count + 1);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, mut writer) in writers.into_iter().enumerate() {
            let (barrier, operations, slowest_us) = (&barrier, &operations, &slowest_us);
            threads.push(scope.spawn(move || -> Result<()> {
                let value = vec![7; setup.value_bytes];
                let mut name = Vec::new();
                barrier.wait();
                let begun = Instant::now();
                for turn in 0.. {
                    key(turn * count as u64 + number as u64, &mut name);
                    let start = Instant::now();
                    writer.put(&name, &value)?;
                    slowest_us.fetch_max(start.elapsed().as_micros() as u64, Ordering::Relaxed);
                    operations.fetch_add(1, Ordering::Relaxed);
                    if begun.elapsed() > limit {
                        break;
                    }
                }
                Ok(())
            }));
        }
        barrier.wait();
        let meter = Meter::start();
        for thread in threads {
            thread.join().map_err(|_| "a writer panicked")??;
        }
        let slowest = Duration::from_micros(slowest_us.load(Ordering::Relaxed));
        Ok(meter.sample(operations.load(Ordering::Relaxed), slowest))
    })
}
