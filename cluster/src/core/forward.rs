//! Requests on their way to other cores: who asked, which credits they hold, and which wait for one.
//!
//! A request whose core has a credit is sent at once. The parts of one large command may need more credits than there
//! are: what is too much waits in a backlog, in order, and its connection takes in nothing until it is empty. New commands
//! aren't begun while a core they need has no credit ([`Forwards::has_room`]), so a backlog holds parts of few commands.

use super::message;
use crate::mesh::Port;
use crate::session::listing::Slice;
use pinion_engine::shard::request::{Answer, Op, Request, Ticket};
use pinion_net::reactor::ConnId;
use std::collections::VecDeque;

/// What comes back for a request.
#[derive(Clone, Copy, Debug)]
pub struct Parcel {
    /// There is room for so many KiB of values in its answers.
    pub room_kib: u32,
    /// Answers still to come: one, but for [`Op::GetMany`].
    pub answers: usize,
    /// Room that was promised for them, bytes.
    pub promised: usize,
}

impl Parcel {
    /// One answer without values.
    const ONE: Parcel = Parcel { room_kib: 0, answers: 1, promised: 0 };

    /// What comes back for this request, where there is room for so many KiB of values. Nothing is promised.
    pub fn of(request: &Request<'_>, room_kib: u32) -> Parcel {
        let answers = match request.op {
            Op::GetMany { keys, .. } => keys.len().max(1),
            _ => 1,
        };
        Parcel { room_kib, answers, promised: 0 }
    }
}

/// A request that another core works on.
#[derive(Clone, Copy, Debug)]
struct Sent {
    ticket: Ticket,
    bytes: usize,
    parcel: Parcel,
}

/// A request that waits for a credit; its bytes begin with room for its slot.
struct Delayed {
    ticket: Ticket,
    parcel: Parcel,
    message: Vec<u8>,
}

/// The forwarded requests of a core.
pub struct Forwards {
    port: Port,
    sent: Vec<Option<Sent>>,
    free: Vec<u32>,
    backlogs: Vec<VecDeque<Delayed>>,
    /// Connections that wait for a credit of each core.
    waiting: Vec<Vec<ConnId>>,
    /// Requests ever sent.
    pub count: u64,
}

impl Forwards {
    /// The table for one end of the mesh, of so many cores.
    pub fn new(port: Port, cores: usize) -> Forwards {
        Forwards {
            port,
            sent: Vec::new(),
            free: Vec::new(),
            backlogs: (0..cores).map(|_| VecDeque::new()).collect(),
            waiting: vec![Vec::new(); cores],
            count: 0,
        }
    }

    /// This core's end of the mesh.
    pub fn port(&mut self) -> &mut Port {
        &mut self.port
    }

    /// Whether a new command may send to `core`.
    #[inline]
    pub fn has_room(&self, core: usize) -> bool {
        self.port.has_credit(core) && self.backlogs[core].is_empty()
    }

    /// Notes that a connection waits for [`Forwards::has_room`].
    pub fn wait(&mut self, core: usize, conn: ConnId) {
        self.waiting[core].push(conn);
    }

    /// How long writers to a core should be held back, in microseconds.
    pub fn delay_us(&self, core: usize) -> u32 {
        self.port.delay_us(core)
    }

    /// How long a long value may be that a core takes, in bytes.
    pub fn long_room(&self, core: usize) -> usize {
        self.port.long_room(core)
    }

