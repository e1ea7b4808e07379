//! A peer that says anything: nothing of it ends the process.

use super::super::message::{Candidate, Message, Says};
use super::super::{Replica, TICK_US};
use super::messages::says;
use super::world::{World, batch};
use pinion_engine::log::{Entry, EntryType};
use proptest::prelude::*;

/// Brings numbers near to those that a replica has, where they do most.
fn near(says: Says, last: u64) -> Says {
    let to =
        |number: u64| if number.is_multiple_of(3) { number } else { (last + number % 8).saturating_sub(4) };
    match says {
        Says::Append { index, log_term, commit, entries } => {
            let (from, index) = (index, to(index));
            let mut newest = log_term % 4;
            let moved = entries.into_iter().map(|entry| {
                newest = newest.max(entry.term).max(1);
                near_entry(entry, index.wrapping_sub(from), newest)
            });
            Says::Append { index, log_term: log_term % 4, commit: to(commit), entries: moved.collect() }
        }
        Says::Appended { index, commit } => Says::Appended { index: to(index), commit: to(commit) },
        Says::NotAppended { index, hint, log_term, commit } => {
            Says::NotAppended { index: to(index), hint: to(hint), log_term: log_term % 5, commit: to(commit) }
        }
        Says::Voted { is_pre_vote, is_refused, commit, commit_term } => {
            Says::Voted { is_pre_vote, is_refused, commit: to(commit), commit_term: commit_term % 5 }
        }
        Says::Vote(it) => Says::Vote(near_candidate(it, to)),
        Says::PreVote(it) => Says::PreVote(near_candidate(it, to)),
        Says::Heartbeat { commit, read } => {
            Says::Heartbeat { commit: to(commit), read: read.map(|round| round % 4) }
        }
        Says::Heard { commit, read } => Says::Heard { commit: to(commit), read: read.map(|round| round % 4) },
        other => other,
    }
}

/// Most are in order, and can be applied.
fn near_entry(entry: Entry, by: u64, newest: u64) -> Entry {
    let (index, is_odd) = (entry.index.wrapping_add(by), entry.term == 4);
    match entry.entry {
        _ if is_odd => Entry { index, ..entry },
        EntryType::NoOp => Entry { index, term: newest, ..entry },
        _ => Entry {
            index,
            term: newest,
            entry: EntryType::Normal,
            origin: 0,
            payload: batch(b"key", b"value"),
        },
    }
}

fn near_candidate(it: Candidate, to: impl Fn(u64) -> u64) -> Candidate {
    let (log_term, commit_term) = (it.log_term % 5, it.commit_term % 5);
    Candidate { index: to(it.index), log_term, commit: to(it.commit), commit_term, ..it }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_message_ends_the_process(
        seed in 0..1000_u64,
        messages in proptest::collection::vec((0..4_u64, 0..4_u64, 0..6_u64, says()), 1..60),
    ) {
        let voters = if seed % 7 == 0 { 1 } else { 3 };
        let mut world = World::new(seed, voters, 3 - voters);
        // Some have nothing yet.
        for n in 0..if seed % 3 == 0 { 70 } else { 300 } {
            if let Some(leader) = world.leader() && n % 10 == 0 {
                world.propose(leader, 10);
            }
            world.turn();
        }
        let mut now_us = world.now_us;
        let leader = world.leader().unwrap_or(0);
        let at = if seed % 2 == 0 { leader } else { (leader + 1) % 3 };
        let node = &mut world.nodes[at];
        let replica = node.replica.as_mut().expect("nothing failed");
        for (from, to, term, says) in messages {
            let last = replica.applicable();
            let to = if to == 0 { 9 } else { node.id };
            let term = if term == 5 { u64::MAX } else { (replica.term() + term).saturating_sub(2) };
            let message = Message { from, to, term, time_us: 0, says: near(says, last) };
            _ = replica.step(message, now_us);
            now_us += TICK_US / 2;
            settle(replica, now_us, !from.is_multiple_of(3));
        }
        // Nor does what comes after it.
        for _ in 0..100 {
            now_us += TICK_US;
            settle(replica, now_us, true);
        }
    }
}

/// Does what is to be done; or leaves it unwritten.
fn settle(replica: &mut Replica, now_us: u64, is_written: bool) {
    replica.tick(now_us);
    while let Some(ready) = replica.ready() {
        if is_written {
            replica.persisted(ready.number);
        }
    }
    let applicable = replica.applicable();
    replica.applied(applicable);
}
