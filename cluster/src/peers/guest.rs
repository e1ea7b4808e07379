//! A connection that another node began: it is welcomed or refused, and its pings are answered.
//!
//! Until it has said who it is it may be anybody's, and has little time.

use super::frame::{Hello, Message, Round, Verdict};
use super::settings::{Caller, DEAD_US, HELLO_US, PeerSettings};
use pinion_net::reactor::ConnId;

/// Without a ping for so long it is given up, microseconds: whoever began it has done so long before, if it could.
const SILENT_US: u64 = 3 * DEAD_US;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Guest {
    pub conn: ConnId,
    /// Who it is, and the connection's number, once it is welcome.
    known: Option<(Caller, u64)>,
    /// The last ping that was answered.
    answered: u64,
    /// When it came, or last said something that counts.
    heard_us: u64,
}

impl Guest {
    pub fn new(conn: ConnId, now_us: u64) -> Guest {
        Guest { conn, known: None, answered: 0, heard_us: now_us }
    }

    /// Who it is, once it is welcome.
    pub fn caller(&self) -> Option<Caller> {
        self.known.map(|(caller, _)| caller)
    }

    pub fn due_us(&self) -> u64 {
        self.heard_us + if self.known.is_some() { SILENT_US } else { HELLO_US }
    }

    pub fn is_dead(&self, now_us: u64) -> bool {
        self.due_us() <= now_us
    }

    /// The other node has sent something; how much of it was taken. Answers go to `out`.
    pub fn received(
        &mut self,
        bytes: &[u8],
        settings: &PeerSettings,
        now_us: u64,
        out: &mut Vec<u8>,
    ) -> (usize, Verdict) {
        let mut taken = 0;
        loop {
            let verdict = match Message::read(&bytes[taken..]) {
                Ok(None) => return (taken, Verdict::Goes),
                Ok(Some((message, len))) => {
                    taken += len;
                    self.take(message, settings, now_us, out)
                }
                // Whoever is welcome speaks as we do.
                Err(error) if self.known.is_none() => refuse(&error.to_string(), out),
                Err(_) => Verdict::Abort,
            };
            if verdict != Verdict::Goes {
                return (taken, verdict);
            }
        }
    }

    fn take(&mut self, message: Message, settings: &PeerSettings, now_us: u64, out: &mut Vec<u8>) -> Verdict {
        match (self.known, message) {
            (None, Message::Hello(hello)) => {
                if let Some(reason) = objection(&hello, settings) {
                    return refuse(reason, out);
                }
                let caller = Caller { node: hello.from, core: hello.core };
                (self.known, self.heard_us) = (Some((caller, hello.connection)), now_us);
                Message::Welcome { connection: hello.connection }.write(out);
            }
            (Some((_, connection)), Message::Ping(round)) if round.connection == connection => {
                return self.answer(round, now_us, out);
            }
            // It was sent over another connection.
            (Some(_), Message::Ping(_) | Message::Hello(_)) => {}
            _ => return Verdict::Abort,
        }
        Verdict::Goes
    }

    /// Pings come in their order, as they were sent over one stream; one that comes again was answered.
    fn answer(&mut self, round: Round, now_us: u64, out: &mut Vec<u8>) -> Verdict {
        if round.number > self.answered + 1 {
            return Verdict::Abort;
        }
        if round.number == self.answered + 1 {
            (self.answered, self.heard_us) = (round.number, now_us);
            Message::Pong(round).write(out);
        }
        Verdict::Goes
    }
}

fn refuse(reason: &str, out: &mut Vec<u8>) -> Verdict {
    Message::Refused { reason: reason.to_owned() }.write(out);
    Verdict::Close
}

/// Why a node isn't welcome, if it isn't.
fn objection(hello: &Hello, settings: &PeerSettings) -> Option<&'static str> {
    let peer = settings.peers.iter().find(|peer| peer.node == hello.from);
    if hello.cluster != settings.cluster {
        Some("this node belongs to another cluster")
    } else if hello.to != settings.node {
        Some("this is another node than the one that was meant")
    } else if let Some(peer) = peer {
        let has_core = usize::from(hello.core) < peer.addresses.len();
        (!has_core).then_some("this node knows of no such core of that peer")
    } else {
        Some("this node knows of no such peer")
    }
}
