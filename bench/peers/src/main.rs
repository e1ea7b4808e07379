//! Embedded stores side by side: the same work, the same memory, interleaved rounds, medians and ratios.
//!
//! ```text
//! RUSTFLAGS=-Ctarget-cpu=native cargo run --release --manifest-path bench/peers/Cargo.toml -- --records 1000000
//! ```
//! Each store lives in a process of its own, which works while the others wait. It needs clang and libclang-dev, and builds RocksDB
//! once (15 to 35 minutes on two cores); `--no-default-features` leaves RocksDB out. Two builds of ours side by side:
//!
//! ```text
//! cargo build --release --no-default-features --manifest-path OTHER/bench/peers/Cargo.toml
//! cargo run --release --no-default-features --manifest-path bench/peers/Cargo.toml -- \
//!     --peers pinion --against OTHER/bench/peers/target/release/pinion-peers
//! ```

mod child;
mod engines;
mod keys;
mod measure;
mod table;
mod work;

use child::Worker;
use clap::Parser;
use engines::Peer;

use std::path::PathBuf;
use table::Table;
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
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::all())]
    peers: Vec<Peer>,
    /// Another build of this program, whose store of ours is measured too.
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Work::ALL)]
    work: Vec<Work>,
    /// Where the stores' files go: a directory on the disk to be measured.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Be the process of this store, and do what standard input says.
    #[arg(long, hide = true, value_enum)]
    child: Option<Peer>,
}

fn main() -> engines::Result<()> {
    let mut args = Args::parse();
    if args.against.is_some() {
        args.peers.push(Peer::Other);
    }
    let mut setup = work::Setup {
        records: args.records,
        value_bytes: args.value_bytes,
        memory_bytes: args.memory_mib << 20,
        seconds: args.seconds,
        dir: args.dir.clone(),
    };
    if let Some(peer) = args.child {
        return child::obey(peer, &setup);
    }
    let scratch = tempfile::tempdir_in(&args.dir)?;
    setup.dir = scratch.path().to_owned();
    println!(
        "{} records of {} B, {} MiB for each store, {} rounds of {} s, medians\n",
        setup.records, setup.value_bytes, args.memory_mib, args.rounds, setup.seconds
    );
    for peer in &args.peers {
        println!("- {peer}: {}", peer.settings());
    }
    print!("\n{}", measure(&args, &setup)?);
    Ok(())
}

fn measure(args: &Args, setup: &work::Setup) -> engines::Result<Table> {
    let mut table = Table::new(&args.peers);
    let mut workers = Vec::new();
    for &peer in &args.peers {
        workers.push(Worker::start(peer, args.against.as_deref(), setup)?);
    }
    let needs_load = args.work.iter().any(|work| work.writers().is_none());
    for worker in workers.iter_mut().filter(|_| needs_load) {
        eprintln!("load, {}", worker.peer);
        let (sample, footprint) = worker.load()?;
        table.add(Work::Load, worker.peer, sample);
        table.loaded(worker.peer, footprint);
    }
    for round in 0..args.rounds {
        for &work in args.work.iter().filter(|&&work| work != Work::Load) {
            for worker in &mut workers {
                eprintln!("round {} of {}: {work}, {}", round + 1, args.rounds, worker.peer);
                table.add(work, worker.peer, worker.work(work, round)?);
            }
        }
    }
    for worker in workers {
        worker.finish()?;
    }
    Ok(table)
}
