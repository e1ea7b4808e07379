//! Replicas of one group, their disks and the ways between them, in virtual time; and what must hold of them.

use super::super::message::Message;
use super::super::{Ready, Replica, Settings};
use bytes::Bytes;
use pinion_engine::key::Expiry;
use pinion_engine::log::{BatchBuilder, Entry, EntryType, HardState};
use pinion_engine::manifest::ConfState;
use pinion_engine::shard::GroupLog;
use pinion_engine::{Keyspace, Version};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A turn of each replica, microseconds.
pub const TURN_US: u64 = 5_000;

/// A batch of one write.
pub fn batch(key: &[u8], value: &[u8]) -> Bytes {
    let mut batch = BatchBuilder::new(1);
    batch.put(Keyspace(0), key, Version(1), Expiry::NEVER, value);
    Bytes::copy_from_slice(batch.bytes())
}

/// What a disk has of a group.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// In tables: up to this index and term.
    flushed: (u64, u64),
    entries: Vec<Entry>,
    hard: (u64, HardState),
    /// On its way there.
    writes: VecDeque<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    number: u64,
    done_us: u64,
    entries: Vec<Entry>,
    hard: Option<(u64, HardState)>,
}

impl Disk {
    fn take(&mut self, entries: &[Entry], hard: Option<(u64, HardState)>) {
        if let Some(first) = entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend_from_slice(entries);
        }
        self.hard = hard.unwrap_or(self.hard);
    }

    /// As it is once all writes are done.
    fn ahead(&self) -> Disk {
        let mut ahead = self.clone();
        self.writes.iter().for_each(|write| ahead.take(&write.entries, write.hard));
        ahead
    }

    fn entry(&self, index: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.index == index)
    }
}

/// One replica and what it runs on.
pub struct Node {
    pub id: u64,
    disk: Disk,
    pub replica: Option<Replica>,
    /// Up to where it has applied, and knows that all is committed.
    applied: u64,
    commit: u64,
    /// Up to where it ever had applied: that is on its disk.
    reached: u64,
    /// It does nothing before that.
    pub stopped_until_us: u64,
}

pub struct World {
    voters: u64,
    pub chance: SmallRng,
    pub now_us: u64,
    pub nodes: Vec<Node>,
    /// In order of arrival.
    ways: BTreeMap<(u64, u64), (u64, u64, Bytes)>,
    sent: u64,
    /// Nothing gets from one to the other.
    pub cut: BTreeSet<(u64, u64)>,
    pub loss: f64,
    pub delay_us: u64,
    pub write_us: u64,
    leaders: BTreeMap<u64, u64>,
    committed: BTreeMap<u64, Entry>,
    /// Proposed, by whom, and not known to be applied.
    proposed: Vec<(u64, u64, u64)>,
    pub acknowledged: u64,
    /// Rounds of reads: of whom, which, and up to where writes were acknowledged when it began.
    asked: BTreeMap<(u64, u64), u64>,
    pub reads: u64,
    pub elections: u64,
    writes: u64,
}

impl World {
    /// So many who vote, and as many who listen.
    pub fn new(seed: u64, voters: u64, learners: u64) -> World {
        let count = voters + learners;
        let nodes = (1..=count).map(|id| Node {
            id,
            disk: Disk::default(),
            replica: None,
            applied: 0,
            commit: 0,
            reached: 0,
            stopped_until_us: 0,
        });
        let mut world = World {
            voters,
            chance: SmallRng::seed_from_u64(seed),
            now_us: 1_000_000,
            nodes: nodes.collect(),
            ways: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            loss: 0.0,
            delay_us: 1_000,
            write_us: 1_000,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            proposed: Vec::new(),
            acknowledged: 0,
            asked: BTreeMap::new(),
            reads: 0,
            elections: 0,
            writes: 0,
        };
        (0..count as usize).for_each(|at| world.start(at));
        world
    }

    /// Starts a replica from what its disk has.
    pub fn start(&mut self, at: usize) {
        let conf = ConfState {
            voters: (1..=self.voters).collect(),
            learners: (self.voters + 1..=self.nodes.len() as u64).collect(),
            ..ConfState::default()
        };
        let node = &mut self.nodes[at];
        let settings = Settings { id: node.id, uncommitted_bytes_max: 4 << 20, seed: self.chance.random() };
        let disk = &node.disk;
        let start = GroupLog {
            conf,
            term: disk.hard.0,
            hard: disk.hard.1,
            applied: disk.flushed,
            before: disk.flushed,
            entries: disk.entries.iter().filter(|entry| entry.index > disk.flushed.0).cloned().collect(),
        };
        (node.applied, node.commit) = (disk.flushed.0, 0);
        node.replica = Some(Replica::new(&settings, start, self.now_us).expect("the disk is sound"));
    }

