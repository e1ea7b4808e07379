//! Many seeds, on all cores of the machine.

use crate::counters::Counters;
use crate::options::RunOptions;
use crate::profile::Profile;
use crate::report::{self, Outcome};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// Which runs.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// The profile.
    pub profile: Profile,
    /// Operations of each run.
    pub operations: u64,
    /// Faults that are left out of each run's schedule.
    pub without: BTreeSet<usize>,
    /// Nodes of each run, where the profile has several.
    pub nodes: usize,
    /// Threads.
    pub threads: usize,
    /// Failures after which no further seed is begun.
    pub failures_max: usize,
}

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs that ended.
    pub runs: u64,
    /// Of these, failed.
    pub failures: Vec<Outcome>,
    /// What all of them reached.
    pub counters: Counters,
}

impl Campaign {
    /// Runs all seeds; `tell` hears of each as it ends, in no particular order.
    pub fn run(&self, mut tell: impl FnMut(&Outcome)) -> Summary {
        let next = AtomicU64::new(self.seeds.start);
        let is_over = AtomicBool::new(false);
        let mut summary = Summary::default();
        let (sender, outcomes) = mpsc::sync_channel(self.threads.max(1));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let (sender, next, is_over) = (sender.clone(), &next, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end || sender.send(report::run(&self.options(seed))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for outcome in outcomes {
                summary.runs += 1;
                summary.counters.merge(&outcome.counters);
                tell(&outcome);
                if outcome.failure.is_some() {
                    summary.failures.push(outcome);
                }
                if summary.failures.len() >= self.failures_max {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        });
        summary
    }

    fn options(&self, seed: u64) -> RunOptions {
        let (profile, operations) = (self.profile, self.operations);
        RunOptions { seed, profile, operations, without: self.without.clone(), nodes: self.nodes }
    }
}
