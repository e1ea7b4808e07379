//! Rounds of: start, check everything, write, and an end that the server didn't choose.

use crate::drive::{Ledger, Load};
use crate::kvd::{Kvd, Setup, Starting};
use crate::report::Row;
use crate::volatile::disk::{Disk, Trigger};
use crate::volatile::fuse::{SharedDisk, lock, mount, unmount};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long requests wait for their answers: longer than anything here takes.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a round's writes may take.
const ROUND_MAX: Duration = Duration::from_secs(120);

/// Writes of a round, at most.
const WRITES_MAX: u64 = 4000;

/// What is done in rounds, one after the other.
pub struct Rounds<'a> {
    /// How many.
    pub count: u64,
    /// Decides everything that is random.
    pub seed: u64,
    /// Called after each.
    pub progress: &'a dyn Fn(),
}

impl Rounds<'_> {
    /// `kill -9` at random moments, also while the server starts.
    pub fn kills(&self, setup: &Setup) -> Result<Row, String> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let (mut ledger, mut row) = (Ledger::new(), Row::new("kill -9"));
        for round in 0..self.count {
            if rng.random_ratio(1, 8) {
                let starting = setup.start()?;
                std::thread::sleep(Duration::from_micros(rng.random_range(0..150_000)));
                starting.kill();
                row.note("killed while it started");
            }
            let kvd = served(setup.start()?)?;
            row.started(&kvd);
            row.checked(ledger.check(&kvd.address).map_err(|lie| self.complaint(round, &lie))?);
            let load = ledger.load(&kvd.address, self.seed ^ round, TIMEOUT);
            wait_for(&load, rng.random_range(1..WRITES_MAX))?;
            kvd.kill();
            let (known, writes) = load.end()?;
            (ledger, row.rounds) = (known, round + 1);
            row.writes += writes;
            (self.progress)();
        }
        self.last_check(setup, ledger, &mut row)?;
        Ok(row)
    }

    /// Power losses, every other one at a step of the store's that is named.
    pub fn power_losses(&self, program: &Path, durability: &str, work: &Path) -> Result<Row, String> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let (mut ledger, mut row) = (Ledger::new(), Row::new("power loss"));
        let disk: SharedDisk = Arc::new(Mutex::new(Disk::new()));
        let at = work.join("volatile");
        std::fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        let setup = Setup::new(program, durability, &at.join("store"), &work.join("power.log"));
        let mut steps: BTreeMap<String, u64> = BTreeMap::new();
        let mut aims: BTreeMap<String, u64> = BTreeMap::new();
        for round in 0..self.count {
            let session =
                mount(&disk, &at).map_err(|error| format!("the file system can't be mounted: {error}"))?;
            let trigger = if round % 2 == 1 { aim(&steps, &aims, &mut rng) } else { None };
            let starting = setup.start()?;
            lock(&disk).aim(starting.pid(), trigger.clone());
            let outcome = self.until_the_power_goes(starting, ledger, &disk, round, &mut rng, &mut row);
            lock(&disk).die();
            ledger = outcome?;
            for (step, taken) in std::mem::take(&mut lock(&disk).steps) {
                let most = steps.entry(step).or_default();
                *most = taken.max(*most);
            }
            if let Some(trigger) = trigger {
                let at = format!("{} {}", if trigger.is_done { "after" } else { "before" }, trigger.step);
                *aims.entry(trigger.step).or_default() += 1;
                row.note(&at);
            }
            unmount(session, &at).map_err(|error| format!("it can't be unmounted: {error}"))?;
            let losses = lock(&disk).recover(&mut rng);
            row.lost(losses);
            row.rounds = round + 1;
            (self.progress)();
        }
        let session = mount(&disk, &at).map_err(|error| error.to_string())?;
        let checked = self.last_check(&setup, ledger, &mut row);
        unmount(session, &at).map_err(|error| format!("it can't be unmounted: {error}"))?;
        checked.map(|()| row)
    }

    fn until_the_power_goes(
        &self,
        starting: Starting,
        mut ledger: Ledger,
        disk: &SharedDisk,
        round: u64,
        rng: &mut SmallRng,
        row: &mut Row,
    ) -> Result<Ledger, String> {
        let kvd = match starting.ready() {
            Ok(Some(kvd)) => kvd,
            // The power may go while it starts; then it may also end by itself, with an error.
            Ok(None) | Err(_) if lock(disk).is_dead() => return Ok(ledger),
            Ok(None) => return Err(self.complaint(round, "it was killed by somebody else")),
            Err(lie) => return Err(self.complaint(round, &lie)),
        };
        row.started(&kvd);
        match ledger.check(&kvd.address) {
            Ok(found) => row.checked(found),
            Err(_) if lock(disk).is_dead() => {
                kvd.wait();
                return Ok(ledger);
            }
            Err(lie) => return Err(self.complaint(round, &lie)),
        }
        let load = ledger.load(&kvd.address, self.seed ^ round, TIMEOUT);
        let goal = rng.random_range(1..WRITES_MAX);
        let until = Instant::now() + ROUND_MAX;
        while load.acknowledged() < goal && !lock(disk).is_dead() && !load.is_over() {
            if Instant::now() > until {
                return Err(self.complaint(round, "writes stand still"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        lock(disk).die();
        kvd.wait();
        let (ledger, writes) = load.end()?;
        row.writes += writes;
        Ok(ledger)
    }

    fn last_check(&self, setup: &Setup, mut ledger: Ledger, row: &mut Row) -> Result<(), String> {
        let kvd = served(setup.start()?)?;
        row.started(&kvd);
        row.checked(ledger.check(&kvd.address).map_err(|lie| self.complaint(self.count, &lie))?);
        Ok(())
    }

    fn complaint(&self, round: u64, lie: &str) -> String {
        format!("seed {}, round {round}: {lie}", self.seed)
    }
}

/// Waits until a server serves that nobody kills.
pub fn served(starting: Starting) -> Result<Kvd, String> {
    starting.ready()?.ok_or_else(|| "it was killed by somebody else".to_owned())
}

/// Waits until so many writes were acknowledged.
pub fn wait_for(load: &Load, writes: u64) -> Result<(), String> {
    let until = Instant::now() + ROUND_MAX;
    while load.acknowledged() < writes {
        if load.is_over() || Instant::now() > until {
            let (refused, unknown) = load.failed();
            return Err(format!(
                "writes stand still after {}: {refused} refused, {unknown} unknown",
                load.acknowledged()
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The step that was aimed at least often, at one of its occurrences.
fn aim(steps: &BTreeMap<String, u64>, aims: &BTreeMap<String, u64>, rng: &mut SmallRng) -> Option<Trigger> {
    let step = steps.keys().min_by_key(|step| aims.get(*step).copied().unwrap_or_default())?;
    Some(Trigger { step: step.clone(), nth: rng.random_range(1..=steps[step]), is_done: rng.random() })
}