    /// A machine loses its power: of what was on its way to the disk, some first part is there.
    pub fn crash(&mut self, at: usize) {
        let kept = self.chance.random_range(0..=self.nodes[at].disk.writes.len());
        let is_torn = self.chance.random();
        let node = &mut self.nodes[at];
        node.replica = None;
        let writes = std::mem::take(&mut node.disk.writes);
        for (n, write) in writes.into_iter().take(kept).enumerate() {
            // The end of the last one may be missing.
            let is_cut = is_torn && n + 1 == kept;
            let hard = write.hard.filter(|_| !is_cut);
            let there =
                if is_cut { self.chance.random_range(0..=write.entries.len()) } else { write.entries.len() };
            node.disk.take(&write.entries[..there], hard);
        }
        self.asked.retain(|(asked, _), _| *asked != node.id);
        self.proposed.retain(|&(by, ..)| by != node.id);
    }

    pub fn leader(&self) -> Option<usize> {
        let leads = |node: &&Node| node.replica.as_ref().is_some_and(Replica::is_leader);
        let newest =
            self.nodes.iter().filter(leads).max_by_key(|node| node.replica.as_ref().map(Replica::term));
        newest.map(|node| node.id as usize - 1)
    }

    /// Proposes an entry to whoever leads, or thinks so.
    pub fn propose(&mut self, at: usize, len: usize) {
        self.writes += 1;
        let payload = batch(&self.writes.to_le_bytes(), &vec![7; len]);
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else { return };
        if let Ok((term, index)) = replica.propose(EntryType::Normal, 0, payload) {
            self.proposed.push((node.id, term, index));
        }
    }

    pub fn read(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if let Some(round) = node.replica.as_mut().and_then(Replica::read) {
            let asked = self.asked.insert((node.id, round), self.acknowledged);
            assert_eq!(asked, None, "round {round} comes twice");
        }
    }

    /// The leader hands over to another, or hears that the way to it is gone.
    pub fn nudge(&mut self, at: usize, to: u64) {
        let is_lost = self.chance.random();
        let Some(replica) = self.nodes[at].replica.as_mut() else { return };
        if is_lost { replica.lost_touch(to) } else { replica.hand_over(to) }
    }

    /// What is in the memtable goes to tables, and entries that nobody needs any more from the log: whoever were behind them
    /// couldn't be helped here.
    pub fn flush(&mut self, at: usize) {
        let everywhere = self.nodes.iter().map(|node| node.reached).min().unwrap_or(0);
        let node = &mut self.nodes[at];
        let index = node.applied.min(everywhere);
        let Some(replica) = node.replica.as_mut() else { return };
        if index > node.disk.flushed.0 {
            let entry = node.disk.entry(index).expect("what is applied is persisted");
            node.disk.flushed = (entry.index, entry.term);
            replica.give_up(index, self.chance.random_range(0..20_000));
        }
    }

    /// A turn of all.
    pub fn turn(&mut self) {
        self.now_us += TURN_US;
        for at in 0..self.nodes.len() {
            if self.nodes[at].stopped_until_us <= self.now_us && self.nodes[at].replica.is_some() {
                self.turn_of(at);
            }
        }
    }

    fn turn_of(&mut self, at: usize) {
        let (id, now_us) = (self.nodes[at].id, self.now_us);
        let arrived: Vec<_> = self
            .ways
            .iter()
            .filter(|((at_us, _), (_, to, _))| *at_us <= now_us && *to == id)
            .map(|(key, _)| *key)
            .collect();
        for key in arrived {
            let (from, _, bytes) = self.ways.remove(&key).expect("it was there");
            let message = Message::read(&bytes).expect("it was encoded here");
            assert_eq!((message.from, message.to), (from, id));
            if let Some(replica) = self.nodes[at].replica.as_mut()
                && let Err(rejected) = replica.step(message, now_us)
            {
                assert!(!rejected.is_alarm(), "replica {id}: {rejected}");
            }
            // A core takes all that has come before it looks what is to be done.
            if self.chance.random() {
                self.act(at);
            }
        }
        while self.nodes[at].disk.writes.front().is_some_and(|write| write.done_us <= now_us) {
            let node = &mut self.nodes[at];
            let write = node.disk.writes.pop_front().expect("it was there");
            node.disk.take(&write.entries, write.hard);
            // Several may be told of at once.
            if node.disk.writes.front().is_some_and(|next| next.done_us <= now_us) && self.chance.random() {
                continue;
            }
            let messages = node.replica.as_mut().map(|replica| replica.persisted(write.number));
            self.send(messages.into_iter().flatten().collect());
            if self.chance.random() {
                self.act(at);
            }
        }
        if let Some(replica) = self.nodes[at].replica.as_mut() {
            replica.tick(now_us);
        }
        self.act(at);
    }

