//! What a partition should hold: the writes that were sent to it, in order.

use super::node::{Answered, Node, Seen};
use pinion_engine::shard::request::{Condition, Op, PutExpiry, Update};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;

pub(super) type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// The keys are so many.
pub(super) const KEYS: usize = 60;

/// One write: keys and values (`None` deletes), or everything goes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Clear,
}

impl Change {
    pub fn keys() -> impl Iterator<Item = Vec<u8>> {
        (0..KEYS).map(|number| format!("k{number:02}").into_bytes())
    }

    pub fn random(rng: &mut SmallRng) -> Change {
        let count = match rng.random_range(0..80) {
            0 => return Change::Clear,
            1..10 => 4,
            _ => 1,
        };
        let pair = |_| {
            let key = format!("k{:02}", rng.random_range(0..KEYS)).into_bytes();
            let value = vec![rng.random(); rng.random_range(1..900)];
            (key, rng.random_ratio(4, 5).then_some(value))
        };
        Change::Set((0..count).map(pair).collect())
    }

    /// Sets one key to a value of one length: tables that are made of such writes have their blocks in the same places.
    pub fn alike(rng: &mut SmallRng) -> Change {
        let key = format!("k{:02}", rng.random_range(0..KEYS)).into_bytes();
        Change::Set(vec![(key, Some(vec![rng.random(); 300]))])
    }

    fn apply(&self, state: &mut State) {
        let Change::Set(pairs) = self else { return state.clear() };
        for (key, value) in pairs {
            match value {
                Some(value) => state.insert(key.clone(), value.clone()),
                None => state.remove(key),
            };
        }
    }

    pub fn send(&self, node: &mut Node, partition: usize) -> u64 {
        let Change::Set(pairs) = self else { return node.send(partition, Op::Clear) };
        let updates: Vec<_> = pairs.iter().map(|(key, value)| (&key[..], update(value.as_deref()))).collect();
        match updates[..] {
            [(key, update)] => node.send(partition, Op::Update { key, update }),
            _ => node.send(partition, Op::UpdateMany { updates: &updates }),
        }
    }
}

fn update(value: Option<&[u8]>) -> Update<'_> {
    let condition = Condition::None;
    match value {
        Some(value) => Update::Put { value, expiry: PutExpiry::Never, condition, want_old: false },
        None => Update::Delete { condition, want_old: false, want_existed: false },
    }
}

/// What a partition held when it was opened, and what was sent to it since, in order.
#[derive(Debug, Default)]
pub(super) struct History {
    base: State,
    sent: Vec<(u64, Change)>,
}

impl History {
    /// Takes a write that was sent, unless it was refused at once.
    pub fn push(&mut self, number: u64, change: Change, answer: Option<&Seen>) {
        if answer != Some(&Seen::Refused) {
            self.sent.push((number, change));
        }
    }

    /// What is there if everything sent takes place that hasn't failed yet.
    pub fn last_state(&self, answers: &Answered) -> State {
        let has_failed = |number| matches!(answers.0.get(number), Some(Seen::Refused | Seen::Unknown));
        let mut state = self.base.clone();
        let lasting = self.sent.iter().filter(|(number, _)| !has_failed(number));
        lasting.for_each(|(_, change)| change.apply(&mut state));
        state
    }

    /// Forgets what was refused, and what was unknown before a shard took writes again: by then it had settled that it
    /// isn't there. Returns how many writes from the first on must be there.
    pub fn settle(&mut self, answers: &Answered) -> usize {
        let is_done = |number: &u64| answers.0.get(number) == Some(&Seen::Written);
        let last_done =
            self.sent.iter().map(|(number, _)| *number).rfind(|number| is_done(number)).unwrap_or(0);
        self.sent.retain(|(number, _)| match answers.0.get(number) {
            Some(Seen::Refused) => false,
            Some(Seen::Unknown) => *number > last_done,
            _ => true,
        });
        self.sent.iter().rposition(|(number, _)| is_done(number)).map_or(0, |last| last + 1)
    }

    /// Checks that the state found is the first so many writes, `least` at least, and goes on from there.
    pub fn check(&mut self, found: &State, least: usize, context: &str) {
        let mut state = std::mem::take(&mut self.base);
        let mut is_prefix = least == 0 && state == *found;
        let sent = self.sent.len();
        for (place, (_, change)) in self.sent.drain(..).enumerate() {
            change.apply(&mut state);
            is_prefix |= place + 1 >= least && state == *found;
        }
        assert!(is_prefix, "{context}: the state is none of those after {least} to {sent} writes");
        self.base.clone_from(found);
    }
}
