//! Makes a failing run smaller: fewer operations, fewer faults, while the same check fails.

use crate::options::RunOptions;
use crate::report::{self, Outcome};

/// Runs that are tried at most.
const TRIES: usize = 200;

/// The smallest run found that fails the same check. `tell` hears of each that is smaller.
pub fn minimize(failed: Outcome, mut tell: impl FnMut(&RunOptions)) -> Outcome {
    let mut best = failed;
    let mut tries = 0;
    let mut attempt = |best: &mut Outcome, run: RunOptions| {
        tries += 1;
        if tries > TRIES {
            return false;
        }
        let outcome = report::run(&run);
        let check = |outcome: &Outcome| outcome.failure.as_ref().map(|failure| failure.check.clone());
        let is_same = check(&outcome).is_some() && check(&outcome) == check(best);
        if is_same {
            tell(&run);
            *best = outcome;
        }
        is_same
    };
    loop {
        let before = (best.run.operations, best.run.without.len());
        for part in [2, 4, 8] {
            let operations = best.run.operations - best.run.operations / part;
            if operations > 0 {
                let run = RunOptions { operations, ..best.run.clone() };
                attempt(&mut best, run);
            }
        }
        for fault in 0..best.faults {
            if !best.run.without.contains(&fault) {
                let mut run = best.run.clone();
                run.without.insert(fault);
                attempt(&mut best, run);
            }
        }
        if before == (best.run.operations, best.run.without.len()) {
            return best;
        }
    }
}