    /// Nothing is under way, and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.sent.len() == self.free.len() && self.backlogs.iter().all(VecDeque::is_empty)
    }

    /// Sends a request, or delays it: then the answer is `false`.
    pub fn send(&mut self, core: usize, ticket: Ticket, parcel: Parcel, request: &Request<'_>) -> bool {
        self.send_encoded(core, ticket, parcel, |batch, slot| {
            message::write_request(batch, slot, parcel.room_kib, request);
        })
    }

    /// Asks another core for a place in a scan that it keeps.
    pub fn send_cursor(&mut self, core: usize, ticket: Ticket, cursor: u64) -> bool {
        self.send_encoded(core, ticket, Parcel::ONE, |batch, slot| message::write_cursor(batch, slot, cursor))
    }

    /// Asks another core for a slice of its connections.
    pub fn send_clients(&mut self, ticket: Ticket, slice: &Slice) -> bool {
        self.send_encoded(slice.core, ticket, Parcel::ONE, |batch, slot| {
            message::write_clients(batch, slot, &slice.wanted, slice.from)
        })
    }

    /// Asks another core for the place of a key that `dice` chooses.
    pub fn send_random(&mut self, core: usize, ticket: Ticket, dice: u64) -> bool {
        self.send_encoded(core, ticket, Parcel::ONE, |batch, slot| message::write_random(batch, slot, dice))
    }

    fn send_encoded(
        &mut self,
        core: usize,
        ticket: Ticket,
        parcel: Parcel,
        encode: impl FnOnce(&mut Vec<u8>, u64),
    ) -> bool {
        self.count += 1;
        if self.has_room(core) {
            let slot = self.take_slot();
            let bytes = self.port.request(core, |batch| encode(batch, slot as u64));
            self.sent[slot] = Some(Sent { ticket, bytes, parcel });
            return true;
        }
        let mut message = Vec::new();
        encode(&mut message, 0);
        self.backlogs[core].push_back(Delayed { ticket, parcel, message });
        false
    }

    fn take_slot(&mut self) -> usize {
        match self.free.pop() {
            Some(slot) => slot as usize,
            None => {
                self.sent.push(None);
                self.sent.len() - 1
            }
        }
    }

    /// Takes in an answer from `core`: the ticket it is for, and the promised room that it ends. The credit comes back with
    /// the last answer.
    pub fn answered(&mut self, core: usize, slot: u64, answer: &Answer<'_>) -> (Ticket, usize) {
        let place = slot as usize;
        let sent = self.sent[place].as_mut().expect("a core answers a request as often as it asks for");
        let (ticket, parcel) = (sent.ticket, &mut sent.parcel);
        // A refusal answers for all items, and one that waits has named those that are left.
        parcel.answers = if matches!(answer, Answer::Item { .. }) { parcel.answers - 1 } else { 0 };
        let mut promised = 0;
        if parcel.answers == 0 {
            promised = parcel.promised;
            let bytes = sent.bytes;
            self.sent[place] = None;
            self.free.push(slot as u32);
            self.port.credit(core, bytes);
        }
        (ticket, promised)
    }

    /// Sends what credits allow of the backlog to `core`; each ticket that leaves it is passed to `left`.
    pub fn pump(&mut self, core: usize, mut left: impl FnMut(Ticket)) {
        while self.port.has_credit(core) {
            let Some(Delayed { ticket, parcel, mut message }) = self.backlogs[core].pop_front() else {
                return;
            };
            let slot = self.take_slot();
            message::set_slot(&mut message, slot as u64);
            let bytes = self.port.request(core, |batch| batch.extend_from_slice(&message));
            self.sent[slot] = Some(Sent { ticket, bytes, parcel });
            left(ticket);
        }
    }

    /// The connections that waited for a credit of `core`, if there is one now.
    pub fn take_waiting(&mut self, core: usize) -> Vec<ConnId> {
        if self.has_room(core) { std::mem::take(&mut self.waiting[core]) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::owners::Owner;
    use crate::mesh::{Limits, mesh};
    use pinion_engine::{Keyspace, Partition};

    fn get(key: &[u8]) -> Request<'_> {
        Request { keyspace: Keyspace(0), partition: Partition(0), op: Op::Get { key } }
    }

    #[test]
    fn what_has_no_credit_waits_in_order_and_leaves_as_credits_come_back() {
        let limits = Limits { requests: 2, ..Limits::default() };
        let mut ports = mesh(2, limits);
        let mut there = ports.pop().unwrap();
        let mut here = Forwards::new(ports.pop().unwrap(), 2);
        let sent: Vec<bool> =
            (0..5).map(|n| here.send(1, Owner::Walk.ticket(n), Parcel::ONE, &get(&[n as u8]))).collect();
        assert_eq!(sent, [true, true, false, false, false]);
        let (mut seen, mut there_answers) = (Vec::new(), Vec::new());
        while !here.is_idle() {
            here.port().flush(|_| ());
            while let Some(batch) = there.take_requests(0) {
                message::each_request(&batch, |(slot, _), request| {
                    let message::Incoming::Request(Request { op: Op::Get { key }, .. }) = request else {
                        panic!()
                    };
                    seen.push(key[0]);
                    there_answers.push(slot);
                    true
                });
            }
            for slot in there_answers.drain(..) {
                there.answer(0, |batch| {
                    message::write_answer(batch, slot, &Answer::NotFound, &Default::default())
                });
            }
            there.flush(|_| ());
            while let Some(batch) = here.port().take_answers(1) {
                message::each_answer(&batch, &mut Default::default(), &Default::default(), |slot, answer| {
                    here.answered(1, slot, &answer);
                });
            }
            here.pump(1, |_| ());
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert!(here.has_room(1));
    }
}
