//! What clients ask for, and what becomes of it.
//!
//! Half of the clients have their writes done once: of one whose outcome nobody knows they go on sending copies, to any machine, until
//! one is answered. In the history of its key that is one request.

use super::Replicated;
use super::clients::{Asked, Client, Errand, Heard, Letter, Reply, with_op};
use super::linear::{ACTS_MAX, Act, LONG_US, Request};
use super::machine::{BESIDE, REPLICATED};
use crate::trace::Event;
use pinion_cluster::consensus::Replica;
use pinion_engine::shard::request::{Request as ShardRequest, Ticket};
use rand::Rng;
use rand::seq::IndexedRandom;

/// A request has so long, microseconds.
const PATIENCE_US: u64 = 1_500_000;

/// A client waits so long for its machine, microseconds; then it asks another.
const GIVES_UP_US: std::ops::Range<u64> = 200_000..2_000_000;

/// Keys of the group that are asked for at a time; the first ones have long values now and then, and none are counters.
const SLOTS: u64 = 6;
const LONG_SLOTS: u64 = 2;

/// Keys from here on are of the groups beside: so many for each machine, of which so many are asked for at a time.
const BESIDE_KEYS: u64 = 1 << 32;
const BESIDE_SLOTS: u64 = 2;

/// How long numbers stay that expire, microseconds.
const EXPIRE_US: [u64; 4] = [50_000, 400_000, 2_000_000, LONG_US];

/// The machine whose own group a key is in; `None`: it is in the one that is replicated.
fn beside(key: u64) -> Option<usize> {
    (key / BESIDE_KEYS).checked_sub(1).map(|machine| machine as usize)
}

impl Replicated {
    /// A client asks for the next thing, if it waits for nothing.
    pub(super) fn ask(&mut self, client: usize) {
        let Client { waits_for, gives_up_us, next_us, errand, .. } = self.clients[client];
        if let Some(request) = waits_for {
            if gives_up_us < self.now_us {
                self.counters.count("requests given up");
                self.clients[client].asks = self.streams.clients.random_range(0..self.machines.len());
                self.hear(Reply { request, heard: Heard::Unknown { is_forgotten: false } });
                self.given_up.insert(request);
            }
            return;
        }
        if next_us > self.now_us {
            return;
        }
        if let Some(errand) = errand {
            self.counters.count("requests sent again");
            return self.send(client, errand);
        }
        if self.is_calm {
            if let Some(key) = self.unread.pop() {
                self.begin_errand(client, key, Act::Get);
            }
            return;
        }
        let rng = &mut self.streams.clients;
        let (base, slots) = match rng.random_range(0..6) {
            0 => ((rng.random_range(0..self.machines.len()) as u64 + 1) * BESIDE_KEYS, BESIDE_SLOTS),
            _ => (0, SLOTS),
        };
        // Keys are asked for by several at a time, and left when much was asked of them.
        let slot = rng.random_range(0..slots);
        let mut key = base + slot;
        while self.history.get(&key).is_some_and(|known| known.len() + 12 > ACTS_MAX) {
            key += slots;
        }
        let number = self.requests as i64 + 1;
        let act = match rng.random_range(0..13) {
            0..=3 => Act::Get,
            4 => Act::Put(number * 1_000),
            5 => Act::PutFor(number * 1_000, *EXPIRE_US.choose(rng).expect("there are some")),
            6..=7 if base == 0 && slot < LONG_SLOTS => Act::Put(number * 1_000),
            6..=7 => Act::Add(1),
            8..=10 => Act::PutIfAbsent(number * 1_000),
            _ => Act::Delete,
        };
        self.clients[client].next_us = self.now_us + rng.random_range(0..self.plan.rest_us);
        self.begin_errand(client, key, act);
    }

