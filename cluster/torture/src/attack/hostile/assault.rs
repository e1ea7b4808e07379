//! An attack under way, and what came of it.

use crate::attack::honest::count;
use crate::attack::stage::Stage;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

/// Threads of hostile clients need little.
const STACK_BYTES: usize = 128 << 10;

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

    pub(super) fn answered(&self, text: &str) {
        count(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner), text);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl<'a> Assault<'a> {
    pub fn new(stage: &'a Stage) -> Assault<'a> {
        Assault { stage, tally: Tally::default() }
    }

    /// One of two numbers: of a full attack, of a short one.
    pub(super) fn size<T>(&self, full: T, short: T) -> T {
        self.stage.size.of(full, short)
    }

    /// Does something on so many threads at once.
    pub(super) fn at_once(&self, threads: usize, act: impl Fn(usize) + Sync) {
        std::thread::scope(|scope| {
            for at in 0..threads {
                let act = &act;
                // Without another thread the attack is that much smaller.
                let _ = Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || act(at));
            }
        });
    }
}
