//! Long replies go on leaving: a piece of each in a turn, as far as its client takes them and the turn has time.

use super::hub::Hub;
use super::turn::Turn;
use crate::session::pieces::Pieces;
use crate::session::sockets::Sockets;
use pinion_net::reactor::ConnId;

impl<S: Sockets> Turn<'_, S> {
    /// Writes the next piece of every reply that is leaving; of one in any case, however much the turn has taken in.
    pub fn leave(&mut self) {
        let most = self.hub.spent_max();
        for _ in 0..self.hub.leaving.len() {
            if self.hub.spent >= most {
                return;
            }
            let Some(conn) = self.hub.leaving.pop_front() else { return };
            self.leave_piece(conn);
        }
    }

    fn leave_piece(&mut self, conn: ConnId) {
        let Some(session) = self.hub.sessions.get(conn) else { return };
        if !session.dialogue.begin_piece() {
            return;
        }
        if self.io.is_over_budget(conn) {
            return self.io.tell_when_drained(conn);
        }
        let out = self.io.output(conn);
        let queued = out.len();
        let settled = session.dialogue.leave_piece(out);
        self.hub.memory.note_appended(out.len() - queued);
        self.hub.spent += Pieces::BYTES;
        match settled {
            Some(settled) => self.hub.settle(settled),
            None => self.hub.queue_leaving(conn),
        }
        self.hub.after_answers(self.io, conn);
    }
}

impl Hub {
    /// Lets the reply of a connection that leaves in pieces, if there is one, go on soon.
    pub fn queue_leaving(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get(conn)
            && session.dialogue.queue_leaving()
        {
            self.leaving.push_back(conn);
        }
    }
}
