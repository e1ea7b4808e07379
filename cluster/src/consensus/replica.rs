//! One replica of a group.

use super::admit::{self, NUMBER_MAX, Readiness, Rejected};
use super::entries::{Entries, contents, from_raft, to_raft};
use super::message::Message;
use super::ready::{NotProposed, Read, Ready};
use super::settings::{
    ELECTION_TICKS, HEARTBEAT_TICKS, MESSAGE_BYTES_MAX, MESSAGES_IN_FLIGHT_MAX, Settings, TICK_US, check,
};
use super::translate::{from_crate, read_of, to_crate};
use bytes::Bytes;
use pinion_engine::Error;
use pinion_engine::group::apply;
use pinion_engine::log::{Entry, EntryType, HardState};
use pinion_engine::shard::GroupLog;
use raft::eraftpb::{self, MessageType};
use raft::{Config, RawNode, ReadOnlyOption, StateRole};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;

/// The crate would stand for election by a chance of its own after so many ticks, which never pass.
const NEVER_TICKS: usize = 1 << 40;

/// Who has so many committed entries to apply doesn't stand for election: the crate looks at each of them then.
const UNAPPLIED_MAX: u64 = 1 << 16;

/// So much may be handed out and not written yet: what peers send beyond that they send again.
const UNPERSISTED_MAX: usize = 4096;

/// So much more is kept for a replica that is slow than for one that is gone.
const BEHIND: usize = 16;

/// One replica of a group. See [`the module`](super).
pub struct Replica {
    node: RawNode<Entries>,
    chance: SmallRng,
    ticked_us: u64,
    /// When it stands for election, in ticks since it heard of a leader.
    patience_ticks: usize,
    /// It doesn't vote before that.
    votes_from_us: u64,
    /// Term and vote that were handed out to be written.
    written: (u64, u64),
    /// What was handed out and isn't persisted, in order, with the messages that wait for that.
    unpersisted: VecDeque<Unpersisted>,
    /// The newest [`Ready`] with a new term or vote, and the newest that is persisted.
    promised: u64,
    persisted: u64,
    /// Up to where the crate was asked for what is committed.
    asked_to: u64,
    /// Up to where all is applied, as far as was said.
    applied_to: u64,
    /// Rounds of reads that were begun.
    rounds: u64,
    uncommitted_max: u64,
}

/// A [`Ready`] that was handed out.
struct Unpersisted {
    number: u64,
    /// Those up to this one wrote nothing and had nothing to say: they end with it.
    until: u64,
    is_written: bool,
    /// Index of its first entry; `u64::MAX`: it has none.
    first: u64,
    messages: Vec<Message>,
}

impl Replica {
    /// One that goes on where its log ends, at this time. The error says what is wrong with the log.
    pub fn new(settings: &Settings, start: GroupLog, now_us: u64) -> Result<Replica, Error> {
        check(&start, settings.id)?;
        let hard = hard_state(&start);
        let written = (hard.term, hard.vote);
        let mut entries = Entries::behind(start.before, hard, &start.conf);
        entries.append(&start.entries.iter().map(to_raft).collect::<Vec<_>>());
        let config = Config {
            id: settings.id,
            election_tick: ELECTION_TICKS,
            min_election_tick: NEVER_TICKS,
            max_election_tick: NEVER_TICKS + 1,
            heartbeat_tick: HEARTBEAT_TICKS,
            applied: start.applied.0,
            max_size_per_msg: MESSAGE_BYTES_MAX,
            max_inflight_msgs: MESSAGES_IN_FLIGHT_MAX,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            max_uncommitted_size: settings.uncommitted_bytes_max.max(MESSAGE_BYTES_MAX),
            ..Config::default()
        };
        let node = RawNode::new(&config, entries, &slog::Logger::root(slog::Discard, slog::o!()))
            .map_err(|error| Error::Unusable(format!("a replica can't start: {error}")))?;
        let mut replica = Replica {
            node,
            chance: SmallRng::seed_from_u64(settings.seed ^ settings.id),
            ticked_us: now_us,
            patience_ticks: 0,
            votes_from_us: now_us + ELECTION_TICKS as u64 * TICK_US,
            written,
            unpersisted: VecDeque::new(),
            promised: 0,
            persisted: 0,
            asked_to: start.applied.0,
            applied_to: start.applied.0,
            rounds: 0,
            uncommitted_max: settings.uncommitted_bytes_max / Entry::BYTES as u64,
        };
        replica.draw_patience();
        Ok(replica)
    }

