//! What nodes say to each other, held against what they were sent.
//!
//! 1. Over a connection whoever began it says hello, then sends pings 1, 2, 3 ...; the other end says welcome, then answers each
//!    ping once, in order, behind it. All of it names the connection.
//! 2. What a node takes for answered was answered, over that very connection: the pong has arrived.
//! 3. What a node remembers of its peers is bounded.
//! 4. Nodes of two clusters are never connected.

use super::{Broken, ClusterCheck, Held};
use crate::links::Heard;
use crate::net::CONNECTIONS_OUT_MAX;
use crate::node::Node;
use crate::setup::store_id;
use pinion_cluster::peers::PINGS_MAX;
use pinion_cluster::peers::frame::Message;
use pinion_cluster::peers::frame::{BODY_BYTES_MAX, HEADER_BYTES};
use std::collections::BTreeMap;

/// A ping, or a pong, bytes.
const ROUND_BYTES: usize = HEADER_BYTES + 16;
/// What a socket may hold, bytes: a part of a message that came in, one that greets or refuses, and all pings under way, or the
/// pongs to them.
const SOCKET_BYTES_MAX: usize = 2 * (HEADER_BYTES + BODY_BYTES_MAX) + PINGS_MAX * ROUND_BYTES;

/// What was heard of a connection.
#[derive(Debug, Default)]
struct Talk {
    /// Its number in the hello.
    connection: Option<u64>,
    pings: u64,
    pongs: u64,
    arrived_pongs: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Pings {
    talks: BTreeMap<usize, Talk>,
    by_connection: BTreeMap<u64, usize>,
    /// The node that belongs to another cluster.
    stranger: Option<usize>,
}

impl Pings {
    /// Nothing was heard. One of the nodes may be of another cluster.
    pub fn new(stranger: Option<usize>) -> Pings {
        Pings { talks: BTreeMap::new(), by_connection: BTreeMap::new(), stranger }
    }

    /// What each socket holds, bytes.
    fn hold_little(sockets: impl Iterator<Item = usize>, who: &dyn std::fmt::Display) -> Held {
        match sockets.max() {
            Some(bytes) if bytes > SOCKET_BYTES_MAX => {
                let (most, seen) = (format!("{SOCKET_BYTES_MAX} bytes"), format!("{who}: {bytes} bytes"));
                Err(Broken::new("what a socket of a peer holds stays bounded", most, seen))
            }
            _ => Ok(()),
        }
    }
}

impl ClusterCheck for Pings {
    fn heard(&mut self, heard: &Heard) -> Held {
        let talk = self.talks.entry(heard.number).or_default();
        let is_callers = heard.is_callers;
        let fits = match &heard.message {
            Some(Message::Pong(round)) if heard.has_arrived => {
                talk.arrived_pongs = round.number;
                true
            }
            // It was looked at when it left.
            _ if heard.has_arrived => true,
            Some(Message::Hello(hello)) if is_callers && talk.connection.is_none() => {
                talk.connection = Some(hello.connection);
                self.by_connection.insert(hello.connection, heard.number).is_none()
            }
            Some(Message::Welcome { connection }) => !is_callers && talk.connection == Some(*connection),
            Some(Message::Refused { .. }) => !is_callers,
            Some(Message::Ping(round)) => {
                talk.pings += 1;
                is_callers && talk.connection == Some(round.connection) && round.number == talk.pings
            }
            Some(Message::Pong(round)) => {
                talk.pongs += 1;
                let is_next = round.number == talk.pongs && round.number <= talk.pings;
                !is_callers && talk.connection == Some(round.connection) && is_next
            }
            _ => false,
        };
        let seen = || format!("{:?} on connection {}, {talk:?}", heard.message, heard.number);
        if fits { Ok(()) } else { Err(Broken::new("peers say what is due", "that", seen())) }
    }

    fn turned(&mut self, number: usize, node: &Node, core: usize) -> Held {
        let (peers, net) = (node.cores[core].state.peers(), &node.cores[core].net);
        let (places, (guests, guests_max)) = (net.places(), peers.guests());
        if places > CONNECTIONS_OUT_MAX + guests_max {
            let seen = format!("node {number}, core {core}: {places}, for {guests_max} guests at most");
            return Err(Broken::new("peers take a bounded number of sockets", "few", seen));
        }
        Pings::hold_little(net.held_each(), &format_args!("node {number}, core {core}"))?;
        for status in peers.status() {
            if status.unanswered > PINGS_MAX || guests > guests_max {
                let seen = format!("node {number}: {guests} guests, {status:?}");
                return Err(Broken::new("what peers take stays bounded", "few of each", seen));
            }
            let Some(connection) = status.connection else { continue };
            let is_strange = |node| self.stranger == Some(node);
            let is_far = self.stranger.is_some_and(|stranger| status.node == store_id(stranger));
            if is_far != is_strange(number) {
                let seen = format!("node {number}: {status:?}");
                return Err(Broken::new("nodes of two clusters aren't connected", "no connection", seen));
            }
            let talk = self.by_connection.get(&connection).and_then(|number| self.talks.get(number));
            let answered = talk.map_or(0, |talk| talk.arrived_pongs);
            if status.answered > answered {
                let seen = format!("node {number}: {status:?}");
                let expected = format!("{answered} answers of connection {connection}");
                return Err(Broken::new("a ping is answered by its own pong", expected, seen));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_cluster::peers::frame::{Hello, Round};

    fn say(pings: &mut Pings, is_callers: bool, message: Message) -> Held {
        pings.heard(&Heard { number: 1, is_callers, has_arrived: false, message: Some(message) })
    }

    #[test]
    fn a_talk_in_order_is_held_and_a_pong_of_another_connection_is_not() {
        let mut pings = Pings::new(None);
        let hello = Hello { cluster: [1; 16], from: [2; 16], to: [3; 16], connection: 4, core: 0 };
        let round = |number| Round { connection: 4, number };
        assert_eq!(say(&mut pings, true, Message::Hello(hello)), Ok(()));
        assert_eq!(say(&mut pings, false, Message::Welcome { connection: 4 }), Ok(()));
        assert_eq!(say(&mut pings, true, Message::Ping(round(1))), Ok(()));
        assert_eq!(say(&mut pings, false, Message::Pong(round(1))), Ok(()));
        assert!(say(&mut pings, false, Message::Pong(round(2))).is_err(), "nobody asked");
        assert!(say(&mut pings, true, Message::Ping(Round { connection: 5, number: 2 })).is_err());
        assert!(say(&mut pings, false, Message::Ping(round(3))).is_err(), "the wrong end");
    }

    #[test]
    fn a_socket_that_holds_too_much_is_seen_beside_any_number_that_hold_nothing() {
        let held =
            |most| Pings::hold_little((0..100).map(|socket| if socket == 7 { most } else { 0 }), &"node 1");
        assert_eq!(held(SOCKET_BYTES_MAX), Ok(()));
        assert!(held(SOCKET_BYTES_MAX + 1).is_err());
    }
}
