//! What the stores are made to do.

use crate::engines::{Engine, Peer, Result, open_writers};
use crate::keys::{Zipfian, key};
use crate::measure::{Footprint, Meter, Sample, Watch};
use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use std::fmt;
use std::path::{Path, PathBuf};
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

/// Loads a store in random order and waits until it has settled. The sample is of the load alone; the footprint counts
/// the settling too.
pub fn load(engine: &mut dyn Engine, setup: &Setup, dir: &Path) -> Result<(Sample, Footprint)> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut name = Vec::new();
    let mut value = vec![0; setup.value_bytes];
    let watch = Watch::start();
    let meter = Meter::start();
    let (mut slowest, mut user_bytes) = (Duration::ZERO, 0);
    for record in 0..setup.records {
        key(record, &mut name);
        random.fill_bytes(&mut value);
        user_bytes += name.len() + value.len();
        let start = Instant::now();
        engine.load(&name, &value)?;
        slowest = slowest.max(start.elapsed());
    }
    let sample = meter.sample(setup.records, slowest);
    engine.settle()?;
    Ok((sample, watch.footprint(user_bytes as u64, dir)?))
}

pub fn run(
    engine: &mut dyn Engine,
    setup: &Setup,
    work: Work,
    zipfian: &Zipfian,
    seed: u64,
) -> Result<Sample> {
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
pub fn run_writers(setup: &Setup, peer: Peer, count: usize) -> Result<Sample> {
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
