//! After a crash everything acknowledged is there, and nothing half-done shows.

use super::*;
use crate::dir::Dir;
use rand::SeedableRng;

/// A write of one request: keys and values (`None` deletes), or everything goes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Clear,
}

impl Change {
    pub fn random(random: &mut SmallRng) -> Change {
        let mut pair = || {
            let key = format!("k{:02}", random.random_range(0..60)).into_bytes();
            let value = vec![random.random(); random.random_range(1..900)];
            (key, random.random_ratio(4, 5).then_some(value))
        };
        let first = pair();
        match pair().0[1] {
            b'0' => Change::Set(vec![first, pair(), pair(), pair()]),
            _ if random.random_ratio(1, 60) => Change::Clear,
            _ => Change::Set(vec![first]),
        }
    }

    pub fn apply(&self, state: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
        let Change::Set(pairs) = self else { return state.clear() };
        for (key, value) in pairs {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
    }

    pub fn send(&self, hand: &mut Hand, partition: u16) -> u64 {
        let Change::Set(pairs) = self else { return hand.send_to(partition, Op::Clear) };
        let updates: Vec<_> = pairs.iter().map(|(key, value)| (&key[..], update(value.as_deref()))).collect();
        match updates[..] {
            [(key, update)] => hand.send_to(partition, Op::Update { key, update }),
            _ => hand.send_to(partition, Op::UpdateMany { updates: &updates }),
        }
    }
}

fn update(value: Option<&[u8]>) -> Update<'_> {
    match value {
        Some(value) => crate::store::put(value, PutExpiry::Never),
        None => crate::store::delete(),
    }
}

/// What a partition held when it was opened, and what was sent to it since, in order.
#[derive(Clone, Default)]
pub(super) struct History {
    pub base: BTreeMap<Vec<u8>, Vec<u8>>,
    pub sent: Vec<(u64, Change)>,
}

impl History {
    /// Forgets what was refused; returns how many writes from the first on must be there.
    pub fn settle(&mut self, answered: &[(u64, Seen)]) -> usize {
        let answers: BTreeMap<u64, &Seen> = answered.iter().map(|(number, seen)| (*number, seen)).collect();
        self.sent.retain(|(number, _)| !matches!(answers.get(number), Some(Seen::Refused(_))));
        let is_done = |number| matches!(answers.get(number), Some(Seen::Written { .. }));
        self.sent.iter().rposition(|(number, _)| is_done(number)).map_or(0, |last| last + 1)
    }

    /// Checks that the state found is the first so many writes, `least` at least, and goes on from there.
    pub fn check(&mut self, found: BTreeMap<Vec<u8>, Vec<u8>>, least: usize, context: &str) {
        let mut state = std::mem::take(&mut self.base);
        let mut is_prefix = least == 0 && state == found;
        for (place, (_, change)) in self.sent.drain(..).enumerate() {
            change.apply(&mut state);
            is_prefix |= place + 1 >= least && state == found;
        }
        assert!(is_prefix, "{context}: the state is no prefix of what was sent from write {least} on");
        self.base = found;
    }
}

/// Lives that end in power failures at any step: of commits, flushes, merges, manifest edits and recycling.
fn lives(seed: u64, durability: Durability, tuning: Tuning) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut histories = [History::default(), History::default()];
    let mut hand = Hand::new(durability, tuning);
    for life in 0..6 {
        for _ in 0..random.random_range(10..700) {
            let partition = random.random_range(0..2);
            let change = Change::random(&mut random);
            let number = change.send(&mut hand, partition);
            histories[partition as usize].sent.push((number, change));
            for _ in 0..random.random_range(0..12) {
                hand.go_on(&mut random);
            }
            if random.random_ratio(1, 100) {
                hand.shard.flush();
            }
            hand.advance_ms(random.random_range(0..20));
        }
        let least = histories.each_mut().map(|history| history.settle(&hand.answered.0));
        hand = hand.crash(&mut random);
        for partition in 0..2 {
            let context = format!("seed {seed}, {durability:?}, life {life}, partition {partition}");
            let least = if durability == Durability::Sync { least[partition] } else { 0 };
            let found = hand.items(partition as u16);
            histories[partition].check(found, least, &context);
        }
    }
}

