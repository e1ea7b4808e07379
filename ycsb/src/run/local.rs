//! A worker that calls a store in this process: one operation after the other.

use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::db::Local;
use crate::operation::{Draft, Next};

/// Shorter waits spin: a sleeping thread wakes up too late.
const SPIN_MAX: Duration = Duration::from_micros(200);

/// Runs until the quota is used up.
pub(super) fn run(mut worker: Worker, store: &mut dyn Local) -> Worker {
    let (mut draft, mut next) = (Draft::default(), Draft::default());
    let mut now = Instant::now();
    while wait_until_due(&worker, &mut now) && worker.quota.take(now) {
        let due = worker.schedule.begin(now);
        let mut operation = worker.planner.begin(due, now, &mut draft);
        loop {
            let mut step = Next::Done;
            store.perform(&draft.request(), &mut |outcome| {
                now = Instant::now();
                if let Some(text) = outcome.complaint() {
                    worker.note_failure(text);
                }
                step =
                    worker.planner.answered(&mut operation, &outcome, now, &mut worker.recorder, &mut next);
            });
            if step == Next::Done {
                break;
            }
            std::mem::swap(&mut draft, &mut next);
        }
        now = Instant::now();
    }
    worker.recorder.finish();
    worker
}

/// Waits for the schedule; false if the quota is used up first.
fn wait_until_due(worker: &Worker, now: &mut Instant) -> bool {
    while !worker.schedule.is_due(*now) {
        if worker.quota.is_used_up(*now) {
            return false;
        }
        match worker.schedule.wait(*now) {
            wait if wait > SPIN_MAX => std::thread::sleep((wait - SPIN_MAX).min(Duration::from_millis(100))),
            _ => std::hint::spin_loop(),
        }
        *now = Instant::now();
    }
    true
}
