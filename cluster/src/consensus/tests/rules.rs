//! What the crate `raft` leaves to whoever uses it.

use super::super::message::{Candidate, Message, Says};
use super::super::{
    ELECTION_TICKS, HEARTBEAT_TICKS, NotProposed, Ready, Rejected, Replica, Settings, TICK_US,
};
use super::world::batch;
use bytes::Bytes;
use pinion_engine::log::{BatchBuilder, Entry, EntryType, HardState};
use pinion_engine::manifest::ConfState;
use pinion_engine::shard::GroupLog;

const SETTINGS: Settings = Settings { id: 1, uncommitted_bytes_max: 1 << 20, seed: 7 };
/// Longer than any patience.
const LONG_TICKS: u64 = 2 * ELECTION_TICKS as u64 + 1;

fn conf() -> ConfState {
    ConfState { voters: vec![1, 2, 3], ..ConfState::default() }
}

fn entry(term: u64, index: u64) -> Entry {
    Entry { term, index, entry: EntryType::Normal, origin: 0, payload: batch(b"key", b"value") }
}

/// What storage says of a log of which nothing is kept but what isn't applied.
fn behind(applied: (u64, u64), entries: Vec<Entry>) -> GroupLog {
    GroupLog { conf: conf(), applied, before: applied, entries, ..GroupLog::default() }
}

/// A replica with five entries of the first term, of which three are applied, which has come to vote.
struct One {
    replica: Replica,
    now_us: u64,
}

impl One {
    fn new() -> One {
        let entries = vec![entry(1, 4), entry(1, 5)];
        let hard = HardState { vote: 0, commit: 3 };
        let start = GroupLog { term: 1, hard, ..behind((3, 1), entries) };
        let mut one = One { replica: Replica::new(&SETTINGS, start, 0).unwrap(), now_us: 0 };
        one.now_us = ELECTION_TICKS as u64 * TICK_US;
        one
    }

    fn step(&mut self, from: u64, term: u64, says: Says) -> Result<(), Rejected> {
        self.replica.step(Message { from, to: 1, term, time_us: 0, says }, self.now_us)
    }

    fn tick(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.now_us += TICK_US;
            self.replica.tick(self.now_us);
        }
    }

    /// What is to be done, as one.
    fn ready(&mut self) -> Ready {
        let mut all = Ready::default();
        while let Some(ready) = self.replica.ready() {
            let Ready { number, entries, hard, messages, commit, reads } = ready;
            (all.number, all.hard, all.commit) = (number, hard.or(all.hard), commit);
            all.entries.extend(entries);
            all.messages.extend(messages);
            all.reads.extend(reads);
        }
        all
    }

    /// As [`One::ready`], with all persisted: the messages.
    fn settle(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(ready) = self.replica.ready() {
            messages.extend(ready.messages);
            messages.extend(self.replica.persisted(ready.number));
        }
        let applicable = self.replica.applicable();
        self.replica.applied(applicable);
        messages
    }

    /// Makes it the leader of the next term.
    fn lead(&mut self) {
        self.tick(LONG_TICKS);
        self.settle();
        for is_pre_vote in [true, false] {
            let term = self.replica.term() + u64::from(is_pre_vote);
            let says = Says::Voted { is_pre_vote, is_refused: false, commit: 0, commit_term: 0 };
            self.step(2, term, says).unwrap();
            self.settle();
        }
        assert!(self.replica.is_leader());
    }

    fn append(
        &mut self,
        from: u64,
        (index, log_term): (u64, u64),
        entries: Vec<Entry>,
    ) -> Result<(), Rejected> {
        let term = entries.last().map_or(log_term, |entry| entry.term);
        self.step(from, term, Says::Append { index, log_term, commit: 0, entries })
    }
}

fn stands(index: u64, log_term: u64) -> Candidate {
    Candidate { index, log_term, commit: 0, commit_term: 0, is_transfer: false }
}

#[test]
fn a_vote_is_said_only_when_it_is_persisted() {
    let mut one = One::new();
    one.step(2, 2, Says::Vote(stands(5, 1))).unwrap();
    let ready = one.ready();
    assert_eq!((ready.hard, ready.messages.len()), (Some((2, HardState { vote: 2, commit: 3 })), 0));
    let messages = one.replica.persisted(ready.number);
    assert!(matches!(messages[..], [Message { to: 2, says: Says::Voted { is_refused: false, .. }, .. }]));
}

