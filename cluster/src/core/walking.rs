//! Walks go on, some pages a turn.

use super::cost::SPENT_MAX;
use super::hub::Hub;
use super::turn::Turn;
use crate::route::origin::Origin;
use crate::session::question::Question;
use crate::session::sockets::Sockets;
use crate::session::walk::Walk;
use crate::session::walks::{Admission, Walks};

/// Walks that go on in one turn.
const WALK_STEPS_PER_TURN: usize = 8;

impl<S: Sockets> Turn<'_, S> {
    /// Asks a core, which may be this one, something that its shard doesn't answer.
    fn ask(&mut self, key: u64, core: usize, question: &Question) {
        let ticket = Origin::Walk.ticket(Walks::request(key, 0));
        if core == self.hub.route.me() {
            return self.answer_question(ticket, question);
        }
        let asked = (ticket, self.hub.deadline_us());
        self.hub.route.forwards.send_question(core, asked, &question.encode());
    }

    /// Lets walks go on, some pages a turn.
    pub fn walk(&mut self) {
        if self.shard.is_time_held() {
            return;
        }
        for step in 0..WALK_STEPS_PER_TURN {
            if step > 0 && self.hub.spent >= SPENT_MAX {
                break;
            }
            let Some(key) = self.hub.ready_walks.pop_front() else { break };
            self.walk_on(key);
        }
        while let Some(key) = self.hub.walks.next_admissible() {
            self.hub.queue_walk(key);
        }
    }

    fn walk_on(&mut self, key: u64) {
        let until_us = self.hub.deadline_us();
        let Hub { walks, sessions, .. } = &mut *self.hub;
        let Some(walk) = walks.get(key) else { return };
        walk.queued = false;
        if walk.is_done() {
            self.end_walk(key);
            return;
        }
        let (conn, keyspace, walk_until_us) = (walk.conn, walk.keyspace, walk.until_us);
        if sessions.get(conn).is_none() {
            // Nobody waits for it any more: it ends as soon as nothing of it is under way.
            if !walk.is_waiting() {
                walks.remove(key);
            }
            return;
        }
        match walks.admit(key) {
            Admission::Now => {}
            Admission::Later => return,
            Admission::Refused => return self.hub.queue_walk(key),
        }
        let Some(walk) = walks.get(key) else { return };
        if let Some((core, question)) = walk.question() {
            return self.ask(key, core, &question);
        }
        let deadline_us = until_us.min(walk_until_us);
        for ask in walk.asks() {
            let ticket = Origin::Walk.ticket(Walks::request(key, ask.lane));
            self.submit_read(ticket, usize::MAX, ask.request(keyspace).until(deadline_us));
        }
    }

    fn end_walk(&mut self, key: u64) {
        let Some(walk) = self.hub.walks.remove(key) else { return };
        let (conn, command, now_us) = (walk.conn, walk.command, self.hub.now.mono_us);
        let Hub { sessions, memory, clocks, .. } = &mut *self.hub;
        let Some((session, cursors)) = sessions.with_cursors(conn) else { return };
        let out = self.io.output(conn);
        let queued = out.len();
        let settled = session.dialogue.walked(command, walk.outcome(), (cursors, clocks, now_us), out);
        // What the walk was charged for lies in the output now, or leaves from its session in pieces.
        memory.note_appended(out.len() - queued);
        if let Some(settled) = settled {
            self.hub.settle(settled);
        }
        self.hub.queue_leaving(conn);
        self.hub.after_answers(self.io, conn);
    }

    /// Starts a walk.
    pub fn start_walk(&mut self, walk: Walk) {
        let key = self.hub.walks.insert(walk);
        self.hub.queue_walk(key);
    }
}
