//! What a peer sends, before the crate `raft` sees it: it ends the process at what can't be, and a peer's bytes may be anything.
//!
//! A message that is refused changes nothing. Most say that a peer, or this replica, isn't what it was: a directory that was
//! copied, entries that are gone.

use super::entries::Entries;
use super::message::{Candidate, Message, Says};
use super::settings::TERMS_AHEAD_MAX;
use pinion_engine::clock::CLOCK_US_MAX;
use pinion_engine::group::apply;
use pinion_engine::log::EntryType;
use raft::{RawNode, StateRole};
use thiserror::Error;

/// No index and no term gets further: they are counted up one by one.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

/// Why a message isn't taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejected {
    /// It is for another replica.
    #[error("it is for replica {0}")]
    Misdirected(u64),
    /// No replica of the group has sent it.
    #[error("replica {0} isn't one of the group")]
    Stranger(u64),
    /// It has a term, an index or a time that none reaches.
    #[error("its terms, indexes or time are none that are reached")]
    Number,
    /// Its entries have terms that can't be where they are.
    #[error("entry {0} can't be where it is")]
    Disorder(u64),
    /// It goes on behind an entry of an older term than the last one that is committed.
    #[error("entry {0} is committed, and its leader doesn't have it")]
    Committed(u64),
    /// It says that an entry is committed which isn't here, although this replica is known to have it.
    #[error(
        "entry {0} is gone that this replica has had: its directory was copied, or lost what was written"
    )]
    Lost(u64),
    /// It says that the sender has entries that its leader doesn't.
    #[error("entry {0} is ahead of the leader")]
    Ahead(u64),
    /// It is of no use any more.
    #[error("it is out of date")]
    Stale,
    /// This replica has started too short a while ago to vote: what it had promised before, it may not know.
    #[error("this replica doesn't vote yet")]
    Silent,
    /// It has an entry that couldn't be applied, or that changes who the replicas are.
    #[error("entry {0} is none that can be applied here")]
    Entry(u64),
    /// What came before it isn't written yet.
    #[error("too much waits to be written")]
    Busy,
}

impl Rejected {
    /// Whether it says that something is wrong with the sender, or with this replica. Else it happens, and comes to nothing.
    pub fn is_alarm(self) -> bool {
        !matches!(self, Rejected::Stale | Rejected::Silent | Rejected::Busy)
    }
}

/// What a replica is ready for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readiness {
    /// It may vote.
    pub votes: bool,
    /// It may stand for election.
    pub stands: bool,
}

/// Whether a message may be given to the crate.
pub(super) fn check(node: &RawNode<Entries>, message: &Message, is: Readiness) -> Result<(), Rejected> {
    let raft = &node.raft;
    if message.to != raft.id {
        return Err(Rejected::Misdirected(message.to));
    }
    if message.from == raft.id || raft.prs().get(message.from).is_none() {
        return Err(Rejected::Stranger(message.from));
    }
    // The crate takes messages without a term for its own.
    let is_far = message.term > raft.term + TERMS_AHEAD_MAX || message.time_us > CLOCK_US_MAX;
    if message.term == 0 || is_far || message.reached().any(|number| number >= NUMBER_MAX) {
        return Err(Rejected::Number);
    }
    let is_of_now = message.term == raft.term;
    let is_to_leader = is_of_now && raft.state == StateRole::Leader;
    match &message.says {
        Says::Append { .. } => check_append(node, message),
        Says::Vote(_) | Says::PreVote(_) if !is.votes => Err(Rejected::Silent),
        Says::Vote(candidate) | Says::PreVote(candidate) => check_candidate(message.term, candidate),
        Says::Heartbeat { commit, .. }
            if message.term >= raft.term && *commit > raft.raft_log.last_index() =>
        {
            Err(Rejected::Lost(*commit))
        }
        Says::Appended { index, .. } if is_to_leader && *index > raft.raft_log.last_index() => {
            Err(Rejected::Ahead(*index))
        }
        // The crate lets such a one take the next entry to be sent back behind one that is known to be there.
        Says::NotAppended { index, .. } if is_to_leader && *index <= matched(node, message.from) => {
            Err(Rejected::Stale)
        }
        // Whoever stands for it has to be ready as for an election of its own.
        Says::TimeoutNow if !is_of_now || message.from != raft.leader_id || !is.stands => {
            Err(Rejected::Stale)
        }
        _ => Ok(()),
    }
}

fn check_candidate(term: u64, candidate: &Candidate) -> Result<(), Rejected> {
    let is_ordered = candidate.commit <= candidate.index && candidate.log_term <= term;
    if is_ordered { Ok(()) } else { Err(Rejected::Disorder(candidate.index)) }
}

fn check_append(node: &RawNode<Entries>, message: &Message) -> Result<(), Rejected> {
    let Says::Append { index, log_term, entries, .. } = &message.says else { return Ok(()) };
    let mut before = *log_term;
    // The crate takes an entry that isn't there for one of term 0.
    if before > message.term || (before == 0) != (*index == 0) {
        return Err(Rejected::Disorder(*index));
    }
    for entry in entries {
        if entry.term < before.max(1) || entry.term > message.term {
            return Err(Rejected::Disorder(entry.index));
        }
        let is_sound = apply::check(entry.entry, entry.origin, &entry.payload).is_ok();
        if entry.entry == EntryType::ConfChange || !is_sound {
            return Err(Rejected::Entry(entry.index));
        }
        before = entry.term;
    }
    let log = &node.raft.raft_log;
    let is_behind = message.term < node.raft.term || *index < log.committed;
    // Every leader has what is committed.
    if !is_behind && *log_term < log.term(log.committed).unwrap_or(0) {
        return Err(Rejected::Committed(log.committed));
    }
    Ok(())
}

/// Up to where another replica is known to have what this one has, as its leader.
fn matched(node: &RawNode<Entries>, id: u64) -> u64 {
    node.raft.prs().get(id).map_or(0, |progress| progress.matched)
}

impl Message {
    /// The highest terms and indexes of it.
    fn reached(&self) -> impl Iterator<Item = u64> {
        let numbers = match &self.says {
            Says::Append { index, log_term, commit, entries } => {
                let last = entries.last().map_or(0, |entry| entry.index.max(entry.term));
                [*index, *log_term, *commit, last]
            }
            Says::Appended { index, commit } => [*index, *commit, 0, 0],
            Says::NotAppended { index, hint, log_term, commit } => [*index, *hint, *log_term, *commit],
            Says::Vote(it) | Says::PreVote(it) => [it.index, it.log_term, it.commit, it.commit_term],
            Says::Voted { commit, commit_term, .. } => [*commit, *commit_term, 0, 0],
            Says::Heartbeat { commit, .. } | Says::Heard { commit, .. } => [*commit, 0, 0, 0],
            Says::TimeoutNow => [0; 4],
        };
        numbers.into_iter().chain([self.term])
    }
}
