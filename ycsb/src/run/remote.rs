//! A worker that drives connections: one thread, one epoll, several requests in flight on each connection.
//!
//! A connection that breaks ends the operations that were under way on it, and is made again. Those begun meanwhile wait for
//! it: what a server's absence costs shows in their latency, and a closed loop doesn't count failures as fast as it can.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::{Events, Token};

use super::link::Received;
use super::pool::{Outages, Pool, epoll_failed};
use super::worker::Worker;
use crate::db::DbError;
use crate::operation::{Draft, Next, Operation};

/// How long the last answers are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Waits are cut so that seconds without an answer are noticed.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// epoll counts in milliseconds: shorter waits spin.
const SPIN_MAX: Duration = Duration::from_millis(2);

pub(super) struct Remote {
    worker: Worker,
    pool: Pool,
    /// `depth` for each connection, one after the other; a request's number is its place here.
    operations: Vec<Option<Operation>>,
    depth: usize,
    /// The socket that the request of each place went to.
    sent_on: Vec<usize>,
    /// Places without an operation.
    free: VecDeque<u32>,
    draft: Draft,
    drain_until: Option<Instant>,
    /// How long a server may be away before the run ends.
    away_max: Duration,
}

impl Remote {
    pub(super) fn new(worker: Worker, pool: Pool, depth: usize, away_max: Duration) -> Remote {
        let connections = pool.connections;
        // Connections take turns before any gets its second request.
        let places = (0..depth).flat_map(|deep| (0..connections).map(move |at| (at * depth + deep) as u32));
        Remote {
            worker,
            free: places.collect(),
            operations: vec![None; connections * depth],
            sent_on: vec![0; connections * depth],
            pool,
            depth,
            draft: Draft::default(),
            drain_until: None,
            away_max,
        }
    }

    /// Runs until the quota is used up, then waits for the last answers.
    pub(super) fn run(mut self) -> (Worker, Outages, Result<(), DbError>) {
        let mut events = Events::with_capacity(1024);
        let result = loop {
            match self.turn(&mut events) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if result.is_err() {
            self.worker.quota.stop_all();
            self.cut_all_off(Instant::now());
        }
        self.worker.recorder.finish();
        (self.worker, self.pool.outages(), result)
    }

    /// One turn; false when all is done.
    fn turn(&mut self, events: &mut Events) -> Result<bool, DbError> {
        let now = Instant::now();
        if !self.pool.is_whole() {
            if self.worker.quota.is_stopped() {
                self.cut_all_off(now);
                return Ok(false);
            }
            let is_over = self.worker.quota.is_over(now);
            self.pool.mend(now, self.away_max, is_over)?;
        }
        self.begin_operations()?;
        let now = Instant::now();
        self.worker.recorder.tick(now);
        if self.worker.quota.is_used_up(now) {
            if self.free.len() == self.operations.len() {
                return Ok(false);
            }
            if now > *self.drain_until.get_or_insert(now + DRAIN_MAX) {
                let text = format!("the last answers didn't come within {} s", DRAIN_MAX.as_secs());
                return Err(DbError::Protocol(text));
            }
        }
        let timeout = self.timeout(now);
        match self.pool.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(true),
            result => result.map_err(epoll_failed)?,
        }
        for event in events.iter() {
            let Token(link) = event.token();
            if event.is_writable() {
                let flushed = self.pool.links[link].flush();
                self.or_lose(link, flushed)?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                let received = self.receive(link);
                self.or_lose(link, received)?;
                self.begin_operations()?;
            }
        }
        Ok(true)
    }

    /// A link whose connection broke is lost; anything else that fails ends the run.
    fn or_lose(&mut self, link: usize, result: Result<(), DbError>) -> Result<(), DbError> {
        let Err(error @ DbError::Lost { .. }) = result else { return result };
        if !self.pool.links[link].is_connected() {
            return Ok(());
        }
        let (now, text) = (Instant::now(), error.to_string());
        self.worker.note_failure(&text);
        if self.pool.is_whole() {
            eprintln!("kvbench: {text}; trying again for up to {} s", self.away_max.as_secs_f64());
        }
        for place in 0..self.operations.len() {
            if self.sent_on[place] == link {
                self.cut_off(place, now);
            }
        }
        let DbError::Lost { cause, .. } = error else { return Ok(()) };
        self.pool.lose(link, cause, now);
        Ok(())
    }