#[test]
fn acknowledged_writes_survive_a_crash_at_any_step() {
    for seed in 0..12 {
        lives(seed, Durability::Sync, if seed % 2 == 0 { small() } else { cold() });
    }
}

#[test]
fn a_crash_behind_the_log_leaves_the_first_writes_of_each_partition() {
    for seed in 100..108 {
        lives(seed, Durability::IntervalMs(100), small());
        lives(seed, Durability::None, if seed % 2 == 0 { small() } else { cold() });
    }
}

#[test]
fn a_batch_is_there_whole_or_not_at_all() {
    for seed in 0..30 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut hand = Hand::new(Durability::Sync, small());
        let keys: Vec<_> = (0..100_u32).map(|number| number.to_be_bytes()).collect();
        let value = vec![1; random.random_range(1..500)];
        let updates: Vec<_> = keys.iter().map(|key| (&key[..], update(Some(&value)))).collect();
        hand.send(Op::UpdateMany { updates: &updates });
        for _ in 0..random.random_range(0..20) {
            hand.go_on(&mut random);
        }
        let found = hand.crash(&mut random).items(0).len();
        assert!(found == 0 || found == 100, "seed {seed}: {found} of 100");
    }
}

#[test]
fn an_expired_key_stays_gone_when_the_clock_goes_back_over_a_restart() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.ask(put_expiring(b"k", b"v", PutExpiry::After(500)));
    hand.advance_ms(3000);
    assert_eq!(hand.get(b"k"), Seen::NotFound);
    hand.settle();
    hand.now.unix_us = START_US;
    let mut again = hand.reopen();
    assert_eq!(again.get(b"k"), Seen::NotFound, "the log remembers how late it was");
}

#[test]
fn a_failed_log_write_answers_unknown_and_what_waited_behind_it_is_refused() {
    let mut hand = Hand::new(Durability::Sync, usual());
    hand.put(b"a", b"1");
    let lost = hand.send(put(b"a", b"2"));
    hand.end_turn();
    let behind = hand.send(put(b"b", b"3"));
    for request in std::mem::take(&mut hand.held) {
        let IoRequest::Write { token, .. } = request else { continue };
        let result = Err(std::io::Error::other("the device is gone"));
        hand.shard.complete(IoCompletion { token, result }, &mut hand.answered);
    }
    assert_eq!(hand.answer(lost), Some(&Seen::Unknown));
    assert!(matches!(hand.answer(behind), Some(Seen::Refused(_))), "it was never written");
    assert!(matches!(hand.put(b"c", b"4"), Seen::Refused(_)));
    assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()));
    let mut again = hand.reopen();
    assert_eq!(again.get(b"a"), Seen::Value(b"1".to_vec()));
    assert_eq!(again.put(b"c", b"4"), Seen::Written { existed: 0, old: None });
}

/// Kills the process behind a failed sync whose data the kernel shows and will never write; then the power goes.
fn kill_and_cut_power(mut hand: Hand) -> Hand {
    for request in std::mem::take(&mut hand.held) {
        let IoRequest::Write { file, offset, data, .. } = request else { continue };
        hand.dir.write(file, offset, &data).unwrap();
    }
    hand.dir.forget_unsynced();
    let mut hand = hand.reopen();
    assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()), "the kernel shows it");
    hand.dir.crash_losing_all();
    hand.reopen()
}

#[test]
fn what_was_read_from_the_log_once_stays_although_its_sync_had_failed() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.send(put(b"a", b"1"));
    hand.end_turn();
    assert_eq!(kill_and_cut_power(hand).get(b"a"), Seen::Value(b"1".to_vec()));
}

#[test]
fn an_edit_of_the_manifest_stays_although_its_sync_had_failed() {
    let mut hand = Hand::new(Durability::Sync, small());
    hand.put(b"a", b"1");
    hand.shard.flush();
    hand.end_turn();
    hand.run_jobs();
    hand.end_turn();
    assert!(!hand.held.is_empty(), "the edit is on its way");
    let mut hand = kill_and_cut_power(hand);
    assert_eq!(hand.get(b"a"), Seen::Value(b"1".to_vec()));
    assert!(hand.table_bytes() > 0);
}
