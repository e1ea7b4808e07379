//! What turns a shard into a running store: its ring, its background thread, its clock.

use super::options::StoreOptions;
use crate::clock::LOOK_US;
use crate::drive::{
    Background, BackgroundEvent, BackgroundOptions, OsDir, Ring, StoreFile, StoreLock, SystemClock, is_rare,
};
use crate::error::Error;
use crate::key::Partition;
use crate::shard::request::{Answers, Op, Request, Ticket};
use crate::shard::{Shard, ShardOptions, ShardStats};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The embedded store has one partition.
const PARTITION: Partition = Partition(0);

/// After a long pause the log has so long to learn the time.
const CATCH_UP_TURNS: u32 = 100;
const CATCH_UP_WAIT: Duration = Duration::from_millis(10);

/// A shard with everything that performs for it, on the thread that calls it.
pub(super) struct Driver {
    pub shard: Shard,
    ring: Ring,
    background: Background,
    clock: SystemClock,
    _lock: StoreLock,
}

impl Driver {
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Driver, Error> {
        options.check()?;
        OsDir::create(dir)?;
        let lock = StoreLock::acquire(dir)?;
        let mut file = match StoreFile::find(dir)? {
            Some(file) => file,
            None => {
                let file = StoreFile::new(1, 1)?;
                file.write(dir)?;
                file
            }
        };
        if (file.shards, file.partitions) != (1, 1) {
            return Err(Error::Unusable(format!(
                "{} is a server's store of {} shards; the embedded store has one: open it with kvd, or choose another directory",
                dir.display(),
                file.shards
            )));
        }
        file.remove_other_layouts(dir)?;
        let path = file.shard_dir(dir, 0);
        file.check_shards(dir)?;
        let mut ring = Ring::new(create(&path)?, true)?;
        if let Some(log_sync) = options.log_sync {
            ring.set_log_sync(log_sync);
        }
        let clock = SystemClock::new();
        let shard_options = shard_options(options, &file, ring.is_direct());
        let shard = Shard::open(&mut OsDir::open(&path)?, shard_options, clock.now())?;
        shard.refuse_replicas()?;
        if !shard.has_direct_log() {
            ring.buffer_log();
        }
        file.mark_made(dir);
        let waker = ring.waker();
        let wake = Arc::new(move || waker.wake());
        let background = Background::spawn(path, BackgroundOptions { cpu: options.background_cpu, wake })?;
        Ok(Driver { shard, ring, background, clock, _lock: lock })
    }

    /// Ends the wait of another thread in [`Driver::turn`].
    pub fn waker(&self) -> Arc<crate::drive::RingWaker> {
        self.ring.waker()
    }

    /// Asks the shard for an operation, at the present time.
    pub fn request(&mut self, ticket: Ticket, op: Op<'_>, out: &mut impl Answers) {
        self.shard.tick(self.clock.soon());
        if self.shard.is_time_held() {
            self.catch_up(out);
        }
        self.shard.request(ticket, Request::new(PARTITION, op), out);
    }

    /// Nobody has called for long: the log learns the time first, if the disk lets it.
    #[cold]
    fn catch_up(&mut self, out: &mut impl Answers) {
        for _ in 0..CATCH_UP_TURNS {
            // An error comes again in the next turn, whose caller hears of it.
            if self.turn(Some(CATCH_UP_WAIT), out).is_err() || !self.shard.is_time_held() {
                return;
            }
        }
    }

    /// One turn: hands on what the shard asks for, waits for up to `wait` if nothing has happened, takes what is done.
    pub fn turn(&mut self, wait: Option<Duration>, out: &mut impl Answers) -> Result<(), Error> {
        self.shard.tick(self.clock.soon());
        self.shard.advance(out);
        self.shard.end_turn();
        self.hand_over();
        let waited = match wait.filter(|_| !self.shard.has_left_over()) {
            None => self.ring.poll(),
            Some(wait) => self.ring.wait(1, Some(wait)).map(drop),
        };
        waited.map_err(|error| Error::io("wait for", "the ring", "the store", error))?;
        self.shard.tick(self.clock.now());
        while let Some(completion) = self.ring.try_next() {
            self.shard.complete(completion, out);
        }
        while let Some(event) = self.background.try_next() {
            match event {
                BackgroundEvent::JobDone(id, result) => {
                    self.background.close_later(self.ring.take_unlinked());
                    self.shard.job_done(id, result);
                }
                BackgroundEvent::Io(completion) => self.shard.complete(completion, out),
            }
        }
        self.shard.end_turn();
        self.hand_over();
        Ok(())
    }

    fn hand_over(&mut self) {
        for request in self.shard.take_requests() {
            self.ring.observe(&request);
            // Before the name goes: whoever closes a removed file last gives its space back, which takes long.
            self.background.close(self.ring.take_dropped());
            if is_rare(&request) {
                self.background.submit(request);
            } else {
                self.ring.submit(request);
            }
        }
        for (id, job) in self.shard.take_jobs() {
            self.background.start(id, job);
        }
    }

    /// How long a turn may wait when nobody asks for anything.
    pub fn idle_wait(&self) -> Duration {
        let now_us = self.clock.soon().mono_us;
        let deadline_us = self.shard.next_deadline_us().unwrap_or(u64::MAX);
        Duration::from_micros(deadline_us.saturating_sub(now_us).clamp(1, LOOK_US))
    }

    pub fn stats(&self) -> ShardStats {
        self.shard.stats()
    }

    /// Waits until everything accepted is on the device. Fails if it can't come there any more.
    pub fn drain(&mut self, out: &mut impl Answers) -> Result<(), Error> {
        self.shard.begin_shutdown();
        while !self.shard.is_idle() {
            self.turn(Some(Duration::from_millis(10)), out)?;
        }
        refused(self.shard.failure_at_stop())
    }

    /// Whether the shard can still write.
    pub fn check(&self) -> Result<(), Error> {
        refused(self.shard.failure())
    }
}

fn refused(why: Option<&str>) -> Result<(), Error> {
    why.map_or(Ok(()), |why| Err(Error::ReadOnly(why.into())))
}

/// The one shard of a store that is opened so.
fn shard_options(options: &StoreOptions, store: &StoreFile, direct: bool) -> ShardOptions {
    ShardOptions {
        shard_id: store.shard_id(0),
        partitions: vec![PARTITION],
        durability: options.durability,
        memory_bytes: options.memory_bytes,
        direct,
        value_bytes_max: ShardOptions::VALUE_BYTES_MAX,
        membership: Some(store.membership(0)),
        is_made: store.is_made,
        time_jump: options.time_jump,
    }
}

fn create(path: &Path) -> Result<&Path, Error> {
    OsDir::create(path)?;
    Ok(path)
}
