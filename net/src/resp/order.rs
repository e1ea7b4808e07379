//! Keeps the replies of a connection in the order of its commands.
//!
//! Commands get consecutive [`Sequence`] numbers as they are parsed. Their replies may be completed in any
//! order; bytes leave in the order of the commands.
//! - The head's reply is written straight into the output, without allocation. A later one is kept in one
//!   shared buffer until its turn comes.
//! - A command that several partitions answer has *parts*: the items of an array by position, a sum, an "all
//!   done", or a list that grows. It is complete when as many parts as announced came; one failed part makes the
//!   whole reply that error, after all have come.
//! - An array that is too long to be held whole may *leave* before it is complete ([`ReplyQueue::leave`]): from then on its
//!   items are written as they come, in order, and what fails of it is an item.
//! - A reply is written in the protocol that was spoken when its command came.
//! - [`ReplyQueue::held_bytes`] is what the connection's budget is charged, [`ReplyQueue::memory_bytes`] what it costs; an
//!   idle queue keeps little of that.
//!
//! `C` is whatever the caller must remember to write a reply (which command it was, its options).
//!
//! ```
//! use pinion_net::resp::ReplyQueue;
//! let (mut replies, mut out) = (ReplyQueue::new(), Vec::new());
//! let get = replies.begin("GET a");
//! let mget = replies.begin_array("MGET b c", 2);
//! replies.answer("PING", &mut out, |reply| reply.simple("PONG"));     // known at once, but not first
//! replies.item(mget, 1, &mut out, |reply| reply.bulk(b"c"));
//! assert!(out.is_empty() && replies.held_bytes() > 0);
//! replies.complete(get, &mut out, |reply| reply.null());
//! assert_eq!(out, b"$-1\r\n");
//! replies.item(mget, 0, &mut out, |reply| reply.bulk(b"b"));
//! assert_eq!(out, b"$-1\r\n*2\r\n$1\r\nb\r\n$1\r\nc\r\n+PONG\r\n");
//! assert!(replies.is_empty());
//! ```

use std::collections::VecDeque;

use super::held::{Held, Span};
use super::parts::{Body, Parts};
use super::reply::{Encoder, Protocol};

/// The place of a command in its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

/// The replies that a connection still owes.
#[derive(Debug)]
pub struct ReplyQueue<C = ()> {
    slots: VecDeque<Slot<C>>,
    /// Room for so many slots is made when the first comes: half of what was given back last, so that a client that goes on
    /// with as much doubles it once, and one that doesn't comes down.
    slots_next: usize,
    first: u64,
    held: Held,
    parts_bytes: usize,
    protocol: Protocol,
}

#[derive(Debug)]
struct Slot<C> {
    context: C,
    protocol: Protocol,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Done(Span),
    Parts(Box<Parts>),
}

impl State {
    /// Whether the reply could leave if it were the head.
    fn is_ready(&self) -> bool {
        match self {
            State::Waiting => false,
            State::Done(_) => true,
            State::Parts(parts) => parts.is_complete(),
        }
    }
}

/// A queue above this capacity gives its memory back when it empties.
const KEEP_SLOTS_MAX: usize = 16;

impl<C> Default for ReplyQueue<C> {
    fn default() -> Self {
        ReplyQueue {
            slots: VecDeque::new(),
            slots_next: 0,
            first: 0,
            held: Held::default(),
            parts_bytes: 0,
            protocol: Protocol::default(),
        }
    }
}

impl<C> ReplyQueue<C> {
    /// An empty queue that speaks RESP2. Allocates nothing.
    pub fn new() -> Self {
        ReplyQueue::default()
    }

    /// What commands from now on are answered in.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// What is being spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many replies are owed.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Memory behind replies that are owed or wait for an earlier one.
    pub fn held_bytes(&self) -> usize {
        self.held.bytes() + self.parts_bytes + self.slots.len() * size_of::<Slot<C>>()
    }

    /// All memory that the queue has, in use or kept for the next replies.
    pub fn memory_bytes(&self) -> usize {
        self.held.capacity() + self.parts_bytes + self.slots.capacity() * size_of::<Slot<C>>()
    }

    /// What the caller stored with a command, while its reply is owed.
    pub fn context(&self, sequence: Sequence) -> Option<&C> {
        Some(&self.slots.get(self.index(sequence)?)?.context)
    }

    /// As [`ReplyQueue::context`], to change it.
    pub fn context_mut(&mut self, sequence: Sequence) -> Option<&mut C> {
        let index = self.index(sequence)?;
        Some(&mut self.slots.get_mut(index)?.context)
    }

    /// A command whose whole reply will come by [`ReplyQueue::complete`].
    pub fn begin(&mut self, context: C) -> Sequence {
        self.push(context, State::Waiting)
    }

    /// A command that answers an array of `items` (at least one), each by [`ReplyQueue::item`].
    pub fn begin_array(&mut self, context: C, items: usize) -> Sequence {
        self.push_parts(context, Parts::new(items, Body::array(items, items)))
    }

