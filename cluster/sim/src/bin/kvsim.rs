//! `kvsim`: runs the node in virtual time, under a seed's bad luck, and says whether it kept its promises.

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use pinion_sim::campaign::{Campaign, Summary};
use pinion_sim::minimize::minimize;
use pinion_sim::options::{NODES, OPERATIONS};
use pinion_sim::profile::Profile;
use pinion_sim::report::Outcome;
use std::io::IsTerminal;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

/// Runs a node in virtual time: its cores, disks, clocks and clients are simulated, everything that goes wrong follows
/// from the seed.
#[derive(Debug, Parser)]
#[command(name = "kvsim", version, after_help = "Exit codes: 0 every seed passed, 1 one failed, 2 usage.")]
struct Args {
    /// Seeds from A up to, but not including, B.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..100")]
    seeds: Range<u64>,
    /// What goes wrong; `list` lists the profiles.
    #[arg(long, value_name = "NAME", default_value = "swarm")]
    profile: String,
    /// Client operations of each run.
    #[arg(long, value_name = "N", default_value_t = OPERATIONS)]
    ops: u64,
    /// Leaves faults of the schedule out, by their numbers.
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    without: Vec<usize>,
    /// Nodes of each run, where the profile has several.
    #[arg(long, value_name = "N", default_value_t = NODES as u8, value_parser = clap::value_parser!(u8).range(2..=16))]
    nodes: u8,
    /// Makes the first failing run smaller: fewer operations and faults, while the same check fails.
    #[arg(long)]
    minimize: bool,
    /// Runs at the same time; one per CPU by default.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Stops after so many failures.
    #[arg(long, value_name = "N", default_value_t = 10)]
    failures: usize,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("{text:?} is no range of seeds; 0..100 is one");
    let (start, end) = text.split_once("..").ok_or_else(bad)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    let range = number(start)?..number(end)?;
    if range.is_empty() { Err(format!("{text} holds no seed")) } else { Ok(range) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.profile == "list" {
        for profile in Profile::ALL {
            println!("{:<12} {}", profile.name(), profile.about());
        }
        return ExitCode::SUCCESS;
    }
    let profile = match args.profile.parse() {
        Ok(profile) => profile,
        Err(error) => {
            eprintln!("kvsim: {error}");
            return ExitCode::from(2);
        }
    };
    // A run that panics is a failed run: it is reported as such, once.
    std::panic::set_hook(Box::new(|_| ()));
    run(&args, profile)
}

fn run(args: &Args, profile: Profile) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let campaign = Campaign {
        seeds: args.seeds.clone(),
        profile,
        operations: args.ops,
        nodes: usize::from(args.nodes),
        without: args.without.iter().copied().collect(),
        threads: args.threads.unwrap_or(threads),
        failures_max: if args.minimize { 1 } else { args.failures },
    };
    let bar = bar(args.seeds.end - args.seeds.start);
    let began = Instant::now();
    let summary = campaign.run(|outcome| {
        bar.suspend(|| tell(outcome));
        bar.inc(1);
    });
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    let is_complete = sum_up(&summary, profile, args.seeds.end - args.seeds.start, seconds);
    if args.minimize
        && let Some(failed) = summary.failures.into_iter().next()
    {
        println!("minimizing seed {} ...", failed.run.seed);
        let smallest = minimize(failed, |run| println!("  still fails: {}", run.command()));
        tell(&smallest);
        return ExitCode::FAILURE;
    }
    if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bar(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left");
    ProgressBar::new(seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn tell(outcome: &Outcome) {
    let (seed, hash) = (outcome.run.seed, outcome.hash);
    match &outcome.failure {
        None => println!("seed {seed}: ok, trace {hash:016x}"),
        Some(failure) => println!("seed {seed}: FAILED, trace {hash:016x}\n{}", failure.text),
    }
}

/// Whether every seed passed, and together they reached what the profile is for.
fn sum_up(summary: &Summary, profile: Profile, seeds: u64, seconds: f64) -> bool {
    println!("counters:\n{}", summary.counters);
    let failed = summary.failures.len();
    println!(
        "{} seeds of {profile} in {seconds:.1} s, {:.2} seeds a second, {failed} failed",
        summary.runs,
        summary.runs as f64 / seconds.max(1e-9)
    );
    // A handful of seeds can't reach everything.
    let missing = summary.counters.missing(profile.goals().into_iter());
    if !missing.is_empty() && failed == 0 {
        println!("never reached: {}", missing.join(", "));
        return seeds < SEEDS_FOR_GOALS;
    }
    failed == 0
}

/// So many seeds must reach everything that their profile is for.
const SEEDS_FOR_GOALS: u64 = 50;
