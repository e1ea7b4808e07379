//! The simulated disk of one shard: it performs requests and steps jobs, loses, tears and rots data, and is the
//! directory that a shard is opened from.
//!
//! What is modelled, and why:
//!
//! 1. **Writes.** Requests in flight complete in any order. A sync covers what had completed when it was asked for, no
//!    more. When the power goes, every 512-byte sector that was written since then is as it was before or after any of
//!    the writes, whatever became of its neighbours; a file's length is any it had since. A killed process loses
//!    nothing that had completed; what was in flight has happened in any part.
//! 2. **Names.** Unsynced changes of names survive a power loss as a prefix, as journaling file systems do it, or
//!    ([`NameOrder::Any`]) in any order but that of one name, which is all that POSIX leaves and all the design
//!    needs. Syncing a file doesn't make its name durable, though some file systems do that too.
//! 3. **Failed syncs.** What a failed sync leaves is durable in any part; the rest may stay dirty, or be forgotten: shown
//!    to readers (over kills of the process, too) until the power goes, and not made durable by later syncs that succeed.
//! 4. **Direct and buffered writes** are one: what completed is seen by every later read, and is durable only when synced.
//! 5. **Rot** changes data that was synced, and says what it changed: [`Disk::rot`]. What was read before keeps the bytes of
//!    its moment: whatever a shard holds in memory is a copy, resident tables too.
//! 6. **Loss.** Files vanish for good while nobody looks: [`Disk::lose`].
//! 7. **Space** is counted in pages of 4096 bytes by the length of files; a write within a file's length takes none.
//!
//! Everything left to chance is drawn from the generator that the caller passes.

mod dir;
mod faults;
mod file;
mod jobs;
mod media;
mod names;
mod pages;
mod perform;
mod rot;
#[cfg(test)]
mod tests;

pub use dir::DiskDir;
pub use faults::{Crash, Damage, DamageKind, DiskCounters, DiskFaults, RotMix, Speed};
pub use jobs::JobResult;
pub use names::NameOrder;
pub use pages::{PAGE, SECTOR};

use jobs::Jobs;
use media::Media;
use perform::Queue;
use pinion_engine::io::{FileName, IoCompletion, IoRequest};
use pinion_engine::job::{Job, JobId, JobKind};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use std::collections::BTreeSet;

/// One simulated disk. See the module's text.
#[derive(Debug, Default)]
pub struct Disk {
    path: String,
    media: Media,
    queue: Queue,
    jobs: Jobs,
}

impl Disk {
    /// An empty disk without faults; `path` is what it calls itself in messages.
    pub fn new(path: &str) -> Disk {
        Disk { path: path.to_owned(), ..Disk::default() }
    }

    /// What may go wrong from now on.
    pub fn faults(&mut self) -> &mut DiskFaults {
        &mut self.media.faults
    }

    /// So many bytes more may be taken; `None` is plenty. What is removed can be taken again.
    pub fn set_space_left(&mut self, bytes: Option<u64>) {
        self.media.space_left = bytes;
    }

    /// How many bytes may still be taken, if that is limited.
    pub fn space_left(&self) -> Option<u64> {
        self.media.space_left
    }

    /// Takes a request of the shard, of either kind; a time is drawn at which it is done.
    pub fn submit(&mut self, request: IoRequest, now_us: u64, rng: &mut SmallRng) {
        self.queue.push(&mut self.media, request, None, now_us, rng);
    }

    /// When the next request in flight is done, the shard's or a job's.
    pub fn next_due_us(&self) -> Option<u64> {
        self.queue.next_due_us()
    }

    /// Performs one request of the shard whose time has come; those of jobs that come before it go to their jobs.
    pub fn complete_due(&mut self, now_us: u64, rng: &mut SmallRng) -> Option<IoCompletion> {
        while let Some(in_flight) = self.queue.pop_due(now_us) {
            let owner = in_flight.owner;
            let is_name = in_flight.changes_names();
            let completion = perform::perform(&mut self.media, in_flight, rng);
            if is_name {
                self.media.drop_unnamed(&self.queue.inodes());
            }
            match owner {
                None => return Some(completion),
                Some(job) => self.jobs.complete(job, completion),
            }
        }
        None
    }

    /// Takes a job; it is stepped by [`Disk::step_background`].
    pub fn start_job(&mut self, id: JobId, job: Box<dyn Job>) {
        self.jobs.start(id, job);
    }

