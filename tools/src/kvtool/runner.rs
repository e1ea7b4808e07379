//! Runs a shard on the calling thread, without a ring or a background thread: every request and job is done, by plain
//! blocking calls, before the next turn. For work that nobody waits for beside.
//!
//! Time stands still for it where the shard's log ends: what expires is left to whoever opens it next, on whatever machine.

use pinion_engine::Error;
use pinion_engine::clock::Now;
use pinion_engine::dir::Dir;
use pinion_engine::drive::SystemClock;
use pinion_engine::drive::blocking::{perform, run_job};
use pinion_engine::io::IoRequest;
use pinion_engine::job::Job;
use pinion_engine::offline::ShardTime;
use pinion_engine::shard::request::{Answers, Request, Ticket};
use pinion_engine::shard::{Shard, ShardOptions, ShardStats};

/// The clock for what waits goes on by so much a turn, microseconds: nothing that is put off for quiet times is put off.
const TURN_US: u64 = 10_000_000;

/// A shard, and the clocks that it is shown.
pub struct Runner<'d> {
    dir: &'d mut dyn Dir,
    shard: Shard,
    now: Now,
}

impl<'d> Runner<'d> {
    /// Opens the shard in `dir`.
    pub fn open(dir: &'d mut dyn Dir, options: ShardOptions) -> Result<Runner<'d>, Error> {
        // What can't be read the shard will say when it is opened.
        let time = ShardTime::read(&*dir, options.shard_id).unwrap_or_default();
        let now = time.stamp.map_or_else(|| SystemClock::new().now(), |stamp| stamp.now());
        let shard = Shard::open(dir, options, now)?;
        Ok(Runner { dir, shard, now })
    }

    /// Takes a request; its answer has come when this returns.
    pub fn request(&mut self, request: Request<'_>, out: &mut impl Answers) -> Result<(), Error> {
        self.shard.tick(self.now);
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
        self.now.mono_us += TURN_US;
        self.shard.tick(self.now);
        self.shard.advance(out);
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
