//! A worker that drives connections: one thread, one epoll, any number of connections with several requests in
//! flight on each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use pinion_net::slot::Slot;

use super::Worker;
use super::link::{Link, Received};
use crate::db::{DbError, Outcome, Protocol, Routes};
use crate::operation::{Draft, Next, Operation};

/// How long the last answers are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Waits are cut so that seconds without an answer are noticed.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// epoll counts in milliseconds: shorter waits spin.
const SPIN_MAX: Duration = Duration::from_millis(2);

pub(super) struct Remote {
    worker: Worker,
    poll: Poll,
    routes: Routes,
    /// Sockets of a connection.
    links_each: usize,
    links: Vec<Link>,
    /// `depth` for each connection, one after the other; a request's number is its place here.
    operations: Vec<Option<Operation>>,
    depth: usize,
    /// Places without an operation.
    free: VecDeque<u32>,
    draft: Draft,
    /// Links with something to send, perhaps twice.
    unsent: Vec<usize>,
}

impl Remote {
    /// Makes `connections` connections, the first of which is number `first` of the run.
    pub(super) fn connect(
        worker: Worker,
        routes: &Routes,
        protocol: fn() -> Box<dyn Protocol>,
        first: usize,
        connections: usize,
        depth: usize,
    ) -> Result<Remote, DbError> {
        let failed = |error: std::io::Error| DbError::Protocol(format!("epoll: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let links_each = if routes.by_slot.is_empty() { 1 } else { routes.addresses.len() };
        let mut links = Vec::with_capacity(connections * links_each);
        for connection in first..first + connections {
            for at in 0..links_each {
                let address = routes.addresses
                    [(connection * usize::from(links_each == 1) + at) % routes.addresses.len()];
                let mut link = Link::connect(address, protocol())?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(&mut link.stream, Token(links.len()), interest).map_err(failed)?;
                links.push(link);
            }
        }
        let places = connections * depth;
        // Connections take turns before any gets its second request.
        let free =
            (0..depth).flat_map(|deep| (0..connections).map(move |at| (at * depth + deep) as u32)).collect();
        Ok(Remote {
            worker,
            poll,
            routes: routes.clone(),
            links_each,
            links,
            operations: vec![None; places],
            depth,
            free,
            draft: Draft::default(),
            unsent: Vec::new(),
        })
    }

    /// Runs until the quota is used up, then waits for the last answers.
    pub(super) fn run(mut self) -> (Worker, Result<(), DbError>) {
        let result = self.turns();
        if result.is_err() {
            self.worker.quota.stop_all();
            let now = Instant::now();
            for operation in self.operations.iter().flatten() {
                self.worker.planner.failed(operation, now, &mut self.worker.recorder);
            }
        }
        self.worker.recorder.finish();
        (self.worker, result)
    }

    fn turns(&mut self) -> Result<(), DbError> {
        let mut events = Events::with_capacity(1024);
        let mut drain_until: Option<Instant> = None;
        loop {
            self.begin_operations()?;
            let now = Instant::now();
            self.worker.recorder.tick(now);
            let is_idle = self.free.len() == self.operations.len();
            if self.worker.quota.is_used_up(now) {
                if is_idle {
                    return Ok(());
                }
                if now > *drain_until.get_or_insert(now + DRAIN_MAX) {
                    let text = format!("the last answers didn't come within {} s", DRAIN_MAX.as_secs());
                    return Err(DbError::Protocol(text));
                }
            }
            if let Err(error) = self.poll.poll(&mut events, Some(self.timeout(now)))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(DbError::Protocol(format!("epoll: {error}")));
            }
            for event in &events {
                let Token(link) = event.token();
                if event.is_writable() {
                    self.links[link].flush()?;
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.receive(link)?;
                    self.begin_operations()?;
                }
            }
        }
    }

    /// Until the next operation is due, if a place is free for it.
    fn timeout(&self, now: Instant) -> Duration {
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

    /// Appends the drafted request of an operation to its link.
    fn push(&mut self, place: u32) {
        let request = self.draft.request();
        let connection = place as usize / self.depth;
        let at = match self.routes.by_slot.is_empty() {
            true => 0,
            false => usize::from(self.routes.by_slot[usize::from(Slot::of(request.key()).number())]),
        };
        let link = connection * self.links_each + at;
        self.links[link].push(place, &request);
        if self.unsent.last() != Some(&link) {
            self.unsent.push(link);
        }
    }

    fn flush(&mut self) -> Result<(), DbError> {
        for link in self.unsent.drain(..) {
            self.links[link].flush()?;
        }
        Ok(())
    }

    /// Receives what has come on a link and goes on with the operations it answers.
    fn receive(&mut self, link: usize) -> Result<(), DbError> {
        loop {
            let received = self.links[link].receive()?;
            let now = Instant::now();
            while self.answer(link, now)? {}
            if received == Received::All {
                return self.flush();
            }
        }
    }

    fn answer(&mut self, link: usize, now: Instant) -> Result<bool, DbError> {
        let Remote { worker, links, operations, draft, .. } = self;
        let mut again = None;
        let mut done = None;
        let mut strange = false;
        let found = links[link].answer(|answer| {
            let Some(Some(operation)) = operations.get_mut(answer.request as usize) else {
                strange = true;
                return;
            };
            if let Outcome::Failed(text) = answer.outcome {
                worker.note_failure(text);
            }
            match worker.planner.answered(operation, &answer.outcome, now, &mut worker.recorder, draft) {
                Next::Send => again = Some(answer.request),
                Next::Done => done = Some(answer.request),
            }
        })?;
        if strange {
            return Err(DbError::Protocol("an answer that nothing was asked for".into()));
        }
        if let Some(place) = again {
            self.push(place);
        }
        if let Some(place) = done {
            self.operations[place as usize] = None;
            self.free.push_back(place);
        }
        Ok(found)
    }
}
