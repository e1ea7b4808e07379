//! Who gets room in the memory for connections, who waits, and who has to go.
//!
//! 1. The beginning of a command of up to [`SMALL_BYTES`] is kept without asking. For a longer one its connection needs
//!    room for the whole ([`Hub::make_room`]): it is charged from then on, though memory is taken only as the bytes come. While
//!    there is none, nothing more is received of the connection (its client feels the back-pressure of TCP), in order.
//! 2. While memory is tight, a connection that has much output waiting is presented nothing ([`Hub::must_wait`]). The others
//!    go on until an eighth more than all is used up, and are the first to go on then: what they are answered asks for its own room.
//!    Room that comes back goes to answers that wait for it before it goes to long commands: they leave soon, if their clients
//!    read.
//! 3. A connection that holds memory and makes no progress for [`PATIENCE_US`] while others wait is closed, with an error
//!    where one can be said; where short commands or answers wait, one that has not moved for [`SHORT_PATIENCE_US`]. If all is
//!    used up, or all but what a short answer lacks, those are closed that have not moved for the longest; of such that are
//!    held, only who waits for memory itself.
//!
//! Only the last looks at all connections, now and then, and only while memory is tight.

use super::hub::Hub;
use super::memory::{Claim, Memory};
use crate::node::split::CONNECTION_BYTES;
use crate::session::sockets::Sockets;
use crate::session::{Hold, Session};
use pinion_net::reactor::ConnId;
use std::cmp::Reverse;

/// The beginning of a command up to this length is kept without asking for room.
pub const SMALL_BYTES: usize = 64 << 10;

/// How long a connection may hold memory without progress while others wait for it, in microseconds.
pub const PATIENCE_US: u64 = 3_000_000;

/// How long it may hold memory without moving at all while short commands or answers wait, in microseconds: these are what
/// most clients send, and soon through.
const SHORT_PATIENCE_US: u64 = 500_000;

/// To move less than this within [`PATIENCE_US`], and less than what is held, is no progress, bytes. Nor is it to move less
/// than such a part of what is held.
const PROGRESS_BYTES: usize = 64 << 10;
const PROGRESS_PART: usize = 8;

/// What a session that does nothing may keep for its next requests, bytes.
const IDLE_BYTES: usize = 8 << 10;

/// Room for an answer that was put off is looked for so long, in microseconds.
pub const LACK_US: u64 = 2 * PATIENCE_US;

/// Answers that lack room go before long commands for so long at a time, in microseconds.
const ANSWERS_FIRST_US: u64 = 1_000_000;

/// Connections are looked at so often while memory is tight, in microseconds.
const LOOK_US: u64 = 250_000;

/// While short ones wait.
const SHORT_LOOK_US: u64 = 50_000;

/// And so often while it is used up: what a look has freed must have gone back before the next.
const USED_UP_LOOK_US: u64 = 2_000;

/// With many connections less often: to look at one takes some hundredths of that.
const LOOK_US_PER_SESSION: u64 = 1;

/// A line in the log at most this often, in microseconds.
const TELL_US: u64 = 10_000_000;

/// Connections that had much output waiting are looked at so many at once.
const OTHERS_AT_ONCE: usize = 256;

/// What a connection that is closed is told.
pub const DISMISSED: &str = "the memory for connections is used up, and this one held some of it without going on: \
                             send commands whole, read replies as they come, or give the server more --memory";

/// A connection that may have to go.
struct Holder {
    conn: ConnId,
    bytes: usize,
    moved_in: u64,
    is_to_blame: bool,
}

impl Hub {
    /// The beginning of a command is there, which is `need` bytes long at least (0: none is). Gives it room, or holds the
    /// connection until there is some.
    #[inline]
    pub fn make_room(&mut self, io: &mut impl Sockets, conn: ConnId, need: usize) {
        if let Some(session) = self.sessions.get(conn)
            && (need > SMALL_BYTES || session.claim > 0)
        {
            self.claim(io, conn, need);
        }
    }

    fn claim(&mut self, io: &mut impl Sockets, conn: ConnId, need: usize) {
        let Some(session) = self.sessions.get(conn) else { return };
        let wanted = if need > SMALL_BYTES { need } else { 0 };
        if wanted <= session.claim {
            self.memory.unclaim(session.claim - wanted);
            session.claim = wanted;
            return io.wants(conn, wanted);
        }
        let (bytes, has) = (wanted - session.claim, session.claim);
        self.memory.note_sockets(io.held_bytes());
        if self.memory.may_claim(bytes, has) {
            self.grant(io, conn, bytes);
        } else {
            self.memory.wait_for_claim(Claim { conn, bytes, has });
            self.hold(io, conn, Hold::Memory);
        }
    }

    fn grant(&mut self, io: &mut impl Sockets, conn: ConnId, more: usize) {
        let Some(session) = self.sessions.get(conn) else { return };
        session.claim += more;
        self.memory.claim(more);
        io.wants(conn, session.claim);
        self.memory.note_sockets(io.held_bytes());
    }

