//! Requests on their way to other cores: who asked, which credits they hold, and which wait for one.
//!
//! A request whose core has a credit is sent at once. The parts of one large command may need more credits than there
//! are: what is too much waits in a backlog, in order, and its connection takes in nothing until it is empty. New commands
//! aren't begun while a core they need has no credit ([`Forwards::has_room`]), so a backlog holds parts of few commands.
//!
//! The core that owns a request ends it at its deadline, and its credit comes back with that. Should that core be stuck, its
//! sender ends it a little later ([`Forwards::take_overdue`]); the credit is the reservation of the answer's room, so it stays away
//! until that core goes on, and an answer that comes then is for nobody.

use super::backlog::Backlog;
use super::message::{self, Envelope};
use super::origin::Origin;
use super::parcel::{Overdue, Parcel};
use crate::mesh::Port;
use pinion_engine::due::Due;
use pinion_engine::shard::request::{Answer, NO_DEADLINE, Request, Ticket};
use pinion_net::reactor::ConnId;

/// How much later than its deadline a request is ended whose core doesn't do it, microseconds.
const GRACE_US: u64 = 1_000_000;

/// Deadlines are looked at so often at most, microseconds.
const LOOK_US: u64 = 100_000;

/// A request that another core works on.
#[derive(Clone, Copy, Debug)]
struct Sent {
    ticket: Ticket,
    bytes: usize,
    parcel: Parcel,
}

