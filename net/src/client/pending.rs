//! Requests that wait for their responses: a table whose indexes are the request ids.
//!
//! An id is a place in the table and a generation, so that the late response to a request that was
//! given up finds nobody. Places are reused; nothing is allocated per request once the table has grown.

use std::task::Waker;

use tokio::time::Instant;

use super::error::Error;
use crate::wire::{ErrorCode, Flags, Frame, Header, Opcode, Status};

/// A response that outlives the buffer it was received in.
#[derive(Debug)]
pub(super) struct Owned {
    header: Header,
    value: Vec<u8>,
}

impl Owned {
    pub(super) fn of(frame: &Frame<'_>) -> Owned {
        Owned { header: *frame.header, value: frame.value.to_vec() }
    }

    /// The response as a frame again.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame::of_parts(&self.header, &self.value)
    }

    /// Whether another core or node answered.
    pub(super) fn is_forwarded(&self) -> bool {
        self.frame().flags().has(Flags::FORWARDED)
    }

    /// Whether it says that the request was not done, or may not have been.
    pub(super) fn is_error(&self) -> bool {
        [Status::Refused as u8, Status::Unknown as u8].contains(&self.header.level)
    }

    /// What it is the response to.
    pub(super) fn opcode(&self) -> Option<Opcode> {
        Opcode::from_byte(self.header.opcode & 0x7f)
    }

    /// The bytes of its value.
    pub(super) fn into_value(self) -> Vec<u8> {
        self.value
    }
}

/// Why a request got no response.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The connection broke.
    Broken {
        /// Whether the server may have executed it.
        written: bool,
        /// What happened.
        error: Error,
    },
    /// Its deadline passed.
    TimedOut,
}

impl Failure {
    /// As the error of a request to this address that isn't tried again.
    pub(super) fn into_error(self, is_read: bool, address: &str) -> Error {
        let late =
            || format!("{address} didn't answer in time; see whether it is overloaded, or raise the timeout");
        match self {
            Failure::Broken { written: true, error } if !is_read => {
                Error::unknown(ErrorCode::CONNECTION_LOST, &error.to_string())
            }
            Failure::Broken { error, .. } => error,
            Failure::TimedOut if is_read => Error::TimedOut { text: late() },
            Failure::TimedOut => Error::unknown(ErrorCode::TIMED_OUT, &late()),
        }
    }
}

/// What became of a request.
pub(super) type Outcome = Result<Owned, Failure>;

#[derive(Debug)]
enum Stage {
    Free,
    Waiting { waker: Option<Waker>, deadline: Instant, position: u64 },
    Done(Outcome),
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    stage: Stage,
}

/// The requests in flight on one connection.
#[derive(Debug, Default)]
pub(super) struct Pending {
    slots: Vec<Slot>,
    free: Vec<u32>,
    waiting: usize,
}

impl Pending {
    /// How many wait for a response.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds a request whose frame begins at this position of the sent bytes; answers its id.
    pub(super) fn insert(&mut self, deadline: Instant, position: u64) -> u64 {
        let stage = Stage::Waiting { waker: None, deadline, position };
        self.waiting += 1;
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize].stage = stage;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).expect("in flight is limited far below 2^32");
                self.slots.push(Slot { generation: 1, stage });
                index
            }
        };
        u64::from(self.slots[index as usize].generation) << 32 | u64::from(index)
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id as u32 as usize)?;
        (slot.generation == (id >> 32) as u32).then_some(slot)
    }

    /// Takes what became of a request, or remembers whom to wake.
    pub(super) fn poll(&mut self, id: u64, waker: &Waker) -> Option<Outcome> {
        let slot = self.slot(id)?;
        if let Stage::Waiting { waker: known, .. } = &mut slot.stage {
            match known {
                Some(known) => known.clone_from(waker),
                None => *known = Some(waker.clone()),
            }
            return None;
        }
        let Stage::Done(outcome) = std::mem::replace(&mut slot.stage, Stage::Free) else { return None };
        self.release(id);
        Some(outcome)
    }

    /// Forgets a request that nobody waits for any more.
    pub(super) fn forget(&mut self, id: u64) {
        let Some(slot) = self.slot(id) else { return };
        if matches!(slot.stage, Stage::Waiting { .. }) {
            self.waiting -= 1;
        }
        self.release(id);
    }

    fn release(&mut self, id: u64) {
        let Some(slot) = self.slot(id) else { return };
        slot.stage = Stage::Free;
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free.push(id as u32);
    }

    /// Hands a response to its request; answers whom to wake.
    pub(super) fn complete(&mut self, id: u64, response: impl FnOnce() -> Owned) -> Option<Waker> {
        let slot = self.slot(id)?;
        let Stage::Waiting { waker, .. } = &mut slot.stage else { return None };
        let waker = waker.take();
        slot.stage = Stage::Done(Ok(response()));
        self.waiting -= 1;
        waker
    }

    /// Fails all requests that wait: those that begin before `written` may have been executed.
    pub(super) fn fail_all(&mut self, written: u64, error: &Error, wakers: &mut Vec<Waker>) {
        for slot in &mut self.slots {
            let Stage::Waiting { waker, position, .. } = &mut slot.stage else { continue };
            wakers.extend(waker.take());
            let failure = Failure::Broken { written: *position < written, error: error.clone() };
            slot.stage = Stage::Done(Err(failure));
        }
        self.waiting = 0;
    }

    /// Fails what is due, and answers when the next one will be.
    pub(super) fn expire(&mut self, now: Instant, wakers: &mut Vec<Waker>) -> Option<Instant> {
        let mut next = None;
        for slot in &mut self.slots {
            let Stage::Waiting { waker, deadline, .. } = &mut slot.stage else { continue };
            if *deadline > now {
                next = Some(next.map_or(*deadline, |next: Instant| next.min(*deadline)));
                continue;
            }
            wakers.extend(waker.take());
            slot.stage = Stage::Done(Err(Failure::TimedOut));
            self.waiting -= 1;
        }
        next
    }
}