    /// A client asks for something new.
    fn begin_errand(&mut self, client: usize, key: u64, act: Act) {
        let history = self.history.entry(key).or_default();
        self.moment += 1;
        let at = history.len();
        let begun_us = self.now_us;
        history.push(Request { act, begun: self.moment, ended: None, begun_us, ended_us: 0 });
        let once = self.clients[client].once(act, self.now_us);
        self.send(client, Errand { key, at, act, once, is_unknown: false });
    }

    fn send(&mut self, client: usize, errand: Errand) {
        self.requests += 1;
        let (request, Errand { key, at, .. }) = (self.requests, errand);
        let machine = beside(key).unwrap_or(self.clients[client].asks);
        self.clients[client].errand = Some(errand);
        self.clients[client].waits_for = Some(request);
        self.clients[client].gives_up_us = self.now_us + self.streams.clients.random_range(GIVES_UP_US);
        self.trace.add(Event::Sent, client as u64, request);
        self.asked.insert(request, Asked { key, at, client, machine });
        if self.machines[machine].paused_until_us <= self.now_us {
            self.deliver(machine, Letter { request, client, errand });
        } else {
            self.machines[machine].inbox.push(Letter { request, client, errand });
        }
    }

    /// A request comes to its machine, whether its client still waits or not.
    pub(super) fn deliver(&mut self, machine: usize, Letter { request, client, errand }: Letter) {
        let Errand { key, act, once, .. } = errand;
        let (name, mut value) = (format!("key-{key}"), Vec::new());
        let partition = if beside(key).is_some() { BESIDE } else { REPLICATED };
        let is_long = beside(key).is_none() && key % SLOTS < LONG_SLOTS;
        let ticket = Ticket { owner: client as u64, request };
        let is_taken = with_op(act, (name.as_bytes(), is_long), &mut value, |op| {
            let asked = ShardRequest { once: once.as_ref(), ..ShardRequest::new(partition, op) };
            self.machines[machine].request(ticket, asked, PATIENCE_US)
        });
        if !is_taken {
            self.hear(Reply { request, heard: Heard::Refused { leads_not: true } });
        }
    }

    /// A client hears what became of its request.
    pub(super) fn hear(&mut self, reply: Reply) {
        let Some(asked) = self.asked.remove(&reply.request) else {
            if !self.given_up.remove(&reply.request) {
                self.twice.push(reply);
            }
            return;
        };
        self.moment += 1;
        self.trace.add(Event::Received, asked.client as u64, reply.request);
        let client = &mut self.clients[asked.client];
        client.waits_for = None;
        let Some(mut errand) = client.errand.take() else { return };
        let Some(history) = self.history.get_mut(&asked.key) else { return };
        match reply.heard {
            Heard::Unknown { is_forgotten } => {
                self.counters.count(if is_forgotten { "forgotten" } else { "unknown" });
                errand.is_unknown = true;
                if errand.once.is_some() && !is_forgotten {
                    client.go_on_with(errand);
                }
            }
            Heard::Refused { leads_not } => {
                self.counters.count(if leads_not { "refused: another leads" } else { "refused" });
                if errand.is_unknown {
                    // This copy of it wasn't done.
                    client.go_on_with(errand);
                } else {
                    // It was never done: nothing of it is to be seen. Its place stays where others are behind it.
                    history[asked.at].act = Act::Get;
                    if asked.at + 1 == history.len() {
                        history.pop();
                    }
                }
                if leads_not {
                    let known = self.machines[asked.machine].replica().and_then(Replica::leader);
                    let other = self.streams.clients.random_range(0..self.machines.len());
                    client.asks = known.map_or(other, |id| id as usize - 1);
                    client.next_us = self.now_us + self.streams.clients.random_range(1_000..30_000);
                }
            }
            heard => {
                self.counters.count("answers");
                let request = &mut history[asked.at];
                request.ended = heard.of(request.act).map(|saw| (self.moment, saw));
                request.ended_us = self.now_us;
            }
        }
        // A key wasn't read at the end.
        if self.is_calm && matches!(reply.heard, Heard::Refused { .. } | Heard::Unknown { .. }) {
            self.unread.push(asked.key);
        }
    }
}