/// The forwarded requests of a core.
pub struct Forwards {
    port: Port,
    sent: Vec<Option<Sent>>,
    free: Vec<u32>,
    /// What waits for each core.
    backlogs: Vec<Backlog>,
    /// Of what is sent and what waits.
    due: Due,
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
            backlogs: (0..cores).map(|_| Backlog::default()).collect(),
            due: Due::default(),
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
        self.backlogs[core].wait(conn);
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
        self.sent.len() == self.free.len() && self.backlogs.iter().all(Backlog::is_empty)
    }

    /// Sends a request, or delays it: then the answer is `false`.
    pub fn send(&mut self, core: usize, ticket: Ticket, parcel: Parcel, request: &Request<'_>) -> bool {
        self.send_encoded(core, ticket, parcel, |batch, envelope| {
            message::write_request(batch, envelope, request);
        })
    }

    /// Asks another core itself something; the question was encoded by sessions, and is for those of that core.
    pub fn send_question(
        &mut self,
        core: usize,
        (ticket, deadline_us): (Ticket, u64),
        question: &[u8],
    ) -> bool {
        self.send_encoded(core, ticket, Parcel::one(deadline_us), |batch, envelope| {
            message::write_question(batch, envelope, question);
        })
    }

    fn send_encoded(
        &mut self,
        core: usize,
        ticket: Ticket,
        parcel: Parcel,
        encode: impl FnOnce(&mut Vec<u8>, Envelope),
    ) -> bool {
        self.count += 1;
        self.due.note(parcel.deadline_us);
        if self.has_room(core) {
            let slot = self.take_slot();
            let bytes = self.port.request(core, |batch| encode(batch, parcel.envelope(slot as u64)));
            self.sent[slot] = Some(Sent { ticket, bytes, parcel });
            return true;
        }
        let mut message = Vec::new();
        encode(&mut message, parcel.envelope(0));
        self.backlogs[core].push(ticket, parcel, message);
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
            let Some(mut delayed) = self.backlogs[core].pop() else { return };
            let (slot, ticket, parcel) = (self.take_slot(), delayed.ticket, delayed.parcel);
            let message = delayed.message(slot as u64);
            let bytes = self.port.request(core, |batch| batch.extend_from_slice(message));
            self.sent[slot] = Some(Sent { ticket, bytes, parcel });
            left(ticket);
        }
    }

    /// Takes out what is in the backlog and whose time is over, and ends what was sent and should have been answered for some time.
    pub fn take_overdue(&mut self, now_us: u64) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        if !self.due.is_over(now_us) {
            return overdue;
        }
        let mut next_us = NO_DEADLINE;
        for backlog in &mut self.backlogs {
            next_us = next_us.min(backlog.take_overdue(now_us, &mut overdue));
        }
        for Sent { ticket, parcel, .. } in self.sent.iter_mut().flatten() {
            let due_us = parcel.deadline_us.saturating_add(GRACE_US);
            if due_us < now_us && parcel.deadline_us != NO_DEADLINE {
                overdue.push(Overdue {
                    ticket: *ticket,
                    was_backlogged: false,
                    may_be_done: parcel.is_write,
                    // It is free when the answer comes.
                    promised: 0,
                    read: None,
                });
                (*ticket, parcel.deadline_us) = (Origin::Nobody.ticket(0), NO_DEADLINE);
            } else {
                next_us = next_us.min(due_us);
            }
        }
        self.due.looked(next_us, now_us, LOOK_US);
        overdue
    }

    /// When there may be something overdue.
    pub fn due_us(&self) -> Option<u64> {
        let at_us = self.due.at_us();
        (at_us != NO_DEADLINE).then(|| at_us.saturating_add(1))
    }

    /// The connections that waited for a credit of `core`, if there is one now.
    pub fn take_waiting(&mut self, core: usize) -> Vec<ConnId> {
        if self.has_room(core) { self.backlogs[core].take_connections() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::{Limits, mesh};
    use crate::route::message::{Incoming, Taker, answers};
    use pinion_engine::Partition;
    use pinion_engine::shard::request::Op;

    fn get(key: &[u8]) -> Request<'_> {
        Request::new(Partition(0), Op::Get { key })
    }

    fn send(here: &mut Forwards, n: u64, deadline_us: u64) -> bool {
        let key = [n as u8];
        let request = get(&key).until(deadline_us);
        here.send(1, Origin::Walk.ticket(n), Parcel::of(&request, 0), &request)
    }

    /// Keys and slots of what came.
    struct Taken<'a>(&'a mut Vec<u8>, &'a mut Vec<u64>);

    impl Taker for Taken<'_> {
        fn wants(&mut self, _envelope: &Envelope) -> bool {
            true
        }

        fn take(&mut self, envelope: &Envelope, incoming: Incoming<'_>) {
            let Incoming::Request(Request { op: Op::Get { key }, .. }) = incoming else { panic!() };
            self.0.push(key[0]);
            self.1.push(envelope.slot);
        }
    }

    #[test]
    fn what_is_overdue_ends_once_and_gives_its_credit_back_when_its_core_goes_on() {
        let mut ports = mesh(2, Limits { requests: 2, ..Limits::default() });
        let mut there = ports.pop().unwrap();
        let mut here = Forwards::new(ports.pop().unwrap(), 2);
        for n in 0..4 {
            send(&mut here, n, 1000 + n);
        }
        assert_eq!(here.due_us(), Some(1001));
        let ended = |here: &mut Forwards, now_us| -> Vec<(u64, bool, bool)> {
            let all = here.take_overdue(now_us).into_iter();
            all.map(|one| (one.ticket.request, one.was_backlogged, one.may_be_done)).collect()
        };
        assert_eq!(ended(&mut here, 1003), [(2, true, false)]);
        assert_eq!(ended(&mut here, 1004), [], "it isn't looked at for each");
        assert_eq!(ended(&mut here, 200_000), [(3, true, false)]);
        let late_us = GRACE_US + 200_000;
        assert_eq!(ended(&mut here, late_us), [(0, false, false), (1, false, false)]);
        assert_eq!((ended(&mut here, 2 * late_us), here.due_us()), (Vec::new(), None));
        assert!(!here.has_room(1) && !here.is_idle());
        here.port().flush(|_| ());
        let (mut keys, mut slots) = (Vec::new(), Vec::new());
        let batch = there.take_requests(0).unwrap();
        message::each_request(&batch, &mut Taken(&mut keys, &mut slots));
        for slot in slots {
            let (ticket, _) = here.answered(1, slot, &Answer::NotFound);
            assert_eq!(Origin::of(ticket), Some(Origin::Nobody));
        }
        assert!(here.has_room(1) && here.is_idle());
    }

    #[test]
    fn what_has_no_credit_waits_in_order_and_leaves_as_credits_come_back() {
        let limits = Limits { requests: 2, ..Limits::default() };
        let mut ports = mesh(2, limits);
        let mut there = ports.pop().unwrap();
        let mut here = Forwards::new(ports.pop().unwrap(), 2);
        let sent: Vec<bool> = (0..5).map(|n| send(&mut here, n, NO_DEADLINE)).collect();
        assert_eq!(sent, [true, true, false, false, false]);
        let (mut seen, mut there_answers) = (Vec::new(), Vec::new());
        while !here.is_idle() {
            here.port().flush(|_| ());
            while let Some(batch) = there.take_requests(0) {
                message::each_request(&batch, &mut Taken(&mut seen, &mut there_answers));
            }
            for slot in there_answers.drain(..) {
                there.answer(0, |batch| {
                    answers::write_answer(batch, slot, &Answer::NotFound, &Default::default())
                });
            }
            there.flush(|_| ());
            while let Some(batch) = here.port().take_answers(1) {
                answers::each_answer(&batch, &mut Default::default(), &Default::default(), |slot, answer| {
                    here.answered(1, slot, &answer);
                });
            }
            here.pump(1, |_| ());
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert!(here.has_room(1));
    }
}
