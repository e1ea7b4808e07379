//! Whether what clients saw of a key could have come of one key, on which one request was done after the other (Herlihy and Wing,
//! "Linearizability", 1990; the search is that of Wing and Gong, with the states that were tried remembered, after Lowe).
//!
//! A request is done at one moment between its beginning and its end. One of which nobody heard may be done at any later moment, or never.

use std::collections::HashSet;

/// So many requests of one key are judged together at most.
pub const ACTS_MAX: usize = 120;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Get,
    Put(i64),
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

/// A request on a key. Times are steps of the run, which differ.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub act: Act,
    pub begun: u64,
    /// When it was answered, and what; `None`: nobody knows whether it was done.
    pub ended: Option<(u64, Saw)>,
}

/// What a request does to a key, and what is answered.
fn done(act: Act, state: Option<i64>) -> (Option<i64>, Saw) {
    match act {
        Act::Get => (state, Saw::Value(state)),
        Act::Put(number) => (Some(number), Saw::Done),
        Act::PutIfAbsent(number) => (Some(state.unwrap_or(number)), Saw::Was(state.is_none())),
        Act::Add(by) => {
            let sum = state.unwrap_or(0) + by;
            (Some(sum), Saw::Sum(sum))
        }
        Act::Delete => (None, Saw::Was(state.is_some())),
    }
}

/// Whether these requests of one key, which isn't there before, are linearizable.
pub fn is_linearizable(requests: &[Request]) -> bool {
    assert!(requests.len() <= ACTS_MAX, "{} requests of one key", requests.len());
    // What nobody heard of and changes nothing says nothing.
    let mut requests: Vec<Request> = requests
        .iter()
        .filter(|request| request.ended.is_some() || request.act != Act::Get)
        .copied()
        .collect();
    requests.sort_by_key(|request| request.begun);
    let known = requests.iter().enumerate().filter(|(_, request)| request.ended.is_some());
    let needed = known.fold(0_u128, |all, (at, _)| all | 1 << at);
    let mut tried = HashSet::new();
    let mut open = vec![(0_u128, None)];
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
            let (after, saw) = done(request.act, state);
            let next = (made | 1 << at, after);
            if request.ended.is_none_or(|(_, seen)| seen == saw) && tried.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(act: Act, begun: u64, ended: Option<(u64, Saw)>) -> Request {
        Request { act, begun, ended }
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