    /// As [`ReplyQueue::begin_array`], of which nothing is expected before [`ReplyQueue::expect`].
    pub fn begin_long_array(&mut self, context: C, items: usize) -> Sequence {
        self.push_parts(context, Parts::new(items, Body::array(items, 0)))
    }

    /// The next `items` of a [`ReplyQueue::begin_long_array`] are expected now.
    pub fn expect(&mut self, sequence: Sequence, items: usize) {
        let Some(index) = self.index(sequence) else { return };
        if let State::Parts(parts) = &mut self.slots[index].state {
            let before = parts.memory();
            parts.expect(items);
            self.parts_bytes = self.parts_bytes + parts.memory() - before;
        }
    }

    /// Lets an array leave as it comes, unless a part of it has failed.
    pub fn leave(&mut self, sequence: Sequence, out: &mut Vec<u8>) {
        self.part(sequence, out, |parts, _, _| {
            parts.begin_leaving();
            true
        });
    }

    /// Whether an array leaves as it comes: what fails of it has to be written as an item.
    pub fn is_leaving(&self, sequence: Sequence) -> bool {
        self.parts(sequence).is_some_and(Parts::is_leaving)
    }

    /// The first item of an array that hasn't left.
    pub fn next_item(&self, sequence: Sequence) -> Option<usize> {
        self.parts(sequence)?.next_item()
    }

    /// Whether a command is the first that is owed.
    pub fn is_head(&self, sequence: Sequence) -> bool {
        !self.slots.is_empty() && sequence.0 == self.first
    }

    fn parts(&self, sequence: Sequence) -> Option<&Parts> {
        match &self.slots.get(self.index(sequence)?)?.state {
            State::Parts(parts) => Some(parts),
            State::Waiting | State::Done(_) => None,
        }
    }

    /// A command that answers the sum of `parts` numbers, each by [`ReplyQueue::add`].
    pub fn begin_sum(&mut self, context: C, parts: usize) -> Sequence {
        self.push_parts(context, Parts::new(parts, Body::Sum(0)))
    }

    /// A command that answers OK after `parts` of [`ReplyQueue::part_done`].
    pub fn begin_all(&mut self, context: C, parts: usize) -> Sequence {
        self.push_parts(context, Parts::new(parts, Body::AllDone))
    }

    /// A command that answers an array of unknown length: any number of [`ReplyQueue::push_item`], `parts` times
    /// [`ReplyQueue::part_done`].
    pub fn begin_list(&mut self, context: C, parts: usize) -> Sequence {
        self.push_parts(context, Parts::new(parts, Body::list()))
    }

