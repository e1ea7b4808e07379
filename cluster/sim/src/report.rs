//! How a run ended, for people.

use crate::cluster::Cluster;
use crate::counters::Counters;
use crate::model::Checked;
use crate::options::RunOptions;
use crate::profile::Profile;
use crate::replicas::Replicated;
use crate::trace::Trace;
use crate::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which run.
    pub run: RunOptions,
    /// The hash of its trace.
    pub hash: u64,
    /// What it reached.
    pub counters: Counters,
    /// How many faults its schedule has.
    pub faults: usize,
    /// What was wrong, if something was.
    pub failure: Option<Failure>,
}

/// What was wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The check that failed, in a few words: what stays the same while a run is made smaller.
    pub check: String,
    /// Everything there is to say about it.
    pub text: String,
}

/// A run, of whatever kind.
trait Run {
    fn run(&mut self) -> Checked;
    fn trace(&self) -> &Trace;
    fn counters(&self) -> &Counters;
    /// What was to happen, for people: what runs, and each fault of the schedule.
    fn plan(&self) -> (String, Vec<String>);
}

impl Run for World {
    fn run(&mut self) -> Checked {
        World::run(self)
    }

    fn trace(&self) -> &Trace {
        World::trace(self)
    }

    fn counters(&self) -> &Counters {
        World::counters(self)
    }

    fn plan(&self) -> (String, Vec<String>) {
        let plan = World::plan(self);
        let (node, clients) = (&plan.node, plan.clients.len());
        let what = format!(
            "node: {} cores, {} partitions, durability {}, {clients} clients",
            node.cores, node.partitions, node.durability
        );
        (what, plan.faults.iter().map(ToString::to_string).collect())
    }
}

impl Run for Replicated {
    fn run(&mut self) -> Checked {
        Replicated::run(self)
    }

    fn trace(&self) -> &Trace {
        Replicated::trace(self)
    }

    fn counters(&self) -> &Counters {
        Replicated::counters(self)
    }

    fn plan(&self) -> (String, Vec<String>) {
        let plan = Replicated::plan(self);
        let what = format!("{} machines, {} clients", plan.machines, plan.clients);
        (what, plan.faults.iter().map(ToString::to_string).collect())
    }
}

impl Run for Cluster {
    fn run(&mut self) -> Checked {
        Cluster::run(self)
    }

    fn trace(&self) -> &Trace {
        Cluster::trace(self)
    }

    fn counters(&self) -> &Counters {
        Cluster::counters(self)
    }

    fn plan(&self) -> (String, Vec<String>) {
        let plan = Cluster::plan(self);
        let cores: Vec<_> = plan.nodes.iter().map(|(node, ..)| node.cores).collect();
        let what = format!("nodes: {cores:?} cores, of another cluster: {:?}", plan.stranger);
        (what, plan.faults.iter().map(ToString::to_string).collect())
    }
}

/// Runs one seed to its end, whatever that is.
pub fn run(run: &RunOptions) -> Outcome {
    match run.profile {
        Profile::Replicas => finish(run, Replicated::new(run.clone())),
        Profile::Links => finish(run, Cluster::new(run.clone())),
        _ => finish(run, World::new(run.clone())),
    }
}

fn finish(run: &RunOptions, mut of: impl Run) -> Outcome {
    let result = catch_unwind(AssertUnwindSafe(|| of.run()));
    let failure = match result {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some((violation.check.to_owned(), violation.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            let text = text.unwrap_or_else(|| "it panicked".to_owned());
            Some(("no panic".to_owned(), format!("panic: {text}\n")))
        }
    };
    let failure = failure.map(|(check, what)| Failure { check, text: describe(run, &of, &what) });
    let (hash, counters, faults) = (of.trace().hash(), of.counters().clone(), of.plan().1.len());
    Outcome { hash, counters, faults, run: run.clone(), failure }
}

fn describe(run: &RunOptions, of: &impl Run, what: &str) -> String {
    let (runs, faults) = of.plan();
    let mut text = format!("{what}  {runs}\n  schedule of faults:\n");
    let faults = faults.iter().enumerate().filter(|(number, _)| !run.without.contains(number));
    faults.for_each(|(number, fault)| text += &format!("    {number}: {fault}\n"));
    text += &format!("  last events: {}\n  replay: {}\n", of.trace(), run.command());
    text
}