#[test]
fn entries_are_acknowledged_only_when_they_are_persisted_and_so_is_all_behind() {
    let mut one = One::new();
    one.append(2, (5, 1), vec![entry(2, 6)]).unwrap();
    let ready = one.ready();
    assert_eq!((ready.entries.len(), ready.messages.len()), (1, 0));
    one.step(2, 2, Says::Heartbeat { commit: 5, read: None }).unwrap();
    assert_eq!(one.ready().messages, [], "it would overtake what comes before");
    let says: Vec<_> = one.replica.persisted(ready.number).into_iter().map(|message| message.says).collect();
    assert!(matches!(says[..], [Says::Appended { index: 6, .. }, Says::Heard { commit: 5, .. }]), "{says:?}");
}

#[test]
fn nobody_votes_or_stands_too_short_a_while_after_its_start() {
    let mut one = One::new();
    one.now_us -= 1;
    assert_eq!(one.step(2, 2, Says::Vote(stands(9, 1))), Err(Rejected::Silent));
    assert_eq!(one.step(2, 2, Says::PreVote(stands(9, 1))), Err(Rejected::Silent));
    one.now_us = 0;
    one.tick(ELECTION_TICKS as u64 - 1);
    assert_eq!(one.settle(), []);
    // Nor when it is asked to by the leader.
    let heartbeat = Says::Heartbeat { commit: 0, read: None };
    assert_eq!(one.step(2, 1, heartbeat), Ok(()));
    one.settle();
    assert_eq!(one.step(2, 1, Says::TimeoutNow), Err(Rejected::Stale));
    one.now_us += TICK_US;
    assert_eq!(one.step(2, 1, Says::TimeoutNow), Ok(()));
    assert!(matches!(one.settle()[..], [Message { term: 2, says: Says::Vote(_), .. }, Message { .. }]));
}

#[test]
fn a_replica_stands_by_its_seed_and_not_before_all_it_has_is_persisted() {
    let mut one = One::new();
    one.append(2, (5, 1), vec![entry(2, 6)]).unwrap();
    let ready = one.ready();
    one.tick(5 * LONG_TICKS);
    assert_eq!(one.ready().messages, []);
    let says: Vec<_> = one.replica.persisted(ready.number).into_iter().map(|message| message.says).collect();
    assert!(matches!(says[..], [Says::Appended { index: 6, .. }]), "{says:?}");
    one.tick(1);
    assert!(matches!(one.settle()[..], [Message { says: Says::PreVote(_), .. }, Message { .. }]));
    let when = |seed| {
        let start = GroupLog { conf: conf(), ..GroupLog::default() };
        let mut replica = Replica::new(&Settings { seed, ..SETTINGS }, start, 0).unwrap();
        let stands = |tick: &u64| {
            replica.tick(tick * TICK_US);
            replica.ready().is_some()
        };
        (1..).find(stands)
    };
    assert_eq!(when(5), when(5));
    assert!((0..20).any(|seed| when(seed) != when(5)));
}

#[test]
fn only_a_leader_proposes_and_reads_and_reads_only_once_something_of_its_term_is_committed() {
    let mut one = One::new();
    one.append(2, (5, 1), vec![entry(2, 6)]).unwrap();
    one.settle();
    assert_eq!(one.replica.propose(EntryType::Normal, 0, batch(b"k", b"v")), Err(NotProposed::NotLeader));
    assert_eq!(one.replica.read(), None);
    assert_eq!(one.settle(), [], "nothing goes to the leader");
    one.lead();
    let term = one.replica.term();
    assert_eq!(one.replica.read(), None);
    one.step(2, term, Says::Appended { index: 7, commit: 3 }).unwrap();
    one.settle();
    assert_eq!(one.replica.read(), Some(1));
    one.settle();
    one.step(2, term, Says::Heard { commit: 7, read: Some(1) }).unwrap();
    let reads = one.ready().reads;
    assert_eq!(reads.iter().map(|read| (read.round, read.index)).collect::<Vec<_>>(), [(1, 7)]);
}

#[test]
fn what_is_not_committed_is_bounded() {
    let mut one = One::new();
    one.lead();
    let payload = batch(b"key", &[1; 100_000]);
    let taken =
        (0..100).take_while(|_| one.replica.propose(EntryType::Normal, 0, payload.clone()).is_ok()).count();
    assert!((8..14).contains(&taken), "{taken}");
    assert_eq!(one.replica.propose(EntryType::Normal, 0, payload), Err(NotProposed::Busy));
    // Small ones take memory, too.
    let mut one = One::new();
    one.lead();
    let tick = BatchBuilder::new(1);
    let tick = || Bytes::copy_from_slice(tick.bytes());
    let taken = (0..100_000).take_while(|_| one.replica.propose(EntryType::Tick, 0, tick()).is_ok()).count();
    assert!((8_000..8_300).contains(&taken), "{taken}");
}