    /// Time passes. Who was held up for long counts that as one tick: what others sent meanwhile is still to be read.
    pub fn tick(&mut self, now_us: u64) {
        let ticks = now_us.saturating_sub(self.ticked_us) / TICK_US;
        if ticks == 0 {
            return;
        }
        self.ticked_us = if ticks > 2 { now_us } else { self.ticked_us + ticks * TICK_US };
        (0..if ticks > 2 { 1 } else { ticks }).for_each(|_| _ = self.node.tick());
        if self.node.raft.election_elapsed >= self.patience_ticks && self.may_stand(now_us) {
            self.node.raft.election_elapsed = 0;
            self.draw_patience();
            // Only proposals fail.
            _ = self.node.campaign();
        }
    }

    /// When [`Replica::tick`] has something to do.
    pub fn due_us(&self) -> u64 {
        self.ticked_us + TICK_US
    }

    fn draw_patience(&mut self) {
        self.patience_ticks = self.chance.random_range(ELECTION_TICKS..2 * ELECTION_TICKS);
    }

    /// Whether it may stand for election: it is one of those who vote, knows what it promised, and all it has is persisted, as
    /// the crate takes for granted of whoever wins.
    fn may_stand(&self, now_us: u64) -> bool {
        let raft = &self.node.raft;
        raft.state != StateRole::Leader
            && raft.promotable()
            && now_us >= self.votes_from_us
            && !self.unpersisted.iter().any(|ready| ready.is_written)
            && self.written == (raft.term, raft.vote)
            && raft.raft_log.unstable_entries().is_empty()
            && raft.raft_log.committed - raft.raft_log.applied < UNAPPLIED_MAX
            && raft.term + 1 < NUMBER_MAX
    }

    /// Takes a message of another replica, whose sender is known to be the one that it names.
    pub fn step(&mut self, message: Message, now_us: u64) -> Result<(), Rejected> {
        let is = Readiness { votes: now_us >= self.votes_from_us, stands: self.may_stand(now_us) };
        admit::check(&self.node, &message, is)?;
        let is_new = message.says.is_asking() || message.term > self.node.raft.term;
        if self.unpersisted.len() >= UNPERSISTED_MAX && is_new {
            return Err(Rejected::Busy);
        }
        let before = (self.node.raft.term, self.node.raft.state);
        // Of what is left, the crate refuses what is of no use any more.
        _ = self.node.step(to_crate(message));
        if before != (self.node.raft.term, self.node.raft.state) {
            self.draw_patience();
        }
        Ok(())
    }

    /// Proposes an entry, which `origin` took in (0: this replica); its term and index.
    pub fn propose(
        &mut self,
        entry: EntryType,
        origin: u16,
        payload: Bytes,
    ) -> Result<(u64, u64), NotProposed> {
        let is_sound = apply::check(entry, origin, &payload).is_ok();
        if !is_sound || entry == EntryType::ConfChange || (entry == EntryType::NoOp) != payload.is_empty() {
            return Err(NotProposed::Kind);
        }
        let applicable = self.applicable();
        let raft = &mut self.node.raft;
        // The crate would send it to the leader that it knows of.
        if raft.state != StateRole::Leader {
            return Err(NotProposed::NotLeader);
        }
        // The crate counts payloads only.
        let waiting = raft.raft_log.last_index() - applicable;
        if waiting > self.uncommitted_max || self.unpersisted.len() >= UNPERSISTED_MAX {
            return Err(NotProposed::Busy);
        }
        let mut made = eraftpb::Entry::default();
        (made.data, made.context) = contents(entry, origin, payload);
        let mut message = eraftpb::Message { from: raft.id, ..eraftpb::Message::default() };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(vec![made].into());
        let place = (raft.term, raft.raft_log.last_index() + 1);
        raft.step(message).map(|()| place).map_err(|_| NotProposed::Busy)
    }