    /// Does what a replica wants done.
    fn act(&mut self, at: usize) {
        while let Some(ready) = self.nodes[at].replica.as_mut().and_then(Replica::ready) {
            let Ready { number, entries, hard, messages, commit, reads } = ready;
            if !entries.is_empty() || hard.is_some() {
                let done_us = self.now_us + self.chance.random_range(0..=self.write_us);
                let writes = &mut self.nodes[at].disk.writes;
                let done_us = writes.back().map_or(done_us, |last| last.done_us.max(done_us));
                writes.push_back(Write { number, done_us, entries, hard });
            }
            self.send(messages);
            self.check_commit(at, commit);
            let node = &mut self.nodes[at];
            assert!(commit >= node.commit, "replica {} takes a commit back", node.id);
            node.commit = commit;
            for read in reads {
                let asked =
                    self.asked.remove(&(self.nodes[at].id, read.round)).expect("it was asked for, and once");
                assert!(read.index >= asked, "a read at {} misses {asked}", read.index);
                self.reads += 1;
            }
        }
        self.apply(at);
        self.check_leader(at);
    }

    fn apply(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else { return };
        let applicable = replica.applicable();
        assert!(applicable >= node.applied, "replica {} may apply less than it has", node.id);
        // Now and then what may be applied waits.
        if applicable == node.applied || self.chance.random_bool(0.2) {
            return;
        }
        (node.applied, node.reached) = (applicable, node.reached.max(applicable));
        replica.applied(applicable);
        let (id, disk) = (node.id, &node.disk);
        let acknowledged = &mut self.acknowledged;
        self.proposed.retain(|&(by, term, index)| {
            let is_done = by == id && index <= applicable;
            if is_done && disk.entry(index).is_some_and(|entry| entry.term == term) {
                *acknowledged = index.max(*acknowledged);
            }
            !is_done
        });
    }

    fn check_leader(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(replica) = node.replica.as_ref().filter(|replica| replica.is_leader()) else { return };
        let leader = *self.leaders.entry(replica.term()).or_insert_with(|| {
            self.elections += 1;
            node.id
        });
        assert_eq!(leader, node.id, "term {} has two leaders", replica.term());
    }

    /// What is committed is so for ever, and the same everywhere.
    fn check_commit(&mut self, at: usize, commit: u64) {
        let log = self.nodes[at].disk.ahead();
        for entry in log.entries.iter().filter(|entry| entry.index <= commit) {
            let known = self.committed.entry(entry.index).or_insert_with(|| entry.clone());
            assert_eq!(known, entry, "replica {} has another entry", self.nodes[at].id);
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let (from, to) = (message.from, message.to);
            if self.cut.contains(&(from, to)) || self.chance.random_bool(self.loss) {
                continue;
            }
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            let bytes = Bytes::from(bytes);
            for _ in 0..if self.chance.random_bool(self.loss / 2.0) { 2 } else { 1 } {
                self.sent += 1;
                let at_us = self.now_us + self.chance.random_range(0..=self.delay_us);
                self.ways.insert((at_us, self.sent), (from, to, bytes.clone()));
            }
        }
    }

    /// All is well: everybody must come to have the same, and to take writes, in so many turns.
    pub fn converge(&mut self, turns: usize) {
        self.cut.clear();
        (self.loss, self.delay_us, self.write_us) = (0.0, 1_000, 1_000);
        for at in 0..self.nodes.len() {
            self.nodes[at].stopped_until_us = 0;
            if self.nodes[at].replica.is_none() {
                self.start(at);
            }
        }
        let before = self.acknowledged;
        for n in 0..turns {
            if let (Some(leader), 0) = (self.leader(), n % 100) {
                self.propose(leader, 10);
            }
            self.turn();
        }
        assert!(self.acknowledged > before, "nobody takes writes: {:?}", self.leader());
        let last = self.nodes.iter().map(|node| node.applied).max();
        for node in &self.nodes {
            assert_eq!(Some(node.applied), last, "replica {} is behind", node.id);
        }
    }

    /// How many entries are committed.
    pub fn committed(&self) -> usize {
        self.committed.len()
    }
}