    /// Whether a connection's input has to wait because memory is tight. Holds it then.
    #[cold]
    pub fn must_wait(&mut self, io: &mut impl Sockets, conn: ConnId) -> bool {
        let Some(session) = self.sessions.get(conn) else { return true };
        if session.claim > 0 {
            // Its command has its room and is there: to run it gives that back.
            return false;
        }
        let is_small = is_small(&self.memory, io, session);
        if is_small && !self.memory.is_overdrawn() {
            return false;
        }
        if !session.has(Hold::Memory) {
            self.memory.wait(conn, is_small);
            self.hold(io, conn, Hold::Memory);
        }
        true
    }

    /// Lets go on whom there is room for.
    fn let_go_on(&mut self, io: &mut impl Sockets) {
        self.see_who_is_small(io);
        while let Some(conn) = self.memory.next_small() {
            self.lift(io, conn, Hold::Memory);
        }
        // Answers go first where they and long commands wait for the same room, but not for ever.
        let answers_first = !self.starved.is_empty() && self.memory.is_lacking();
        let now_us = self.now.mono_us;
        let since_us = self.relief.answers_first_since_us.take().filter(|_| answers_first).unwrap_or(now_us);
        let answers_first = answers_first && now_us < since_us + ANSWERS_FIRST_US;
        self.relief.answers_first_since_us = answers_first.then_some(since_us);
        while !answers_first && let Some(conn) = self.memory.next_admissible() {
            self.lift(io, conn, Hold::Memory);
        }
        let next = |memory: &Memory| {
            if answers_first { memory.next_short_claim() } else { memory.next_claim() }
        };
        while let Some((claim, has_room)) = next(&self.memory) {
            let Claim { conn, bytes, .. } = claim;
            let is_there = self.sessions.get(conn).is_some_and(|session| session.has(Hold::Memory));
            if is_there && !has_room {
                break;
            }
            self.memory.drop_claim(claim);
            if is_there {
                self.grant(io, conn, bytes);
                self.lift(io, conn, Hold::Memory);
            }
        }
    }

    /// Whoever had much output waiting and has none any more goes on as others do that have little.
    fn see_who_is_small(&mut self, io: &impl Sockets) {
        for _ in 0..self.memory.others().min(OTHERS_AT_ONCE) {
            let Some(conn) = self.memory.take_other() else { return };
            if let Some(session) = self.sessions.get(conn) {
                let is_small = is_small(&self.memory, io, session);
                self.memory.wait(conn, is_small);
            }
        }
    }

    /// Closes connections that hold what others wait for.
    fn look_for_room(&mut self, io: &mut impl Sockets) {
        let now_us = self.now.mono_us;
        let is_used_up = self.memory.is_used_up();
        let mut holders = self.holders(io, is_used_up);
        if is_used_up {
            let last = holders.iter().map(|holder| holder.moved_in).max().unwrap_or(0);
            // Those last who hold next to nothing, and before them those whom the core itself keeps waiting. How long one
            // rests is told by powers of two, so that of two that rest about as long the one goes that holds more.
            holders.sort_unstable_by_key(|holder| {
                let rests_for = (last - holder.moved_in + 1).ilog2();
                let is_idle = holder.bytes <= IDLE_BYTES;
                (is_idle, !holder.is_to_blame, Reverse(rests_for), Reverse(holder.bytes), holder.conn)
            });
        } else {
            holders.sort_unstable_by_key(|holder| (Reverse(holder.bytes), holder.conn));
        }
        let wanted = self.memory.missing(is_used_up);
        let mut freed = 0;
        for holder in holders {
            if freed >= wanted {
                break;
            }
            freed += holder.bytes;
            self.dismiss(io, holder.conn);
            self.relief.closed += 1;
            self.relief.closed_bytes += holder.bytes;
            self.stats.dismissed += 1;
        }
        self.memory.note_sockets(io.held_bytes());
        if self.relief.closed > 0 && now_us >= self.relief.told_us {
            self.relief.told_us = now_us + TELL_US;
            let closed = std::mem::take(&mut self.relief.closed);
            let closed_bytes = std::mem::take(&mut self.relief.closed_bytes);
            tracing::warn!(
                "core {}: {closed} connections that held {closed_bytes} bytes of the memory for connections ({}) without \
                 going on were closed, because others waited for it",
                self.route.me(),
                self.memory.bytes_max()
            );
        }
    }

