//! Background jobs: stepped one at a time, each a little, in an order that chance decides.

use pinion_engine::io::{IoCompletion, IoRequest};
use pinion_engine::job::{Job, JobId, JobKind, JobOutput, JobStep};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::fmt;

/// Data that one step works on, bytes; chance decides.
const BUDGETS: [usize; 3] = [1, 4 << 10, 256 << 10];

/// What became of a job.
pub type JobResult = Result<JobOutput, pinion_engine::Error>;

struct Running {
    job: Box<dyn Job>,
    completions: Vec<IoCompletion>,
    in_flight: usize,
    /// It goes on only with a completion.
    is_waiting: bool,
}

impl Running {
    fn can_step(&self) -> bool {
        !self.is_waiting || !self.completions.is_empty()
    }
}

/// The jobs under way.
#[derive(Default)]
pub(super) struct Jobs {
    running: BTreeMap<JobId, Running>,
}

impl Jobs {
    pub fn start(&mut self, id: JobId, job: Box<dyn Job>) {
        let running = Running { job, completions: Vec::new(), in_flight: 0, is_waiting: false };
        self.running.insert(id, running);
    }

    pub fn complete(&mut self, id: JobId, completion: IoCompletion) {
        let running = self.running.get_mut(&id).expect("a job is there until its requests are done");
        running.in_flight -= 1;
        running.completions.push(completion);
    }

    pub fn can_step(&self) -> bool {
        self.running.values().any(Running::can_step)
    }

    /// Steps one: what it asks for, and its result if it ended.
    pub fn step(&mut self, rng: &mut SmallRng) -> Option<(JobId, Vec<IoRequest>, Option<JobResult>)> {
        let able: Vec<JobId> =
            self.running.iter().filter(|(_, running)| running.can_step()).map(|(id, _)| *id).collect();
        let id = *able.get(rng.random_range(0..able.len().max(1)))?;
        let running = self.running.get_mut(&id)?;
        let mut requests = Vec::new();
        let budget = BUDGETS[rng.random_range(0..BUDGETS.len())];
        let step = running.job.step(&mut running.completions, &mut requests, budget);
        running.in_flight += requests.len();
        match step {
            JobStep::More => running.is_waiting = false,
            JobStep::Waiting => {
                assert!(running.in_flight > 0, "a {:?} job waits for nothing", running.job.kind());
                running.is_waiting = true;
            }
            JobStep::Done(result) => {
                let in_flight = running.in_flight;
                assert_eq!(in_flight, 0, "a {:?} job ended with requests in flight", running.job.kind());
                self.running.remove(&id);
                return Some((id, requests, Some(result)));
            }
        }
        Some((id, requests, None))
    }

    pub fn kinds(&self) -> impl Iterator<Item = JobKind> {
        self.running.values().map(|running| running.job.kind())
    }

    pub fn len(&self) -> usize {
        self.running.len()
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub fn clear(&mut self) {
        self.running.clear();
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}
