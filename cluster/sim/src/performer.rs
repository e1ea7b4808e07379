//! What a core's disk is doing for it: the simulator's performer of I/O.

use crate::disk::Disk;
use crate::net::Net;
use pinion_cluster::drive::Performer;
use pinion_engine::drive::{BackgroundEvent, is_rare};
use pinion_engine::io::{FileName, IoCompletion, IoRequest, Token};
use pinion_engine::job::{Job, JobId, JobKind};
use pinion_engine::shard::Shard;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A moment of a shard's work at which a crash is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Any.
    Any,
    /// A flush runs.
    Flush,
    /// A merge runs.
    Merge,
    /// A manifest edit is being written.
    ManifestEdit,
    /// A recycled segment is being begun.
    Recycling,
    /// The log is being written.
    LogWrite,
}

impl Moment {
    /// All of them.
    pub const ALL: [Moment; 6] = [
        Moment::Any,
        Moment::Flush,
        Moment::Merge,
        Moment::ManifestEdit,
        Moment::Recycling,
        Moment::LogWrite,
    ];

    /// The name of the counter of crashes at this moment.
    pub fn crashes(self) -> &'static str {
        match self {
            Moment::Any => "crashes",
            Moment::Flush => "crashes inside a flush",
            Moment::Merge => "crashes inside a merge",
            Moment::ManifestEdit => "crashes inside a manifest edit",
            Moment::Recycling => "crashes inside recycling",
            Moment::LogWrite => "crashes inside a log write",
        }
    }
}

/// A request that the disk works on.
#[derive(Clone, Copy, Debug)]
struct Request {
    moment: Moment,
    is_rare: bool,
    log: LogRequest,
}

/// What a request does to the log.
#[derive(Clone, Copy, Debug)]
enum LogRequest {
    /// Nothing that counts here.
    None,
    /// It writes a part of a commit, or makes the file that a part needs.
    Commit,
    /// It makes durable what was written, of what was acknowledged by then.
    Sync { covers_us: u64 },
}

/// What is under way.
#[derive(Debug, Default)]
pub struct Work {
    requests: BTreeMap<Token, Request>,
    jobs: BTreeMap<JobId, JobKind>,
    /// What has ended and the core hasn't heard of.
    events: VecDeque<BackgroundEvent>,
    /// Log files that were a segment in this life of the node.
    segments: BTreeSet<u64>,
    /// When the commit that is being written was asked for. It may take several writes, one after the other.
    commit_us: Option<u64>,
    /// When the newest commit that is written was asked for; what a sync that is done covers of that.
    written_us: u64,
    synced_us: u64,
}

