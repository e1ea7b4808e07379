//! Listens to what nodes send each other, message by message, and lets old messages come again.

use super::connection::{Connection, End};
use pinion_cluster::peers::frame::Message;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};

/// A message that one end of a connection sent, heard where it leaves or where it arrives. One that comes again isn't heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The connection.
    pub number: usize,
    /// Whoever began the connection sent it.
    pub is_callers: bool,
    /// It has arrived.
    pub has_arrived: bool,
    /// What it was; `None`: bytes that are no message.
    pub message: Option<Message>,
}

/// What is heard of one direction of a connection.
#[derive(Debug, Default)]
pub struct Tap {
    /// The beginning of a message.
    part: Vec<u8>,
    /// Messages so far.
    heard: u64,
    /// The latest of them.
    latest: VecDeque<Vec<u8>>,
}

/// So many messages of a direction are remembered.
const REMEMBERED: usize = 6;

impl Tap {
    /// Bytes were sent; the messages that are whole now.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Option<Message>> {
        self.part.extend_from_slice(bytes);
        let mut messages = Vec::new();
        loop {
            match Message::read(&self.part) {
                Ok(None) => return messages,
                Ok(Some((message, len))) => {
                    self.heard += 1;
                    self.latest.push_back(self.part.drain(..len).collect());
                    if self.latest.len() > REMEMBERED {
                        self.latest.pop_front();
                    }
                    messages.push(Some(message));
                }
                Err(_) => {
                    self.part.clear();
                    messages.push(None);
                    return messages;
                }
            }
        }
    }

    /// Whether another message may come behind what was sent: the greeting is over, and no message is under way.
    pub fn is_between(&self) -> bool {
        self.heard > 0 && self.part.is_empty()
    }
}

/// From which core to which.
type Pair = ((usize, usize), (usize, usize));

/// Messages of connections that are over, and how often they come again.
#[derive(Debug)]
pub struct Echoes {
    share: u32,
    old: BTreeMap<Pair, Vec<Vec<u8>>>,
    played: u64,
}

impl Echoes {
    pub fn new(share: u32) -> Echoes {
        Echoes { share, old: BTreeMap::new(), played: 0 }
    }

    pub fn stop(&mut self) {
        self.share = 0;
    }

    pub fn played(&self) -> u64 {
        self.played
    }

    fn pair(from: &End, to: &End) -> Pair {
        ((from.node, from.core), (to.node, to.core))
    }

    /// A connection is over.
    pub fn remember(&mut self, connection: &mut Connection) {
        for side in 0..2 {
            let pair = Echoes::pair(&connection.ends[side], &connection.ends[1 - side]);
            let latest = std::mem::take(&mut connection.taps[side].latest);
            if !latest.is_empty() {
                self.old.insert(pair, latest.into());
            }
        }
    }

    /// A message of an earlier connection between these cores, if one is to come behind what was just sent.
    pub fn draw(&mut self, connection: &Connection, side: usize, rng: &mut SmallRng) -> Option<Vec<u8>> {
        if self.share == 0 || !rng.random_ratio(self.share, 1000) {
            return None;
        }
        let old = self.old.get(&Echoes::pair(&connection.ends[side], &connection.ends[1 - side]))?;
        self.played += 1;
        Some(old[rng.random_range(0..old.len())].clone())
    }
}
