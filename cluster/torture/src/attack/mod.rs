//! `kvtorture attack`: hostile clients against a real `kvd` with little memory, in a memory cgroup of 1.5 times that, while
//! honest clients check every answer.
//!
//! 1. The server starts, is filled with ordinary data beside the honest clients, and the most memory that takes is noted.
//! 2. Every attack has a round of its own; then rounds of one or of three at once follow until the time is up.
//! 3. The hostile clients leave; the memory has to come back; everything honest is read back; SIGTERM has to end it.
//!
//! It fails if the server ends or is killed, gives a wrong answer or none, or uses more memory than it may. The honest
//! clients' latency is told, and judged if asked for.

mod anatomy;
pub mod arguments;
mod director;
mod honest;
mod hostile;
mod load;
mod log;
mod monitor;
mod report;
mod stage;
mod turns;
mod verdict;

use crate::cgroup::Cgroup;
use crate::kvd::Setup;
use crate::rounds::served;
use arguments::{Arguments, MEGABYTE};
use director::Director;
use hostile::{ATTACKS, Attack};
use monitor::Monitor;
use stage::{Size, Stage};
use std::path::{Path, PathBuf};
use std::thread::{ScopedJoinHandle, scope};
use std::time::{Duration, Instant};
use verdict::Verdict;

/// A short attack ends after that, however slow the machine.
const SHORT_MAX: Duration = Duration::from_secs(90);

/// Runs it.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.only.iter().any(|name| name == "list") {
        ATTACKS.iter().for_each(|attack| println!("{}", attack.name));
        return Ok(());
    }
    let attacks = chosen(&arguments.only)?;
    crate::in_folder(&arguments.dir, arguments.seed, |seed, work| attack(arguments, &attacks, seed, work))
}

fn attack(arguments: &Arguments, attacks: &[&'static Attack], seed: u64, work: &Path) -> Result<(), String> {
    let size = if arguments.short { Size::Short } else { Size::Full };
    let limit_bytes = arguments.memory * 3 / 2;
    let group = Cgroup::new("attack", limit_bytes);
    match &group {
        Ok(group) => println!("kvd runs in a {} of {} MiB", group.version, limit_bytes >> 20),
        Err(why) => {
            println!("no memory cgroup ({why}): kvd is ended when RssAnon exceeds {} MiB", limit_bytes >> 20)
        }
    }
    let setup = setup(arguments, work, group.as_ref().ok().map(Cgroup::procs));
    let mut kvd = served(setup.start()?)?;
    let stage = &Stage::new(&mut kvd, size, arguments.connections_max, &setup.log)?;
    let mut monitor = Monitor::new(stage, kvd, limit_bytes);
    let director = &Director::new(stage, attacks, seed);
    let wrong = scope(|scope| {
        let honest: Vec<_> =
            honest::all().map(|which| scope.spawn(move || honest::run(stage, which, seed))).collect();
        let is_at_work = || honest.iter().all(|client| !client.is_finished());
        let filled = scope.spawn(|| load::fill(stage, arguments.memory));
        monitor.watch(|| filled.is_finished(), &is_at_work);
        monitor.before_kib = monitor.peak_kib;
        let time = size.of(Duration::from_secs_f64(arguments.minutes * 60.0), SHORT_MAX);
        let until = Instant::now() + time;
        let attacks = scope.spawn(|| director.direct(size == Size::Short));
        monitor.watch(|| Instant::now() >= until || attacks.is_finished(), &is_at_work);
        stage.end_attacks();
        // The hostile clients leave within seconds, whatever they wait for.
        monitor.watch(|| attacks.is_finished(), &is_at_work);
        monitor.settle(size.of(Duration::from_secs(60), Duration::from_secs(20)), &is_at_work);
        stage.end();
        let mut wrong: Vec<_> = honest.into_iter().chain([filled]).filter_map(complaint).collect();
        wrong.extend(stage.complaints());
        wrong
    });
    if !wrong.is_empty() {
        monitor.look_for_end();
    }
    let verdict = Verdict::new(arguments, stage, monitor, wrong, group.ok().as_ref());
    report::print_left_out(attacks, &director.rows());
    report::print(&director.rows(), stage, &verdict);
    verdict.result()
}

/// What a client that has ended says was wrong.
fn complaint(client: ScopedJoinHandle<'_, Result<(), String>>) -> Option<String> {
    client.join().unwrap_or_else(|_| Err("an honest client panicked".to_owned())).err()
}

fn setup(arguments: &Arguments, work: &Path, cgroup: Option<PathBuf>) -> Setup {
    let (memory, connections) =
        (format!("{}MB", arguments.memory / MEGABYTE), arguments.connections_max.to_string());
    let flags = [
        ("--listen", "127.0.0.1:0"),
        ("--resp-listen", "127.0.0.1:0"),
        ("--admin-listen", "127.0.0.1:0"),
        ("--shards", "2"),
        ("--memory", &memory),
        ("--connections-max", &connections),
        ("--durability", &arguments.durability),
    ];
    Setup {
        program: arguments.kvd.clone(),
        dir: work.join("store"),
        log: work.join("kvd.log"),
        arguments: flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]).collect(),
        files_max: None,
        cgroup,
        log_is_piped: true,
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Attack>, String> {
    if let Some(name) = only.iter().find(|name| !ATTACKS.iter().any(|attack| attack.name == **name)) {
        return Err(format!("there is no attack {name:?}; --only list names them"));
    }
    Ok(ATTACKS
        .iter()
        .filter(|attack| only.is_empty() || only.iter().any(|name| name == attack.name))
        .collect())
}
