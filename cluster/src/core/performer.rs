//! Who performs a shard's I/O: the [driver](super::driver) of a core on its reactor, and the simulator's disk.

use pinion_engine::drive::BackgroundEvent;
use pinion_engine::io::{IoCompletion, IoRequest};
use pinion_engine::job::{Job, JobId};

/// Performs what a shard asks for. `S` is where the sockets are, whose loop may carry the I/O too.
pub trait Performer<S> {
    /// Starts a request, which ends in the loop or as an event.
    fn start(&mut self, io: &mut S, request: IoRequest);
    /// Starts a job, which ends as an event.
    fn start_job(&mut self, id: JobId, job: Box<dyn Job>);
    /// What has ended in the background, if anything. Starts what waited for it.
    fn next_event(&mut self, io: &mut S) -> Option<BackgroundEvent>;
    /// The next request that failed before it was under way.
    fn next_failed(&mut self) -> Option<IoCompletion>;
    /// Whether nothing that the log depends on is under way.
    fn is_idle(&self) -> bool;
    /// Whether no job will ever end any more.
    fn is_dead(&mut self) -> bool;
}