#[test]
fn what_changes_the_replicas_or_has_no_use_for_its_content_is_not_proposed() {
    let mut one = One::new();
    one.lead();
    let refused = [
        (EntryType::ConfChange, &b"conf"[..]),
        (EntryType::NoOp, b"content"),
        (EntryType::Normal, b""),
        (EntryType::Normal, b"no batch"),
        (EntryType::Floor, b"7 bytes"),
    ];
    for (entry, payload) in refused {
        let proposed = one.replica.propose(entry, 0, Bytes::copy_from_slice(payload));
        assert_eq!(proposed, Err(NotProposed::Kind), "{entry:?}");
    }
}

/// Alone, nobody has to vote for it: it leads at once, and what it says as a leader would go out before its term is written.
#[test]
fn who_needs_no_votes_sends_nothing_before_its_term_is_persisted() {
    let conf = ConfState { voters: vec![1], learners: vec![2], ..ConfState::default() };
    let start = GroupLog { conf, term: 1, ..behind((3, 1), Vec::new()) };
    let mut one =
        One { replica: Replica::new(&SETTINGS, start, 0).unwrap(), now_us: ELECTION_TICKS as u64 * TICK_US };
    one.tick(LONG_TICKS);
    let ready = one.ready();
    assert!(one.replica.is_leader());
    assert_eq!((ready.hard.map(|hard| hard.0), ready.messages), (Some(2), Vec::new()));
    // Nor what comes later: a heartbeat.
    one.tick(HEARTBEAT_TICKS as u64 + 1);
    let later = one.ready();
    assert_eq!((later.number > ready.number, later.messages), (true, Vec::new()));
    assert!(one.replica.persisted(ready.number).len() > 1);
}

#[test]
fn what_is_applied_ahead_of_what_the_crate_knows_counts_later() {
    let mut one = One::new();
    one.append(2, (5, 1), vec![entry(2, 6)]).unwrap();
    let ready = one.ready();
    one.step(2, 2, Says::Heartbeat { commit: 6, read: None }).unwrap();
    one.ready();
    one.replica.applied(6);
    assert_eq!(one.replica.applicable(), 5);
    one.replica.persisted(ready.number);
    one.ready();
    one.replica.give_up(6, 0);
    assert_eq!((one.replica.applicable(), one.replica.bytes()), (6, 0));
}

#[test]
fn one_whose_replicas_or_entries_cannot_be_starts_not() {
    let refused = [
        GroupLog { conf: ConfState::default(), ..GroupLog::default() },
        GroupLog { conf: ConfState { voters: vec![0, 1], ..ConfState::default() }, ..GroupLog::default() },
        GroupLog { conf: ConfState { learners: vec![1], ..conf() }, ..GroupLog::default() },
        GroupLog { conf: ConfState { outgoing: vec![4], ..conf() }, ..GroupLog::default() },
        GroupLog { conf: ConfState { auto_leave: true, ..conf() }, ..GroupLog::default() },
        GroupLog { conf: ConfState { voters: vec![2, 3], ..conf() }, ..GroupLog::default() },
        behind((3, 0), Vec::new()),
        behind((3, 1), vec![entry(1, 5)]),
        behind((3, 2), vec![entry(1, 4)]),
    ];
    for start in refused {
        let why = format!("{start:?}");
        let error = Replica::new(&SETTINGS, start, 0).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("a replica can't start: "), "{why}: {error}");
    }
}

#[test]
fn a_rejection_from_before_what_is_known_to_be_there_is_dropped() {
    let mut one = One::new();
    one.lead();
    let term = one.replica.term();
    one.step(2, term, Says::Appended { index: 6, commit: 3 }).unwrap();
    one.settle();
    // Behind that the crate asks from the start where the other's log and its own part.
    one.replica.lost_touch(2);
    let stale = Says::NotAppended { index: 6, hint: 6, log_term: 1, commit: 3 };
    assert_eq!(one.step(2, term, stale), Err(Rejected::Stale));
    one.replica.propose(EntryType::Normal, 0, batch(b"k", b"v")).unwrap();
    let sent = one.settle();
    let to_two = sent.iter().find(|message| message.to == 2).map(|message| &message.says);
    assert!(matches!(to_two, Some(Says::Append { index: 6, .. })), "{sent:?}");
}

