//! Which attack comes when.

use super::honest::Answered;
use super::hostile::Attack;
use super::hostile::assault::{Assault, Tally};
use super::stage::Stage;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// Attacks of a round of several.
const TOGETHER: usize = 3;

/// What came of an attack.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub rounds: u64,
    pub connections: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub answers: BTreeMap<String, u64>,
    /// The most memory of the server in its own rounds.
    pub peak_kib: u64,
    /// What the honest were answered in these, and how much of it late.
    pub honest: Answered,
}

/// See the module.
pub struct Director<'a> {
    stage: &'a Stage,
    attacks: Vec<&'static Attack>,
    seed: u64,
    rows: Mutex<BTreeMap<&'static str, Row>>,
}

impl<'a> Director<'a> {
    pub fn new(stage: &'a Stage, attacks: &[&'static Attack], seed: u64) -> Director<'a> {
        Director { stage, attacks: attacks.to_vec(), seed, rows: Mutex::default() }
    }

    /// Attacks until the stage says that it is enough, or for one tour.
    pub fn direct(&self, is_one_tour: bool) {
        if let Err(why) = give_way() {
            println!("attackers take CPU time of the server ({why}): latency says little");
        }
        let mut rng = SmallRng::seed_from_u64(self.seed);
        for attack in &self.attacks {
            self.round(&[attack], &mut rng);
        }
        if is_one_tour && self.attacks.len() > 1 {
            self.round(&self.some(TOGETHER, &mut rng), &mut rng);
        }
        while self.stage.is_attacked() && !is_one_tour {
            let count = if rng.random() { 1 } else { TOGETHER };
            self.round(&self.some(count, &mut rng), &mut rng);
        }
    }

    /// What came of it, by attack.
    pub fn rows(&self) -> BTreeMap<&'static str, Row> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn some(&self, count: usize, rng: &mut SmallRng) -> Vec<&'static Attack> {
        self.attacks.choose_multiple(rng, count).copied().collect()
    }

    fn round(&self, attacks: &[&'static Attack], rng: &mut SmallRng) {
        if !self.stage.is_attacked() {
            return;
        }
        self.stage.take_peak_kib();
        let before = self.stage.honest.seen().answered();
        let assaults: Vec<_> = attacks.iter().map(|attack| (*attack, Assault::new(self.stage))).collect();
        std::thread::scope(|scope| {
            for (attack, assault) in &assaults {
                let mut rng = SmallRng::seed_from_u64(rng.random());
                scope.spawn(move || (attack.round)(assault, &mut rng));
            }
        });
        let peak_kib = self.stage.take_peak_kib();
        let honest = self.stage.honest.seen().answered() - before;
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for (attack, assault) in &assaults {
            let row = rows.entry(attack.name).or_default();
            row.add(&assault.tally);
            if attacks.len() == 1 {
                row.note(peak_kib, honest);
            }
        }
        if attacks.len() > 1 {
            let row = rows.entry("(several at once)").or_default();
            row.rounds += 1;
            row.note(peak_kib, honest);
        }
        drop(rows);
        self.tell(attacks, peak_kib);
    }

    fn tell(&self, attacks: &[&Attack], peak_kib: u64) {
        let names: Vec<_> = attacks.iter().map(|attack| attack.name).collect();
        let seen = self.stage.honest.seen();
        let p99_ms = seen.requests.value_at_quantile(0.99) as f64 / 1000.0;
        let (seconds, asked) = (self.stage.began.elapsed().as_secs(), seen.requests.len());
        drop(seen);
        let what = names.join(", ");
        eprintln!(
            "{seconds:>4} s  {what}: RssAnon up to {} MiB; honest: {asked} answers, p99 {p99_ms:.1} ms",
            peak_kib >> 10
        );
    }
}

/// Has this thread, and those that it starts, run only where nobody else wants to: attackers have machines of their own, and
/// take none of the server's time, nor of the honest clients'.
fn give_way() -> std::io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the parameters only; 0 is this thread.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &parameters) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

impl Row {
    fn note(&mut self, peak_kib: u64, honest: Answered) {
        self.peak_kib = self.peak_kib.max(peak_kib);
        self.honest += honest;
    }

    fn add(&mut self, tally: &Tally) {
        self.rounds += 1;
        self.connections += tally.connections.load(Ordering::Relaxed);
        self.sent_bytes += tally.sent_bytes.load(Ordering::Relaxed);
        self.received_bytes += tally.received_bytes.load(Ordering::Relaxed);
        for (answer, count) in tally.answers() {
            *self.answers.entry(answer).or_default() += count;
        }
    }
}