    fn cut_all_off(&mut self, now: Instant) {
        (0..self.operations.len()).for_each(|place| self.cut_off(place, now));
    }

    /// Ends the operation at a place, if there is one, without an answer.
    fn cut_off(&mut self, place: usize, now: Instant) {
        let Some(operation) = self.operations[place].take() else { return };
        let was_sent = self.pool.links[self.sent_on[place]].is_connected();
        let Worker { planner, recorder, .. } = &mut self.worker;
        planner.cut_off(&operation, was_sent, now, recorder);
        self.free.push_back(place as u32); // places are counted in u32
    }

    /// Sends what was appended; broken links are lost.
    fn flush(&mut self) -> Result<(), DbError> {
        while let Err((link, error)) = self.pool.flush() {
            self.or_lose(link, Err(error))?;
        }
        Ok(())
    }

    /// Until the next operation is due, if a place is free for it.
    fn timeout(&self, now: Instant) -> Duration {
        let attempt = self.pool.next_attempt().map_or(WAIT_MAX, |at| at.saturating_duration_since(now));
        attempt.min(self.next_due(now))
    }

    fn next_due(&self, now: Instant) -> Duration {
        if self.free.is_empty() || self.worker.quota.is_used_up(now) {
            return WAIT_MAX;
        }
        match self.worker.schedule.wait(now) {
            wait if wait < SPIN_MAX => Duration::ZERO,
            wait => (wait - SPIN_MAX / 2).min(WAIT_MAX),
        }
    }

    /// Begins all operations that are due and have a place, and sends them.
    fn begin_operations(&mut self) -> Result<(), DbError> {
        let now = Instant::now();
        while let Some(&place) = self.free.front() {
            let worker = &mut self.worker;
            if !worker.schedule.is_due(now) || !worker.quota.take(now) {
                break;
            }
            self.free.pop_front();
            let due = worker.schedule.begin(now);
            let operation = worker.planner.begin(due, now, &mut self.draft);
            self.operations[place as usize] = Some(operation);
            self.push(place);
        }
        self.flush()
    }

    /// Appends the drafted request of an operation to its connection.
    fn push(&mut self, place: u32) {
        let (at, request) = (place as usize, self.draft.request());
        let link = self.pool.link_of(at / self.depth, request.key());
        self.sent_on[at] = link;
        self.pool.push(link, place, &request);
    }

    /// Receives what has come on a link and goes on with the operations it answers.
    fn receive(&mut self, link: usize) -> Result<(), DbError> {
        loop {
            let received = self.pool.links[link].receive()?;
            let now = Instant::now();
            while self.answer(link, now)? {}
            if received == Received::All {
                return self.flush();
            }
        }
    }

    /// Goes on with the next operation that a link answers; false if no whole answer is there.
    fn answer(&mut self, link: usize, now: Instant) -> Result<bool, DbError> {
        let Remote { worker, pool, operations, draft, .. } = self;
        let mut step = None;
        let found = pool.links[link].answer(|answer| {
            let Some(Some(operation)) = operations.get_mut(answer.request as usize) else { return };
            if let Some(text) = answer.outcome.complaint() {
                worker.note_failure(text);
            }
            let next = worker.planner.answered(operation, &answer.outcome, now, &mut worker.recorder, draft);
            step = Some((next, answer.request));
        })?;
        match step {
            Some((Next::Send, place)) => self.push(place),
            Some((Next::Done, place)) => {
                self.operations[place as usize] = None;
                self.free.push_back(place);
            }
            None if found => return Err(DbError::Protocol("an answer that nothing was asked for".into())),
            None => {}
        }
        Ok(found)
    }
}
