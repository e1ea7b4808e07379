//! Whether what clients saw of a key could have come of one key, on which one request was done after the other (Herlihy and Wing,
//! "Linearizability", 1990; the search is that of Wing and Gong, with the states that were tried remembered, after Lowe).
//!
//! A request is done at one moment between its beginning and its end. One of which nobody heard may be done at any later moment, or never.
//! A number that expires may be gone at any moment, once and for all, and is when its time is long over.

use std::collections::HashSet;

/// So many requests of one key are judged together at most.
pub const ACTS_MAX: usize = 120;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Get,
    Put(i64),
    /// A number that expires after so many microseconds; not within the run, if that is [`LONG_US`].
    PutFor(i64, u64),
    PutIfAbsent(i64),
    Add(i64),
    Delete,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw {
    /// A number; `None`: there is none.
    Value(Option<i64>),
    /// Done.
    Done,
    /// Whether it was done, or was there.
    Was(bool),
    /// The sum.
    Sum(i64),
}

/// Longer than any run.
pub const LONG_US: u64 = 3_600_000_000;

/// What expires is gone when so long has passed since it was put, beside its own time, microseconds: replicas that are out of touch for
/// long don't know all that passed.
const LATE_US: u64 = 8_000_000;

/// A request on a key. Moments are counted in the run, and differ.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub act: Act,
    pub begun: u64,
    /// When it was answered, and what; `None`: nobody knows whether it was done.
    pub ended: Option<(u64, Saw)>,
    /// The times of both, microseconds.
    pub begun_us: u64,
    pub ended_us: u64,
}

/// A number, and until when it may be there if it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    number: i64,
    until_us: Option<u64>,
}

impl Held {
    fn for_ever(number: i64) -> Held {
        Held { number, until_us: None }
    }

    /// Counted on, it expires as it did.
    fn plus(state: Option<Held>, by: i64) -> Held {
        Held {
            number: state.map_or(0, |held| held.number) + by,
            until_us: state.and_then(|held| held.until_us),
        }
    }
}

impl Request {
    /// What it does to a key, and what is answered.
    fn done(&self, state: Option<Held>) -> (Option<Held>, Saw) {
        match self.act {
            Act::Get => (state, Saw::Value(state.map(|held| held.number))),
            Act::Put(number) => (Some(Held::for_ever(number)), Saw::Done),
            Act::PutFor(number, LONG_US) => (Some(Held::for_ever(number)), Saw::Done),
            Act::PutFor(number, us) => {
                // One of which nobody heard may be done at any time.
                let ended_us = self.ended.map_or(u64::MAX / 2, |_| self.ended_us);
                (Some(Held { number, until_us: Some(ended_us + us + LATE_US) }), Saw::Done)
            }
            Act::PutIfAbsent(number) => {
                (Some(state.unwrap_or(Held::for_ever(number))), Saw::Was(state.is_none()))
            }
            Act::Add(by) => {
                let sum = Held::plus(state, by);
                (Some(sum), Saw::Sum(sum.number))
            }
            Act::Delete => (None, Saw::Was(state.is_some())),
        }
    }
}