    /// Asks the others whether this replica still leads, for all reads that wait for that: the number of the round, which [`Ready::reads`]
    /// has once they say so. `None`: it doesn't lead, or nothing of its term is committed yet, and it is to be asked again.
    pub fn read(&mut self) -> Option<u64> {
        if !self.is_leader() || !self.node.raft.commit_to_current_term() {
            return None;
        }
        self.rounds += 1;
        self.node.read_index(self.rounds.to_le_bytes().to_vec());
        Some(self.rounds)
    }

    /// What is to be done now; `None`: nothing.
    pub fn ready(&mut self) -> Option<Ready> {
        if !self.node.has_ready() {
            return None;
        }
        let mut ready = self.node.ready();
        // The log has them, too; but only what was asked for counts no more as uncommitted.
        drop(ready.take_committed_entries());
        self.asked_to = self.node.raft.raft_log.committed.min(self.node.raft.raft_log.persisted);
        let entries = ready.take_entries();
        let read =
            |state: &raft::ReadState| Some(Read { round: read_of(&state.request_ctx)?, index: state.index });
        let is_leader = self.is_leader();
        let (hard, is_promise) = self.hard_to_write(!entries.is_empty());
        let mut made = Ready {
            number: ready.number(),
            entries: entries.iter().map(from_raft).collect(),
            hard,
            messages: ready.take_messages().into_iter().filter_map(from_crate).collect(),
            commit: self.node.raft.raft_log.committed,
            reads: ready.read_states().iter().filter(|_| is_leader).filter_map(read).collect(),
        };
        let mut messages: Vec<_> =
            ready.take_persisted_messages().into_iter().filter_map(from_crate).collect();
        self.node.mut_store().append(&entries);
        self.node.advance_append_async(ready);
        // A leader's own go at once, but none leads by a term that may be forgotten: where it needs nobody's vote it does.
        if is_promise {
            self.promised = made.number;
        }
        if self.persisted < self.promised {
            messages.append(&mut made.messages);
        }
        let (number, is_written) = (made.number, made.is_to_be_written());
        let first = made.entries.first().map_or(u64::MAX, |entry| entry.index);
        match self.unpersisted.back_mut() {
            Some(last) if !is_written && messages.is_empty() => last.until = number,
            _ => {
                self.unpersisted.push_back(Unpersisted { number, until: number, is_written, first, messages })
            }
        }
        self.release(&mut made.messages);
        Some(made)
    }

    /// Term, vote and commit, if they are to be written, and whether term or vote are new. A commit alone isn't, but goes with what is.
    fn hard_to_write(&mut self, any_entries: bool) -> (Option<(u64, HardState)>, bool) {
        let hard = self.node.raft.hard_state();
        let is_new = self.written != (hard.term, hard.vote);
        self.written = (hard.term, hard.vote);
        let state = HardState { vote: hard.vote, commit: hard.commit };
        ((is_new || any_entries).then_some((hard.term, state)), is_new)
    }

    /// All is persisted that was to be written up to this [`Ready`]: the messages that waited for that. There may be more
    /// [`Replica::ready`] now.
    pub fn persisted(&mut self, number: u64) -> Vec<Message> {
        let done = self.unpersisted.iter_mut().take_while(|ready| ready.number <= number);
        done.for_each(|ready| (ready.is_written, ready.first) = (false, u64::MAX));
        self.persisted = self.persisted.max(number);
        let mut messages = Vec::new();
        self.release(&mut messages);
        self.note_applied();
        messages
    }

