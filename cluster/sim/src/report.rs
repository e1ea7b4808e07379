//! How a run ended, for people.

use crate::counters::Counters;
use crate::options::RunOptions;
use crate::world::World;
use std::fmt::Write;
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

/// Runs one seed to its end, whatever that is.
pub fn run(run: &RunOptions) -> Outcome {
    let mut world = World::new(run.clone());
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
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
    let failure = failure.map(|(check, what)| Failure { check, text: describe(&world, &what) });
    Outcome {
        hash: world.trace().hash(),
        counters: world.counters().clone(),
        faults: world.plan().faults.len(),
        run: run.clone(),
        failure,
    }
}

fn describe(world: &World, what: &str) -> String {
    let plan = world.plan();
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a string doesn't fail.
        let _ = text.write_fmt(args);
    };
    line(format_args!("{what}"));
    let node = &plan.node;
    line(format_args!(
        "  node: {} cores, {} partitions, durability {}, {} clients\n",
        node.cores,
        node.partitions,
        node.durability,
        plan.clients.len()
    ));
    line(format_args!("  schedule of faults:\n"));
    for (number, fault) in plan.faults.iter().enumerate() {
        if !plan.run.without.contains(&number) {
            line(format_args!("    {number}: {fault}\n"));
        }
    }
    line(format_args!("  last events: {}\n", world.trace()));
    line(format_args!("  replay: {}\n", plan.run.command()));
    text
}
