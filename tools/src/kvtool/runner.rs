//! Runs a shard on the calling thread, without a ring or a background thread: every request and job is done, by plain
//! blocking calls, before the next turn. For work that nobody waits for beside.

use pinion_engine::Error;
use pinion_engine::dir::Dir;
use pinion_engine::drive::blocking::{perform, run_job};
use pinion_engine::io::IoRequest;
use pinion_engine::job::Job;
use pinion_engine::shard::request::{Answers, Request, Ticket};
use pinion_engine::shard::{Now, Shard, ShardOptions, ShardStats};
use std::time::{SystemTime, UNIX_EPOCH};

/// The shard's clock goes on by so much a turn, microseconds: nothing that it puts off for quiet times is put off.
const TURN_US: u64 = 10_000_000;

/// A shard, and the clock that it is shown.
pub struct Runner<'d> {
    dir: &'d mut dyn Dir,
    shard: Shard,
    mono_us: u64,
}

impl<'d> Runner<'d> {
    /// Opens the shard in `dir`.
    pub fn open(dir: &'d mut dyn Dir, options: ShardOptions) -> Result<Runner<'d>, Error> {
        let shard = Shard::open(dir, options, now(0))?;
        Ok(Runner { dir, shard, mono_us: 0 })
    }

    /// Takes a request; its answer has come when this returns.
    pub fn request(&mut self, request: Request<'_>, out: &mut impl Answers) -> Result<(), Error> {
        self.shard.tick(now(self.mono_us));
        self.shard.request(Ticket::default(), request, out);
        while !self.turn(out) {}
        self.check()
    }

    /// Writes the memtable out, and merges until nothing is left to merge. `on_job` hears of each job before it runs.
    pub fn settle(&mut self, on_job: &mut dyn FnMut(&dyn Job)) -> Result<(), Error> {
        self.shard.flush();
        let mut quiet = 0;
        // The first quiet turn may only have been the one that found out what to merge next.
        while quiet < 2 {
            quiet = if self.turn_with(&mut Nobody, on_job) { quiet + 1 } else { 0 };
            self.check()?;
        }
        Ok(())
    }

    /// Makes everything durable.
    pub fn close(mut self) -> Result<(), Error> {
        self.shard.begin_shutdown();
        while !self.turn(&mut Nobody) {}
        self.check()
    }

    /// The shard's figures.
    pub fn stats(&self) -> ShardStats {
        self.shard.stats()
    }

    fn turn(&mut self, out: &mut impl Answers) -> bool {
        self.turn_with(out, &mut |_| {})
    }

    /// One turn; whether it found nothing to do.
    fn turn_with(&mut self, out: &mut impl Answers, on_job: &mut dyn FnMut(&dyn Job)) -> bool {
        self.mono_us += TURN_US;
        self.shard.tick(now(self.mono_us));
        self.shard.end_turn();
        let requests: Vec<IoRequest> = self.shard.take_requests().collect();
        let jobs: Vec<_> = self.shard.take_jobs().collect();
        let is_quiet = requests.is_empty() && jobs.is_empty() && self.shard.is_settled();
        for request in requests {
            let completion = perform(self.dir, request);
            self.shard.complete(completion, out);
        }
        for (id, mut job) in jobs {
            on_job(job.as_ref());
            let result = run_job(self.dir, job.as_mut());
            self.shard.job_done(id, result);
        }
        is_quiet
    }

    fn check(&self) -> Result<(), Error> {
        let stats = self.shard.stats();
        match stats.read_only.or(stats.trouble) {
            Some(reason) => Err(Error::Unusable(format!("{}: {reason}", self.dir.path()))),
            None => Ok(()),
        }
    }
}

struct Nobody;

impl Answers for Nobody {
    fn answer(&mut self, _: Ticket, _: pinion_engine::shard::request::Answer<'_>) {}
}

fn now(mono_us: u64) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { unix_us: unix.as_micros() as u64, mono_us }
}