    /// Lets go what waits for nothing that is still to be persisted.
    fn release(&mut self, out: &mut Vec<Message>) {
        let mut newest = None;
        let waits = self.unpersisted.iter().position(|ready| ready.is_written);
        for ready in self.unpersisted.drain(..waits.unwrap_or(self.unpersisted.len())) {
            newest = Some(ready.until);
            out.extend(ready.messages);
        }
        if let Some(number) = newest {
            self.node.on_persist_ready(number);
        }
    }

    /// Everything up to this index is applied. What isn't known to be persisted here yet counts once it is.
    pub fn applied(&mut self, index: u64) {
        self.applied_to = self.applied_to.max(index);
        self.note_applied();
    }

    fn note_applied(&mut self) {
        self.node.advance_apply_to(self.applied_to.min(self.applicable()));
    }

    /// Gives up entries that are applied, up to an index and from the first on, while those that are kept take more memory than so
    /// many bytes; than [`BEHIND`] times as many where a replica that is in touch hasn't got them. Who is behind what is kept needs the
    /// whole partition.
    pub fn give_up(&mut self, index: u64, kept_bytes: usize) {
        if self.bytes() <= kept_bytes {
            return;
        }
        let index = index.min(self.node.raft.raft_log.applied).min(self.asked_to);
        let got = if self.is_leader() { self.got_by_all_in_touch() } else { u64::MAX };
        self.node.mut_store().give_up(index.min(got), kept_bytes);
        self.node.mut_store().give_up(index, kept_bytes * BEHIND);
    }

    /// Up to where all have what this leader has of whom it has heard lately.
    fn got_by_all_in_touch(&self) -> u64 {
        let prs = self.node.raft.prs().iter();
        let others = prs.filter(|(id, progress)| **id != self.node.raft.id && progress.recent_active);
        others.map(|(_, progress)| progress.matched).min().unwrap_or(u64::MAX)
    }

    /// Hands the leadership over to another replica, if this one has it and isn't about to.
    pub fn hand_over(&mut self, to: u64) {
        if self.is_leader() && self.node.raft.lead_transferee.is_none() {
            self.node.transfer_leader(to);
        }
    }

    /// A connection to a replica is gone: what was on its way there may be lost.
    pub fn lost_touch(&mut self, with: u64) {
        self.node.report_unreachable(with);
    }

    /// Whether it leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Who leads, as far as it knows.
    pub fn leader(&self) -> Option<u64> {
        Some(self.node.raft.leader_id).filter(|&id| id != raft::INVALID_ID)
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Up to which index entries are known to be committed, whether they are persisted here or not.
    pub fn committed(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// Up to which index entries may be applied: they are committed, and persisted here.
    pub fn applicable(&self) -> u64 {
        // An entry that is here may still be deleted on the disk by one that is on its way there, although it came back behind that.
        let rewritten = self.unpersisted.iter().map(|ready| ready.first).min().unwrap_or(u64::MAX);
        let log = &self.node.raft.raft_log;
        log.committed.min(log.persisted).min(rewritten.saturating_sub(1)).max(log.applied)
    }

    /// The index of the first entry that it keeps: who is further behind needs the whole partition.
    pub fn first_index(&self) -> u64 {
        self.node.raft.raft_log.first_index()
    }

    /// Memory of the entries that it keeps, about, bytes.
    pub fn bytes(&self) -> usize {
        self.node.store().bytes()
    }
}

/// What the crate is told of the term, the vote, and what is committed.
fn hard_state(start: &GroupLog) -> eraftpb::HardState {
    let mut hard = eraftpb::HardState::default();
    let newest = start.entries.last().map_or(start.applied.1, |entry| entry.term);
    hard.term = start.term.max(newest);
    // Of an entry that was written without the term behind it nothing was promised, nor a vote in its term.
    hard.vote = if newest > start.term { raft::INVALID_ID } else { start.hard.vote };
    hard.commit = start.hard.commit.max(start.applied.0);
    hard
}
