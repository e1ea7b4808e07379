//! Hostile clients. Each attack is a function that does one round of harm and leaves; what the server answers is counted,
//! never judged: whatever it says, it has to live, and to serve the honest.

mod flood;
mod frames;
mod garbage;
mod http;
mod long;
mod long_values;
mod multiply;
mod names;
mod noise;
mod socket;
mod stream;
mod unread;
mod value;

use crate::attack::honest::count;
use crate::attack::stage::Stage;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Threads of hostile clients need little.
const STACK_BYTES: usize = 128 << 10;

/// An attack.
pub struct Attack {
    pub name: &'static str,
    /// One round.
    pub round: fn(&Assault<'_>, &mut SmallRng),
}

/// All of them, in the order of a first tour.
pub const ATTACKS: &[Attack] = &[
    Attack { name: "partial-set", round: frames::partial_set },
    Attack { name: "partial-put", round: frames::partial_put },
    Attack { name: "partial-lines", round: frames::partial_lines },
    Attack { name: "unread-mget", round: unread::mget },
    Attack { name: "unread-multi-get", round: unread::multi_get },
    Attack { name: "unread-gets", round: unread::gets },
    Attack { name: "unread-old-values", round: unread::old_values },
    Attack { name: "appends-to-long-values", round: long_values::appends },
    Attack { name: "repeated-mget", round: multiply::mget },
    Attack { name: "repeated-multi-get", round: multiply::multi_get },
    Attack { name: "command-info", round: long::command_info },
    Attack { name: "million-keys", round: long::million_keys },
    Attack { name: "batch-of-deletes", round: long::batch_of_deletes },
    Attack { name: "large-names", round: names::large_names },
    Attack { name: "slow-http", round: http::slow },
    Attack { name: "connection-flood", round: flood::connections },
    Attack { name: "malformed", round: garbage::malformed },
    Attack { name: "blocked-log", round: noise::blocked_log },
];

/// An attack under way.
pub struct Assault<'a> {
    pub stage: &'a Stage,
    pub tally: Tally,
}

/// What an attack did and was told.
#[derive(Default)]
pub struct Tally {
    pub connections: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub received_bytes: AtomicU64,
    answers: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// What the server answered, by its first words.
    pub fn answers(&self) -> BTreeMap<String, u64> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answered(&self, text: &str) {
        count(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner), text);
    }

    fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl<'a> Assault<'a> {
    pub fn new(stage: &'a Stage) -> Assault<'a> {
        Assault { stage, tally: Tally::default() }
    }

    /// One of two numbers: of a full attack, of a short one.
    fn size<T>(&self, full: T, short: T) -> T {
        self.stage.size.of(full, short)
    }

    /// Does something on so many threads at once.
    fn at_once(&self, threads: usize, act: impl Fn(usize) + Sync) {
        std::thread::scope(|scope| {
            for at in 0..threads {
                let act = &act;
                // Without another thread the attack is that much smaller.
                let _ = Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || act(at));
            }
        });
    }
}
