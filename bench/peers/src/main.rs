//! Embedded stores side by side: the same work, the same memory, interleaved rounds, medians and ratios.
//!
//! ```text
//! RUSTFLAGS=-Ctarget-cpu=native cargo run --release --manifest-path bench/peers/Cargo.toml -- --records 1000000
//! ```
//! needs clang and libclang-dev, and builds RocksDB once (15 to 35 minutes on two cores).

mod engines;
mod keys;
mod measure;
mod work;

use clap::Parser;
use engines::Peer;
use measure::Table;
use std::path::PathBuf;
use work::Work;

/// Measures embedded key-value stores beside Pinion.
#[derive(Parser)]
struct Args {
    /// Records loaded into each store.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Memory each store may use for its caches and buffers, MiB.
    #[arg(long, default_value_t = 1024)]
    memory_mib: usize,
    /// Rounds; in each, every store does every work once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds a store works on one thing in one round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Stores to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Pinion, Peer::Rocksdb, Peer::Fjall])]
    peers: Vec<Peer>,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::ALL)]
    work: Vec<Work>,
    /// Where the stores' files go: a directory on the disk to be measured.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

fn main() -> engines::Result<()> {
    let args = Args::parse();
    let scratch = tempfile::tempdir_in(&args.dir)?;
    let setup = work::Setup {
        records: args.records,
        value_bytes: args.value_bytes,
        memory_bytes: args.memory_mib << 20,
        seconds: args.seconds,
        dir: scratch.path().to_owned(),
    };
    println!(
        "{} records of {} B, {} MiB for each store, {} rounds of {} s, medians\n",
        setup.records, setup.value_bytes, args.memory_mib, args.rounds, setup.seconds
    );
    let mut table = Table::new(&args.peers);
    let (embedded, writers): (Vec<Work>, Vec<Work>) = args.work.iter().partition(|work| work.writers().is_none());
    work::run_embedded(&setup, &args.peers, &embedded, args.rounds, &mut table)?;
    for work in writers {
        for round in 0..args.rounds {
            for &peer in &args.peers {
                eprintln!("round {} of {}: {work}, {peer}", round + 1, args.rounds);
                table.add(work, peer, work::run_writers(&setup, peer, work)?);
            }
        }
    }
    print!("{table}");
    Ok(())
}