/// Whether these requests of one key, which isn't there before, are linearizable.
pub fn is_linearizable(requests: &[Request]) -> bool {
    // What nobody heard of and changes nothing says nothing.
    let mut requests: Vec<Request> = requests
        .iter()
        .filter(|request| request.ended.is_some() || request.act != Act::Get)
        .copied()
        .collect();
    assert!(requests.len() <= ACTS_MAX, "{} requests of one key", requests.len());
    requests.sort_by_key(|request| request.begun);
    let known = requests.iter().enumerate().filter(|(_, request)| request.ended.is_some());
    let needed = known.fold(0_u128, |all, (at, _)| all | 1 << at);
    let mut tried = HashSet::new();
    let mut open = vec![(0_u128, None::<Held>)];
    while let Some((made, state)) = open.pop() {
        if made & needed == needed {
            return true;
        }
        let left = || requests.iter().enumerate().filter(move |(at, _)| made & 1 << at == 0);
        let first_end = left().filter_map(|(_, request)| request.ended).map(|(ended, _)| ended).min();
        for (at, request) in left() {
            if first_end.is_some_and(|first_end| request.begun > first_end) {
                break;
            }
            let is_there =
                state.is_some_and(|held| held.until_us.is_none_or(|until_us| request.begun_us <= until_us));
            let may_be_gone = state.is_none_or(|held| held.until_us.is_some());
            for (is_possible, state) in [(is_there, state), (may_be_gone, None)] {
                let (after, saw) = request.done(state);
                let next = (made | 1 << at, after);
                let is_seen = is_possible && request.ended.is_none_or(|(_, seen)| seen == saw);
                if is_seen && tried.insert(next) {
                    open.push(next);
                }
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: u64 = 1_000_000;

    fn request(act: Act, begun: u64, ended: Option<(u64, Saw)>) -> Request {
        let ended_us = ended.map_or(0, |(ended, _)| ended * SECOND_US);
        Request { act, begun, ended, begun_us: begun * SECOND_US, ended_us }
    }

    fn get(begun: u64, ended: u64, value: Option<i64>) -> Request {
        request(Act::Get, begun, Some((ended, Saw::Value(value))))
    }

    #[test]
    fn a_read_sees_the_newest_write_that_ended_before_it() {
        let put = request(Act::Put(1), 1, Some((2, Saw::Done)));
        assert!(is_linearizable(&[put, get(3, 4, Some(1))]));
        assert!(!is_linearizable(&[put, get(3, 4, None)]));
        let second = request(Act::Put(2), 5, Some((6, Saw::Done)));
        assert!(!is_linearizable(&[put, second, get(7, 8, Some(1))]), "a stale read");
        assert!(is_linearizable(&[put, request(Act::Put(2), 5, Some((9, Saw::Done))), get(7, 8, Some(1))]));
    }

    #[test]
    fn reads_of_several_see_one_order() {
        let put = request(Act::Put(1), 1, Some((9, Saw::Done)));
        assert!(is_linearizable(&[put, get(2, 3, None), get(4, 5, Some(1))]));
        assert!(!is_linearizable(&[put, get(2, 3, Some(1)), get(4, 5, None)]), "it was there, and isn't");
    }

    #[test]
    fn what_nobody_heard_of_is_done_late_or_never_and_not_twice() {
        let lost = request(Act::Add(5), 1, None);
        assert!(is_linearizable(&[lost, get(2, 3, None)]));
        assert!(is_linearizable(&[lost, get(2, 3, None), get(4, 5, Some(5))]));
        assert!(!is_linearizable(&[lost, get(2, 3, Some(10))]));
        assert!(!is_linearizable(&[lost, get(2, 3, Some(5)), get(4, 5, None)]));
    }

    #[test]
    fn what_expires_is_gone_once_and_for_all_and_not_for_ever_there() {
        let put = request(Act::PutFor(1, SECOND_US), 1, Some((2, Saw::Done)));
        assert!(is_linearizable(&[put, get(3, 4, Some(1)), get(5, 6, None)]));
        assert!(!is_linearizable(&[put, get(3, 4, None), get(5, 6, Some(1))]), "it comes back");
        assert!(!is_linearizable(&[put, get(30, 31, Some(1))]), "it stays");
        let stays = request(Act::Put(1), 1, Some((2, Saw::Done)));
        assert!(!is_linearizable(&[stays, get(3, 4, None)]));
        let add = request(Act::Add(5), 3, Some((4, Saw::Sum(6))));
        assert!(is_linearizable(&[put, add, get(5, 6, None)]), "it expires as it did");
        let new = request(Act::Add(5), 5, Some((6, Saw::Sum(5))));
        assert!(is_linearizable(&[put, new, get(30, 31, Some(5))]));
        assert!(!is_linearizable(&[put, new, get(30, 31, None)]), "what is new stays");
    }

    #[test]
    fn counters_and_conditions_count_once() {
        let add = |begun, ended, sum| request(Act::Add(1), begun, Some((ended, Saw::Sum(sum))));
        assert!(is_linearizable(&[add(1, 5, 2), add(2, 4, 1)]));
        assert!(!is_linearizable(&[add(1, 5, 1), add(2, 4, 1)]), "one is lost");
        let absent = |begun, ended, was| request(Act::PutIfAbsent(7), begun, Some((ended, Saw::Was(was))));
        assert!(is_linearizable(&[absent(1, 3, true), absent(2, 4, false)]));
        assert!(!is_linearizable(&[absent(1, 3, true), absent(2, 4, true)]), "both hold it");
        assert!(!is_linearizable(&[absent(1, 3, false)]));
    }
}