impl Work {
    /// Whether the core has something to hear.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// A node that starts now has lost nothing yet.
    pub fn starting_at(now_us: u64) -> Work {
        Work { written_us: now_us, synced_us: now_us, ..Work::default() }
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// What was acknowledged before this moment is in the kernel, under weak durability.
    pub fn kernel_has_before_us(&self) -> u64 {
        self.written_us
    }

    /// What was acknowledged before this moment is on the device, under weak durability.
    pub fn device_has_before_us(&self) -> u64 {
        self.synced_us
    }

    /// Whether it is at this moment.
    pub fn is_at(&self, moment: Moment) -> bool {
        let job = match moment {
            Moment::Any => return true,
            Moment::Flush => Some(JobKind::Flush),
            Moment::Merge => Some(JobKind::Merge),
            _ => None,
        };
        match job {
            Some(job) => self.jobs.values().any(|&kind| kind == job),
            None => self.requests.values().any(|request| request.moment == moment),
        }
    }

    /// Notes that a request has ended; whether it was one of those that the background thread performs.
    pub fn ended(&mut self, completion: &IoCompletion) -> bool {
        let Some(request) = self.requests.remove(&completion.token) else { return false };
        match request.log {
            LogRequest::Commit if completion.result.is_err() => self.commit_us = None,
            LogRequest::Sync { .. } if completion.result.is_err() => self.sync_failed(),
            _ if completion.result.is_err() => {}
            LogRequest::Sync { covers_us } => {
                // A sync may be of several files: it is done when all are.
                let others = self.requests.values().any(|other| matches!(other.log, LogRequest::Sync { .. }));
                self.synced_us = if others { self.synced_us } else { self.synced_us.max(covers_us) };
            }
            LogRequest::None | LogRequest::Commit => {}
        }
        request.is_rare
    }

    /// A sync of one of several files has failed: those of the others make nothing durable that counts.
    fn sync_failed(&mut self) {
        for request in self.requests.values_mut() {
            if let LogRequest::Sync { covers_us } = &mut request.log {
                *covers_us = 0;
            }
        }
    }

    /// A turn has ended: if the shard writes no commit, and none has failed that is still to be settled, what was asked for
    /// is written.
    pub fn turn_ended(&mut self, shard: &Shard) {
        if !shard.is_writing() && shard.failure().is_none() {
            self.written_us = self.written_us.max(self.commit_us.take().unwrap_or_default());
        }
    }

    /// Leaves a completion for the core to hear of.
    pub fn tell(&mut self, completion: IoCompletion) {
        self.events.push_back(BackgroundEvent::Io(completion));
    }

    /// A job has ended.
    pub fn job_ended(&mut self, event: BackgroundEvent) {
        if let BackgroundEvent::JobDone(id, _) = &event {
            self.jobs.remove(id);
        }
        self.events.push_back(event);
    }

    fn note(&mut self, request: &IoRequest, now_us: u64) {
        let token = match request {
            IoRequest::Read { token, .. }
            | IoRequest::Write { token, .. }
            | IoRequest::Sync { token, .. }
            | IoRequest::Create { token, .. }
            | IoRequest::SyncDir { token }
            | IoRequest::Rename { token, .. }
            | IoRequest::Unlink { token, .. } => *token,
        };
        let moment = match request {
            IoRequest::Write { file: FileName::Log(file), offset: 0, .. } if !self.segments.insert(*file) => {
                Moment::Recycling
            }
            IoRequest::Write { file: FileName::Log(_), .. } => Moment::LogWrite,
            IoRequest::Write { file: FileName::Manifest(_) | FileName::ManifestTemp(_), .. }
            | IoRequest::Rename { .. } => Moment::ManifestEdit,
            _ => Moment::Any,
        };
        let log = match request {
            IoRequest::Write { file: FileName::Log(_), .. }
            | IoRequest::Create { file: FileName::Log(_), .. }
            | IoRequest::SyncDir { .. } => LogRequest::Commit,
            IoRequest::Sync { file: FileName::Log(_), .. } => LogRequest::Sync { covers_us: self.written_us },
            _ => LogRequest::None,
        };
        if matches!(log, LogRequest::Commit) && !matches!(request, IoRequest::SyncDir { .. }) {
            self.commit_us.get_or_insert(now_us);
        }
        self.requests.insert(token, Request { moment, is_rare: is_rare(request), log });
    }
}

/// Performs a core's I/O on its disk.
pub struct Performing<'a> {
    /// The disk.
    pub disk: &'a mut Disk,
    /// What is under way.
    pub work: &'a mut Work,
    /// Virtual time.
    pub now_us: u64,
    /// Chance.
    pub rng: &'a mut SmallRng,
}

impl Performer<Net> for Performing<'_> {
    fn start(&mut self, _: &mut Net, request: IoRequest) {
        self.work.note(&request, self.now_us);
        self.disk.submit(request, self.now_us, self.rng);
    }

    fn start_job(&mut self, id: JobId, job: Box<dyn Job>) {
        self.work.jobs.insert(id, job.kind());
        self.disk.start_job(id, job);
    }

    fn next_event(&mut self, _: &mut Net) -> Option<BackgroundEvent> {
        self.work.events.pop_front()
    }

    fn next_failed(&mut self) -> Option<IoCompletion> {
        // A simulated disk takes every request; those that fail complete as failed.
        None
    }

    fn is_idle(&self) -> bool {
        self.work.requests.values().all(|request| request.is_rare)
    }

    fn is_dead(&mut self) -> bool {
        false
    }
}