    /// Who may have to go: who made no progress; where all is used up everybody that holds something, unless the core keeps
    /// it waiting for something else than memory. Notes what those hold that are about to be gone.
    fn holders(&mut self, io: &impl Sockets, is_used_up: bool) -> Vec<Holder> {
        let now_us = self.now.mono_us;
        // What was seen while memory was tight another time says nothing of now.
        let has_short = self.has_short_waiting();
        let is_anew = self.relief.looked_us == 0 || now_us > self.relief.looked_us + PATIENCE_US;
        self.relief.looked_us = now_us;
        let (mut holders, mut leaving) = (Vec::new(), io.ending_bytes());
        let (mut waiting, mut going) = (Vec::new(), 0);
        for session in self.sessions.iter() {
            if session.dismissed {
                leaving += session.charged;
                continue;
            }
            let holding = io.holding(session.conn);
            let bytes = holding.bytes + session.charged - CONNECTION_BYTES;
            // Whoever is held because of others, or waits for its own answers, can't go on, unless it is output that its client
            // doesn't take, or a command that has room, which others wait for, and wants more.
            let wants_more = session.claim > 0 && session.has(Hold::Memory);
            let is_idle = !session.is_held() && session.in_flight() == 0 && !holding.has_news;
            let is_to_blame = holding.unread > 0 || wants_more || is_idle;
            let progress = (bytes / PROGRESS_PART).max(bytes.min(PROGRESS_BYTES)) as u64;
            if is_anew || !is_to_blame || holding.moved >= session.moved + progress {
                (session.moved, session.moved_us) = (holding.moved, now_us);
            }
            if is_anew || !is_to_blame || holding.moved != session.stirred {
                (session.stirred, session.stirred_us) = (holding.moved, now_us);
            }
            let rests = has_short && now_us >= session.stirred_us + SHORT_PATIENCE_US;
            let is_stuck = is_to_blame && (rests || now_us >= session.moved_us + PATIENCE_US);
            let holds_others_up = is_stuck && (holding.bytes > 0 || bytes > IDLE_BYTES);
            let may_go = is_used_up && bytes > 0 && (is_to_blame || session.has(Hold::Memory));
            let holder = Holder { conn: session.conn, bytes, moved_in: holding.moved_in, is_to_blame };
            if holds_others_up || may_go {
                holders.push(holder);
            } else if session.has(Hold::Memory) && !is_to_blame {
                waiting.push(holder);
            } else {
                going += bytes;
            }
        }
        self.memory.note_leaving(leaving);
        let stuck: usize = holders.iter().map(|holder| holder.bytes).sum();
        if self.memory.is_unclaimed() && stuck + going < self.memory.missing(is_used_up) {
            // Those who wait hold the room that they wait for: all but the first make way.
            let first = self.memory.next_claim().map(|(claim, _)| claim.conn);
            holders.extend(waiting.into_iter().filter(|holder| Some(holder.conn) != first));
        }
        holders
    }

    /// Closes a connection and says why, if its client may hear it.
    fn dismiss(&mut self, io: &mut impl Sockets, conn: ConnId) {
        let Some(session) = self.sessions.get(conn) else { return };
        let hears = io.queued(conn) == 0 && session.in_flight() == 0 && !session.closing;
        (session.closing, session.dismissed) = (true, true);
        if hears { session.dismiss(io, DISMISSED) } else { io.abort(conn) }
    }
}

/// Whether a connection has so little output waiting that it goes on while memory is tight.
fn is_small(memory: &Memory, io: &impl Sockets, session: &Session) -> bool {
    io.queued(session.conn) + session.held_bytes() <= memory.small_max()
}

impl Hub {
    /// Lets go on who waits for memory, and closes who holds it without going on. At the end of a turn.
    #[inline]
    pub fn relieve(&mut self, io: &mut impl Sockets) {
        if self.memory.has_waiting() || self.memory.is_exhausted() {
            self.find_room(io);
        }
    }

    #[cold]
    fn find_room(&mut self, io: &mut impl Sockets) {
        self.memory.note_sockets(io.held_bytes());
        self.memory.note_leaving(io.ending_bytes());
        self.memory.forget_lack(self.now.mono_us);
        self.let_go_on(io);
        let has_cause = self.memory.has_waiting() || self.memory.is_used_up();
        if has_cause && self.now.mono_us >= self.look_at_us() {
            self.look_for_room(io);
            self.let_go_on(io);
        }
    }

    /// Has those looked for who hold the memory without going on: an answer of so many bytes lacks room.
    pub fn lack(&mut self, bytes: usize, given: usize) {
        self.memory.lack(bytes, given, self.now.mono_us + LACK_US);
    }

    /// Whether a short command or answer waits for room.
    fn has_short_waiting(&self) -> bool {
        self.memory.has_short_claims() || self.starved.has_short()
    }

    /// When connections may be looked at again.
    fn look_at_us(&self) -> u64 {
        let pause_us = match self.memory.is_used_up() {
            true => USED_UP_LOOK_US.max(self.sessions.len() as u64 * LOOK_US_PER_SESSION),
            false if self.has_short_waiting() => SHORT_LOOK_US,
            false => LOOK_US,
        };
        self.relief.looked_us + pause_us
    }

    /// When memory is to be looked at again, if somebody waits or all is used up: at once where what is waited for leaves with
    /// this turn, or where an answer that lacked room finds it.
    pub fn next_look_us(&self) -> Option<u64> {
        let is_fed = !self.starved.is_empty() && !self.memory.is_lacking();
        let at_us = if is_fed || self.memory.appended() > 0 { 0 } else { self.look_at_us() };
        (is_fed || self.memory.has_waiting() || self.memory.is_used_up()).then_some(at_us)
    }
}
