//! What a core is told from outside, and how it goes down in two steps.
//!
//! 1. *Drain*: no new connections, no new input; everything taken in is answered, of a long command what is done so far. A
//!    connection is closed when its client has been sent its answers, and the core has drained when none is left. It goes on
//!    serving other cores, which drain too.
//! 2. *Stop*, when every core has drained or the time for it has passed: the shard settles its log, then its loop ends.

use super::performer::Performer;
use super::phase::Phase;
use super::state::CoreState;
use crate::session::Hold;
use crate::session::sockets::Sockets;

impl CoreState {
    /// The node stops: every core has drained, or had its time.
    pub fn stop(&mut self) {
        let (me, left) = (self.hub.route.me(), self.hub.sessions.len());
        if left > 0 && self.phase == Phase::Draining {
            tracing::warn!(
                "core {me}: clients that haven't taken their answers within --drain-timeout are cut off, {left} of them"
            );
        }
        self.shard.begin_shutdown();
        self.phase = Phase::Stopping;
    }

    /// The node goes down: nothing new is taken in.
    pub fn drain(&mut self, io: &mut impl Sockets) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Draining;
        self.hub.draining = true;
        io.stop_accepting();
        self.hub.peers.end(io);
        for session in self.hub.sessions.iter() {
            if session.hold(Hold::Drain) {
                io.pause(session.conn);
            }
            session.go_down();
            // One that is in the middle of a slice ends behind it.
            if session.dialogue.is_between_slices() {
                session.abandon_long(io);
            }
            session.close_if_over(io);
        }
    }

    /// Goes on with going down, at the end of a turn.
    pub fn go_down<S: Sockets>(&mut self, io: &mut S, performer: &impl Performer<S>) {
        if self.phase == Phase::Draining && self.is_drained() {
            self.phase = Phase::Drained;
            self.events.drained(self.hub.route.me());
        }
        if self.phase == Phase::Stopping && performer.is_idle() && self.shard.is_idle() {
            if let Some(reason) = self.shard.failure_at_stop() {
                self.failure.get_or_insert_with(|| reason.to_owned());
            }
            io.stop();
        }
    }

    /// Whether nobody waits any more, for an answer or for the rest of one: a connection that is answered is closed
    /// behind its output.
    fn is_drained(&mut self) -> bool {
        self.hub.sessions.len() == 0 && self.hub.walks.is_empty() && self.hub.route.forwards.is_idle()
    }
}
