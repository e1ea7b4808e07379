//! `kvtorture`: what a real `kvd` promises, while its process, its power and its machine fail.
//!
//! Clients write as fast as they are answered and keep a ledger; after each fault everything is read back. A lost
//! acknowledged write, half a batch, a value that nobody wrote or a state that was seen and is gone ends the run with 1.

mod attack;
mod cgroup;
mod drive;
mod faults;
mod kvd;
mod ledger;
mod report;
mod rounds;
mod volatile;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kvd::Setup;
use report::Row;
use rounds::Rounds;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Kills a real kvd, cuts its power, stops and starves it, and checks what it promised.
#[derive(Parser)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  kvtorture --kvd target/release/kvd --kills 300 --power-losses 100
  kvtorture --kvd target/release/kvd --kills 0 --power-losses 20 --seed 7
  kvtorture attack --kvd target/release/kvd --minutes 10"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The server's program.
    #[arg(long, default_value = "target/release/kvd")]
    kvd: PathBuf,
    /// How often it is killed with SIGKILL under load.
    #[arg(long, default_value_t = 300)]
    kills: u64,
    /// How often its power is cut (needs root and /dev/fuse).
    #[arg(long, default_value_t = 100)]
    power_losses: u64,
    /// How often it is stopped for 3 seconds.
    #[arg(long, default_value_t = 3)]
    stops: u64,
    /// Writes within a memory cgroup (needs root); 0 leaves it out.
    #[arg(long, default_value_t = 50_000)]
    memory_writes: u64,
    /// What the server promises. Anything but `sync` has to fail under power losses: that shows that the harness looks.
    #[arg(long, default_value = "sync")]
    durability: String,
    /// Where data goes.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Decides everything that is random; without it the time does.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Subcommand)]
enum Command {
    /// Lets hostile clients loose on a kvd with little memory, while honest ones check every answer.
    Attack(attack::arguments::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ended = match &arguments.command {
        Some(Command::Attack(attack)) => attack::run(attack),
        None => run(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(lie) => {
            eprintln!("kvtorture: {lie}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    in_folder(&arguments.dir, arguments.seed, |seed, work| all(arguments, seed, work))
}

/// Does something with a seed and a folder of its own, which is kept if it fails.
fn in_folder(
    dir: &Path,
    seed: Option<u64>,
    act: impl FnOnce(u64, &Path) -> Result<(), String>,
) -> Result<(), String> {
    let seed = seed.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_micros() as u64)
    });
    println!("seed {seed}");
    let work = tempfile::Builder::new().prefix("pinion-torture-").tempdir_in(dir);
    let work = work.map_err(|error| format!("{}: {error}", dir.display()))?;
    let outcome = act(seed, work.path());
    if outcome.is_err() {
        println!("kept for a look: {}", work.keep().display());
    }
    outcome
}

fn all(arguments: &Arguments, seed: u64, work: &Path) -> Result<(), String> {
    let program = &arguments.kvd;
    let setup = |name: &str| {
        Setup::new(program, &arguments.durability, &work.join(name), &work.join(format!("{name}.log")))
    };
    report::print_head();
    in_rounds("kill -9", arguments.kills, seed, |rounds| rounds.kills(&setup("kills")))?;
    in_rounds("power loss", arguments.power_losses, seed, |rounds| match may_mount() {
        Ok(()) => rounds.power_losses(program, &arguments.durability, work),
        Err(why) => Ok(Row::skipped("power loss", why)),
    })?;
    in_rounds("stopped", arguments.stops, seed, |rounds| faults::stopped(&setup("stopped"), rounds.count))?;
    if arguments.memory_writes > 0 {
        faults::short_of_memory(&setup("memory"), arguments.memory_writes)?.print();
    }
    faults::short_of_files(&setup("files"))?.print();
    Ok(())
}

fn in_rounds(
    name: &'static str,
    count: u64,
    seed: u64,
    act: impl FnOnce(&Rounds<'_>) -> Result<Row, String>,
) -> Result<(), String> {
    if count == 0 {
        return Ok(());
    }
    let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(name);
    let row = act(&Rounds { count, seed, progress: &|| bar.inc(1) });
    bar.finish_and_clear();
    row?.print();
    Ok(())
}

fn may_mount() -> Result<(), &'static str> {
    // SAFETY: geteuid takes and changes no memory.
    let is_root = unsafe { libc::geteuid() } == 0;
    match (is_root, Path::new("/dev/fuse").exists()) {
        (false, _) => Err("needs root to mount a file system"),
        (true, false) => Err("needs /dev/fuse"),
        (true, true) => Ok(()),
    }
}
