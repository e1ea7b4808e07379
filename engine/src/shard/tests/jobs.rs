//! Jobs of a shard that is driven by hand.

use super::Hand;
use crate::drive::blocking::{perform, run_job};
use crate::io::{IoCompletion, IoRequest};
use crate::job::{Job, JobId, JobStep};
use rand::Rng;
use rand::rngs::SmallRng;

/// A job on its way.
pub(super) struct Running {
    pub id: JobId,
    pub job: Box<dyn Job>,
    pub requests: Vec<IoRequest>,
    pub completions: Vec<IoCompletion>,
    /// It may be stepped only with a completion.
    pub is_waiting: bool,
}

impl Hand {
    /// Runs the jobs that were started, each to its end.
    pub(super) fn run_jobs(&mut self) {
        while let Some(mut running) = self.jobs.pop() {
            let requests = running.requests.drain(..).map(|request| perform(&mut self.dir, request));
            running.completions.extend(requests);
            let mut rest = Resumed { job: running.job, completions: running.completions };
            let result = run_job(&mut self.dir, &mut rest);
            self.shard.job_done(running.id, result);
        }
    }

    pub(super) fn step_job(&mut self, index: usize, random: &mut SmallRng) {
        let running = &mut self.jobs[index];
        if !running.requests.is_empty() && random.random_ratio(3, 4) {
            let request = running.requests.swap_remove(random.random_range(0..running.requests.len()));
            running.completions.push(perform(&mut self.dir, request));
            return;
        }
        if running.is_waiting && running.completions.is_empty() {
            return;
        }
        match running.job.step(&mut running.completions, &mut running.requests, 4096) {
            JobStep::More => running.is_waiting = false,
            JobStep::Waiting => running.is_waiting = true,
            JobStep::Done(result) => {
                let id = self.jobs.swap_remove(index).id;
                self.shard.job_done(id, result);
            }
        }
    }
}

/// A job that was stepped before, with the completions that wait for it.
struct Resumed {
    job: Box<dyn Job>,
    completions: Vec<IoCompletion>,
}

impl Job for Resumed {
    fn kind(&self) -> crate::job::JobKind {
        self.job.kind()
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        budget_bytes: usize,
    ) -> JobStep {
        completions.append(&mut self.completions);
        self.job.step(completions, requests, budget_bytes)
    }
}