    /// Whether a job could go on without waiting for a request of its own.
    pub fn can_step_background(&self) -> bool {
        self.jobs.can_step()
    }

    /// Steps one job that can go on, a little; tells its result if it ended.
    pub fn step_background(&mut self, now_us: u64, rng: &mut SmallRng) -> Option<(JobId, JobResult)> {
        let (id, requests, result) = self.jobs.step(rng)?;
        for request in requests {
            self.queue.push(&mut self.media, request, Some(id), now_us, rng);
        }
        self.media.counters.jobs += u64::from(result.is_some());
        result.map(|result| (id, result))
    }

    /// The kinds of the jobs that are under way, in the order of their start.
    pub fn running_jobs(&self) -> impl Iterator<Item = JobKind> {
        self.jobs.kinds()
    }

    /// What is in flight: the operation's name and its file, in the order in which it will be done.
    pub fn in_flight(&self) -> impl Iterator<Item = (&'static str, Option<FileName>)> {
        self.queue.describe()
    }

    /// Whether nothing is in flight and no job is under way.
    pub fn is_idle(&self) -> bool {
        self.queue.next_due_us().is_none() && self.jobs.is_empty()
    }

    /// Ends the process or the power. Requests in flight and jobs are gone; any part of them may have happened.
    pub fn crash(&mut self, kind: Crash, rng: &mut SmallRng) {
        let mut in_flight = self.queue.take_all();
        in_flight.shuffle(rng);
        self.media.counters.crashes += 1;
        self.media.counters.caught_requests += in_flight.len() as u64;
        self.media.counters.caught_jobs += self.jobs.len() as u64;
        for request in in_flight {
            perform::perform_part(&mut self.media, request, rng);
        }
        self.forget_requests();
        if kind == Crash::Power {
            self.media.lose_power(rng);
        }
    }

    /// The directory, to open a shard from. After `crash_after_steps` changes (writes, syncs, changes of names) everything
    /// fails, and so do reads: [`DiskDir::is_crashed`]. A crash is to follow.
    pub fn dir<'a>(&'a mut self, crash_after_steps: Option<u64>, rng: &'a mut SmallRng) -> DiskDir<'a> {
        DiskDir::new(&self.path, &mut self.media, crash_after_steps, rng)
    }

    /// Damages data at rest, as [`DiskFaults::rot`] weighs it; `None` if it found nothing to damage.
    pub fn rot(&mut self, rng: &mut SmallRng) -> Option<Damage> {
        rot::rot(&mut self.media, rng)
    }

    /// Takes the damage to some files back, as far as nothing else was written there since: as an operator would, who has a
    /// copy.
    pub fn mend(&mut self, which: impl FnMut(FileName) -> bool) {
        rot::mend(&mut self.media, which);
    }

    /// Leaves the damage to some files as it is, for good: whoever opened them could do without what was damaged, and builds
    /// on what is there now.
    pub fn accept(&mut self, which: impl FnMut(FileName) -> bool) {
        rot::accept(&mut self.media, which);
    }

    /// The disk as it is, for whoever tries something on it. Nothing may be in flight.
    pub fn copy(&self) -> Disk {
        debug_assert!(self.is_idle(), "what is in flight belongs to one disk");
        Disk { path: self.path.clone(), media: self.media.clone(), ..Disk::default() }
    }

    /// Removes files for good, behind everyone's back: an operator's mistake, or a file system's.
    pub fn lose(&mut self, which: impl FnMut(FileName) -> bool) {
        self.media.names.lose(which);
        self.media.drop_unnamed(&BTreeSet::new());
    }

    /// Bytes that the files take.
    pub fn bytes(&self) -> u64 {
        self.media.bytes()
    }

    /// The files and their lengths in bytes.
    pub fn files(&self) -> impl Iterator<Item = (FileName, u64)> {
        self.media
            .names
            .iter()
            .map(|(name, inode)| (name, self.media.files.get(&inode).map_or(0, |file| file.now.len())))
    }

    /// What it did so far.
    pub fn counters(&self) -> DiskCounters {
        self.media.counters
    }

    fn forget_requests(&mut self) {
        self.queue.clear();
        self.jobs.clear();
        self.media.drop_unnamed(&BTreeSet::new());
    }
}
