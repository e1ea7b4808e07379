//! Requests that must wait for their turn on a key.
//!
//! A conditional update whose key lies in a cold block can't be evaluated on arrival; everything that
//! arrives for that key meanwhile must take effect after it. So each key has a line of request numbers;
//! a request stands in the lines of all its keys from the moment it arrives, and runs when it is first
//! in each. All lines have the same order, that of arrival, so nobody waits in a circle.
//!
//! A `clear` of a partition that arrives while there are lines stands in all of them, and in one more,
//! of the bare prefix, which every later request for the partition joins too.

use smallvec::SmallVec;
use std::collections::{HashMap, VecDeque};

/// Numbers a waiting request; rises with arrival.
pub(super) type Waiting = u64;

/// Requests whose turn it may be.
pub(super) type Ready = SmallVec<[Waiting; 4]>;

/// The lines of all keys that have one.
#[derive(Debug, Default)]
pub(super) struct KeyLines {
    lines: HashMap<Box<[u8]>, VecDeque<Waiting>>,
}

impl KeyLines {
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether somebody stands in a key's line.
    pub fn has(&self, key: &[u8]) -> bool {
        self.lines.contains_key(key)
    }

    /// The keys with a line that begin with `prefix`.
    pub fn keys_of(&self, prefix: &[u8]) -> Vec<Box<[u8]>> {
        self.lines.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Puts a request at the end of its keys' lines.
    pub fn join<'a>(&mut self, waiting: Waiting, keys: impl Iterator<Item = &'a [u8]>) {
        for key in keys {
            let line = self.lines.entry(key.into()).or_default();
            // A request may name a key twice; it stands in line once.
            if line.back() != Some(&waiting) {
                line.push_back(waiting);
            }
        }
    }

    /// Whether a request is first in the line of each of its keys.
    pub fn is_first<'a>(&self, waiting: Waiting, mut keys: impl Iterator<Item = &'a [u8]>) -> bool {
        keys.all(|key| self.lines.get(key).is_some_and(|line| line.front() == Some(&waiting)))
    }

    /// Takes a request that ran out of its lines; returns those that are first in one now.
    pub fn leave<'a>(&mut self, waiting: Waiting, keys: impl Iterator<Item = &'a [u8]>) -> Ready {
        let mut next = Ready::new();
        for key in keys {
            let Some(line) = self.lines.get_mut(key) else { continue };
            if line.front() == Some(&waiting) {
                line.pop_front();
            } else {
                line.retain(|&other| other != waiting);
            }
            match line.front() {
                None => {
                    self.lines.remove(key);
                }
                Some(&first) if !next.contains(&first) => next.push(first),
                Some(_) => {}
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> + Clone {
        names.iter().map(|name| name.as_bytes())
    }

    #[test]
    fn a_request_runs_when_it_is_first_in_all_its_lines() {
        let mut lines = KeyLines::default();
        lines.join(1, keys(&["a"]));
        lines.join(2, keys(&["a", "b"]));
        lines.join(3, keys(&["b"]));
        assert!(lines.is_first(1, keys(&["a"])));
        assert!(!lines.is_first(2, keys(&["a", "b"])));
        assert!(!lines.is_first(3, keys(&["b"])));
        assert_eq!(lines.leave(1, keys(&["a"])).as_slice(), [2]);
        assert!(lines.is_first(2, keys(&["a", "b"])));
        assert_eq!(lines.leave(2, keys(&["a", "b"])).as_slice(), [3]);
        assert!(lines.leave(3, keys(&["b"])).is_empty());
        assert!(lines.is_empty());
    }

    #[test]
    fn a_key_named_twice_is_one_place_in_line() {
        let mut lines = KeyLines::default();
        lines.join(1, keys(&["a", "a"]));
        assert!(lines.is_first(1, keys(&["a", "a"])));
        assert!(lines.leave(1, keys(&["a", "a"])).is_empty());
        assert!(lines.is_empty());
    }
}