    /// A command that is answered at once: begin and complete in one.
    pub fn answer(&mut self, context: C, out: &mut Vec<u8>, write: impl FnOnce(&mut Encoder<'_>)) {
        if self.slots.is_empty() {
            self.first += 1;
            write(&mut Encoder::new(out, self.protocol));
        } else {
            let sequence = self.begin(context);
            self.complete(sequence, out, write);
        }
    }

    /// Writes the whole reply of a command (one with parts too: what came of them is dropped). False if it isn't
    /// owed any more.
    pub fn complete(
        &mut self,
        sequence: Sequence,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> bool {
        let Some(index) = self.index(sequence) else { return false };
        if index == 0 {
            // The head is never done before its completion: flush would have sent it.
            if let Some(slot) = self.pop() {
                self.discard(slot.state);
                write(&mut Encoder::new(out, slot.protocol));
            }
            self.flush(out);
            return true;
        }
        let slot = &mut self.slots[index];
        if slot.state.is_ready() {
            return false;
        }
        let span = self.held.store(|bytes| write(&mut Encoder::new(bytes, slot.protocol)));
        let before = std::mem::replace(&mut slot.state, State::Done(span));
        self.discard(before);
        self.flush(out); // the head may be an array of no items
        self.compact_if_wasteful();
        true
    }

    /// Writes the item at `index` of a [`ReplyQueue::begin_array`]; exactly one element.
    pub fn item(
        &mut self,
        sequence: Sequence,
        index: usize,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> bool {
        if self.is_head(sequence)
            && let Some(Slot { state: State::Parts(parts), protocol, .. }) = self.slots.front_mut()
            && parts.is_next(index)
        {
            let (protocol, before) = (*protocol, parts.memory());
            parts.item_out(index, out, |out| write(&mut Encoder::new(out, protocol)));
            self.parts_bytes = self.parts_bytes + parts.memory() - before;
            self.flush(out);
            return true;
        }
        self.part(sequence, out, |parts, protocol, held| parts.item(index, protocol, held, write))
    }

    /// Adds one part's number to a [`ReplyQueue::begin_sum`].
    pub fn add(&mut self, sequence: Sequence, number: i64, out: &mut Vec<u8>) -> bool {
        self.part(sequence, out, |parts, _, _| parts.add(number))
    }

    /// Appends an element to a [`ReplyQueue::begin_list`]; exactly one.
    pub fn push_item(&mut self, sequence: Sequence, write: impl FnOnce(&mut Encoder<'_>)) -> bool {
        self.part(sequence, &mut Vec::new(), |parts, protocol, _| parts.push(protocol, write))
    }

    /// Says that one part of a [`ReplyQueue::begin_all`] or [`ReplyQueue::begin_list`] is done.
    pub fn part_done(&mut self, sequence: Sequence, out: &mut Vec<u8>) -> bool {
        self.part(sequence, out, |parts, _, _| parts.done())
    }

    /// Says that `parts` of a command failed (1 for a command without parts). The first error is the reply.
    pub fn fail(&mut self, sequence: Sequence, parts: usize, error: &str, out: &mut Vec<u8>) -> bool {
        match self.index(sequence).map(|index| &self.slots[index].state) {
            Some(State::Parts(_)) => self.part(sequence, out, |body, _, _| body.fail(parts, error)),
            Some(State::Waiting) => self.complete(sequence, out, |reply| reply.error(error)),
            Some(State::Done(_)) | None => false,
        }
    }

    fn part(
        &mut self,
        sequence: Sequence,
        out: &mut Vec<u8>,
        change: impl FnOnce(&mut Parts, Protocol, &mut Held) -> bool,
    ) -> bool {
        let Some(index) = self.index(sequence) else { return false };
        let slot = &mut self.slots[index];
        let State::Parts(parts) = &mut slot.state else { return false };
        let before = parts.memory();
        let accepted = change(parts, slot.protocol, &mut self.held);
        self.parts_bytes = self.parts_bytes + parts.memory() - before;
        if index == 0 {
            self.flush(out);
        }
        self.compact_if_wasteful();
        accepted
    }

    fn push_parts(&mut self, context: C, parts: Parts) -> Sequence {
        self.parts_bytes += parts.memory();
        self.push(context, State::Parts(Box::new(parts)))
    }

    #[inline]
    fn push(&mut self, context: C, state: State) -> Sequence {
        let sequence = Sequence(self.first + self.slots.len() as u64);
        if self.slots.capacity() == 0 {
            self.make_slots();
        }
        self.slots.push_back(Slot { context, protocol: self.protocol, state });
        sequence
    }

    #[cold]
    fn make_slots(&mut self) {
        self.slots.reserve_exact(self.slots_next);
    }

    fn index(&self, sequence: Sequence) -> Option<usize> {
        let index = usize::try_from(sequence.0.checked_sub(self.first)?).ok()?;
        (index < self.slots.len()).then_some(index)
    }

    fn pop(&mut self) -> Option<Slot<C>> {
        let slot = self.slots.pop_front()?;
        self.first += 1;
        if self.slots.is_empty() && self.slots.capacity() > KEEP_SLOTS_MAX {
            self.slots_next = self.slots.capacity() / 2;
            self.slots = VecDeque::new();
        }
        Some(slot)
    }

    /// Sends every reply at the front that is complete, and what there is of the first that isn't, if that leaves as it
    /// comes.
    fn flush(&mut self, out: &mut Vec<u8>) {
        self.flush_complete(out);
        if let Some(Slot { state: State::Parts(parts), protocol, .. }) = self.slots.front_mut()
            && parts.is_leaving()
        {
            let before = parts.memory();
            parts.leave(*protocol, &mut self.held, out);
            self.parts_bytes = self.parts_bytes + parts.memory() - before;
        }
    }

    fn flush_complete(&mut self, out: &mut Vec<u8>) {
        while self.slots.front().is_some_and(|slot| slot.state.is_ready()) {
            let Some(slot) = self.pop() else { return };
            match slot.state {
                State::Waiting => {}
                State::Done(span) => self.held.take(span, out),
                State::Parts(parts) => {
                    self.parts_bytes -= parts.memory();
                    parts.write(slot.protocol, &mut self.held, out);
                }
            }
        }
    }

    fn discard(&mut self, state: State) {
        match state {
            State::Waiting => {}
            State::Done(span) => self.held.release(span),
            State::Parts(parts) => {
                self.parts_bytes -= parts.memory();
                parts.release(&mut self.held);
            }
        }
    }

    fn compact_if_wasteful(&mut self) {
        if !self.held.is_wasteful(self.slots.len()) {
            return;
        }
        let spans = self.slots.iter_mut().flat_map(|slot| {
            let (done, parts) = match &mut slot.state {
                State::Waiting => (None, None),
                State::Done(span) => (Some(span), None),
                State::Parts(parts) => (None, Some(parts.spans_mut())),
            };
            done.into_iter().chain(parts.into_iter().flatten())
        });
        self.held.compact(spans);
    }
}

#[cfg(test)]
#[path = "order_test.rs"]
mod tests;