#[test]
fn a_message_that_would_end_the_process_is_refused_with_its_reason() {
    let mut one = One::new();
    let append = |index, log_term, entries| Says::Append { index, log_term, commit: 0, entries };
    let refused = [
        (2, 0, Says::TimeoutNow, Rejected::Number),
        (2, u64::MAX, Says::Heartbeat { commit: 0, read: None }, Rejected::Number),
        (2, 1, Says::Heartbeat { commit: 1 << 62, read: None }, Rejected::Number),
        (9, 1, Says::TimeoutNow, Rejected::Stranger(9)),
        (1, 1, Says::TimeoutNow, Rejected::Stranger(1)),
        (2, 1, Says::Heartbeat { commit: 6, read: None }, Rejected::Lost(6)),
        (2, 2, append(5, 0, vec![]), Rejected::Disorder(5)),
        (2, 1, append(100, 0, vec![entry(1, 101)]), Rejected::Disorder(100)),
        (2, 2, append(5, 1, vec![entry(0, 6)]), Rejected::Disorder(6)),
        (
            2,
            2,
            append(5, 1, vec![Entry { payload: Bytes::from_static(b"any"), ..entry(2, 6) }]),
            Rejected::Entry(6),
        ),
        (2, 2, append(5, 1, vec![Entry { entry: EntryType::ConfChange, ..entry(2, 6) }]), Rejected::Entry(6)),
        (2, 2 << 32, Says::Heartbeat { commit: 0, read: None }, Rejected::Number),
        (2, 1, append(5, 1, vec![entry(2, 6)]), Rejected::Disorder(6)),
        (2, 3, append(5, 2, vec![entry(1, 6)]), Rejected::Disorder(6)),
        (2, 1, Says::TimeoutNow, Rejected::Stale),
    ];
    for (from, term, says, why) in refused {
        assert_eq!(one.step(from, term, says.clone()), Err(why), "{says:?}");
    }
    let astray = Message { from: 2, to: 3, term: 1, time_us: 0, says: Says::TimeoutNow };
    assert_eq!(one.replica.step(astray, one.now_us), Err(Rejected::Misdirected(3)));
    one.lead();
    let ahead = Says::Appended { index: 99, commit: 0 };
    assert_eq!(one.step(2, one.replica.term(), ahead), Err(Rejected::Ahead(99)));
}

#[test]
fn a_log_that_lost_what_is_committed_starts_no_replica() {
    let hard = HardState { vote: 0, commit: 9 };
    let start = GroupLog { term: 1, hard, ..behind((3, 1), vec![entry(1, 4)]) };
    let error = Replica::new(&SETTINGS, start, 0).map(drop).unwrap_err().to_string();
    assert!(error.contains("entry 9 is committed, and the log ends with entry 4"), "{error}");
}

#[test]
fn a_term_that_only_an_entry_knows_of_is_gone_on_with_and_nothing_is_promised_in_it() {
    let hard = HardState { vote: 3, commit: 3 };
    let start = GroupLog { term: 1, hard, ..behind((3, 1), vec![entry(4, 4)]) };
    let now_us = ELECTION_TICKS as u64 * TICK_US;
    let mut one = One { replica: Replica::new(&SETTINGS, start, 0).unwrap(), now_us };
    assert_eq!(one.replica.term(), 4);
    one.step(2, 4, Says::Vote(stands(4, 4))).unwrap();
    assert!(matches!(one.settle()[..], [Message { says: Says::Voted { is_refused: false, .. }, .. }]));
}

/// The crate takes off what isn't uncommitted any more when it is asked, from entries that are there.
#[test]
fn what_is_committed_counts_no_more_as_uncommitted_however_early_it_is_given_up() {
    let mut one = One::new();
    one.lead();
    for _ in 0..40 {
        let (term, index) = one.replica.propose(EntryType::Normal, 0, batch(b"key", &[1; 100_000])).unwrap();
        let ready = one.ready();
        one.step(2, term, Says::Appended { index, commit: 3 }).unwrap();
        one.replica.persisted(ready.number);
        one.replica.applied(one.replica.applicable());
        one.replica.give_up(index, 0);
        one.ready();
    }
    assert!(one.replica.bytes() < 250_000, "{}", one.replica.bytes());
}

#[test]
fn who_cannot_write_takes_in_no_more_than_it_keeps() {
    let mut one = One::new();
    let mut term = 1;
    let refused = (0..).find_map(|_| {
        term += 1;
        let refused = one.step(2, term, Says::Heartbeat { commit: 0, read: None }).err();
        one.ready();
        refused
    });
    assert_eq!(refused, Some(Rejected::Busy));
    assert!((4000..4200).contains(&term), "{term}");
}

#[test]
fn a_leadership_that_is_being_handed_over_goes_to_nobody_else() {
    let mut one = One::new();
    one.lead();
    one.replica.hand_over(2);
    one.replica.hand_over(3);
    assert_eq!(one.replica.propose(EntryType::Normal, 0, batch(b"k", b"v")), Err(NotProposed::Busy));
    let term = one.replica.term();
    for from in [3, 2] {
        one.step(from, term, Says::Appended { index: 6, commit: 3 }).unwrap();
    }
    let asked: Vec<_> = one.settle().into_iter().filter(|message| message.says == Says::TimeoutNow).collect();
    assert_eq!(asked.iter().map(|message| message.to).collect::<Vec<_>>(), [2]);
}
