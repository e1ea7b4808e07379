//! What other cores send: answers, requests for this core's shard, and questions to the core itself.

use super::brake::{BRAKE_DELAY_US, COMMIT_OPS_MAX, COMMIT_REQUESTS_MAX};
use super::cost::{MailShare, SPENT_MAX};
use super::deliver::{Sink, deliver};
use super::turn::{Turn, cost};
use crate::route::message::{self, Envelope, Incoming, Taker, Told, answers};
use crate::route::origin::Origin;
use crate::session::question::Question;
use crate::session::resp::clients;
use crate::session::sockets::Sockets;
use crate::session::walk::resume_point::{ResumePoint, place_bytes};
use pinion_engine::shard::request::{Answer, Page, Ticket};

/// Bytes that a forming log write may have before requests of other cores wait for the next one. With the largest requests
/// under way it stays below what a shard takes into one commit.
const TAKEN_OVER_BYTES_MAX: usize = 3 << 20;

/// Writes that a forming log write may have before requests of other cores are left where they are.
const TAKEN_OVER_OPS_MAX: usize = 2 * COMMIT_OPS_MAX;

impl<S: Sockets> Turn<'_, S> {
    /// Takes in what other cores sent: all answers, and requests as long as they may take of a turn. Cores take turns in
    /// being the first.
    pub fn take_mail(&mut self) {
        let peers = self.hub.route.forwards.port().peers();
        peers.clone().for_each(|core| self.take_answers(core));
        peers.clone().for_each(|core| self.hear(core));
        let hub = &mut *self.hub;
        hub.mail = MailShare { rounds: hub.mail.rounds + 1, ..MailShare::begun_at(hub.spent) };
        let (count, first) = (peers.clone().count(), hub.mail.rounds);
        for core in peers.cycle().skip(first % count.max(1)).take(count) {
            self.take_requests(core);
        }
        let hub = &mut *self.hub;
        hub.mail.is_left = hub.spent >= hub.mail.requests_until && hub.route.forwards.port().has_mail();
        hub.mail.answers_until = SPENT_MAX;
    }

    fn take_answers(&mut self, core: usize) {
        let (mut page, clocks) = (Page::default(), self.hub.clocks);
        while let Some(batch) = self.hub.route.forwards.port().take_answers(core) {
            answers::each_answer(&batch, &mut page, &clocks, |slot, answer| {
                let (ticket, promised) = self.hub.route.forwards.answered(core, slot, &answer);
                self.hub.memory.keep_promise(promised);
                deliver(self.hub, self.io, ticket, &answer);
            });
            self.hub.route.forwards.port().recycle(batch);
            self.hub.use_credits(self.io, core);
        }
    }

    /// Takes in what a core tells, whatever else is held up.
    fn hear(&mut self, core: usize) {
        while let Some(batch) = self.hub.route.forwards.port().take_told(core) {
            message::each_told(&batch, |Told::Forget(read)| self.shard.forget(read));
            self.hub.route.forwards.port().recycle(batch);
        }
    }

    fn take_requests(&mut self, core: usize) {
        while let Some(batch) = self.hub.route.forwards.port().take_requests(core) {
            let taken = message::each_request(&batch, &mut Mailbox { turn: self, core });
            let port = self.hub.route.forwards.port();
            if taken < batch.len() {
                return port.put_back(core, batch, taken);
            }
            port.recycle(batch);
        }
    }

    /// Whether a request of `core` is taken in now. Writes that are under way can't be held at their origin any more; a
    /// shard that is nearly full leaves them where they are rather than refuse them, unless it refuses all.
    fn takes_over(&mut self, core: usize) -> bool {
        let most = self.hub.log_write_bytes_max.min(TAKEN_OVER_BYTES_MAX);
        self.hub.spent < self.hub.mail.requests_until
            && !self.shard.is_time_held()
            && self.shard.forming_bytes() < most
            && self.shard.forming_requests() < COMMIT_REQUESTS_MAX
            && self.shard.forming_ops() < TAKEN_OVER_OPS_MAX
            && (self.shard.write_delay_us() < BRAKE_DELAY_US || self.shard.read_only_reason().is_some())
            && self.hub.route.forwards.port().keeps_up(core)
    }

    fn take_request(&mut self, core: usize, envelope: &Envelope, incoming: Incoming<'_>) {
        let ticket = Origin::Core { core, room_kib: envelope.room_kib }.ticket(envelope.slot);
        self.hub.stats.taken_over += 1;
        match incoming {
            Incoming::Request(request) => {
                self.hub.spent += cost(&request);
                self.shard.request(ticket, request, &mut Sink { hub: self.hub, io: self.io });
            }
            Incoming::Question(question) => {
                let question = Question::decode(question).expect("cores send whole messages");
                self.answer_question(ticket, &question);
            }
        }
    }

    /// Answers what this core itself is asked.
    pub(super) fn answer_question(&mut self, ticket: Ticket, question: &Question) {
        match question {
            Question::Cursor(cursor) => {
                let place = self.hub.sessions.cursors.take(*cursor);
                self.deliver_place(ticket, place);
            }
            Question::Clients(wanted, from) => {
                let (page, next) = clients::slice(self, wanted, *from);
                let next = next.map(u32::to_le_bytes);
                let answer = Answer::Page { page: &page, next: next.as_ref().map(|next| &next[..]) };
                deliver(self.hub, self.io, ticket, &answer);
            }
            Question::Random(dice) => {
                let place = self.shard.random_place(*dice);
                self.deliver_place(ticket, place);
            }
        }
    }

    fn deliver_place(&mut self, ticket: Ticket, place: Option<ResumePoint>) {
        let bytes = place.as_ref().map(place_bytes);
        let page = Page::default();
        let answer = match &bytes {
            Some(bytes) => Answer::Page { page: &page, next: Some(bytes) },
            None => Answer::NotFound,
        };
        deliver(self.hub, self.io, ticket, &answer);
    }
}

/// What a core has sent, on its way in.
struct Mailbox<'t, 'a, S> {
    turn: &'t mut Turn<'a, S>,
    core: usize,
}

impl<S: Sockets> Taker for Mailbox<'_, '_, S> {
    /// One that nobody waits for any more is taken in however little there is to spare: it is refused, and its credit is free.
    fn wants(&mut self, envelope: &Envelope) -> bool {
        self.turn.takes_over(self.core) || envelope.deadline_us < self.turn.hub.now.mono_us
    }

    fn take(&mut self, envelope: &Envelope, incoming: Incoming<'_>) {
        self.turn.take_request(self.core, envelope, incoming);
    }
}
