//! Scans in pages, and counts: what a connection has under way.

use super::port::Port;
use super::request::Key;
use super::shape::WorkloadShape;
use super::{resp, wire};
use crate::model::seen::SeenValue;
use crate::model::{About, Checked, Covered, History, SimTime, Window};
use pinion_net::resp::client::Reply;
use pinion_net::wire::{Command, Range, Scan};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::rc::Rc;

/// A scan or count that is under way.
#[derive(Debug)]
pub struct Scanner {
    /// Its number in the history.
    id: u64,
    kind: Kind,
    began: SimTime,
    prefix: Vec<u8>,
    /// First key, and first key beyond the end; empty: none.
    from: Vec<u8>,
    to: Vec<u8>,
    core: Option<usize>,
    /// Where it goes on.
    cursor: Vec<u8>,
    /// The last key that was seen, and since when keys behind it were looked for.
    last: Option<(Key, SimTime)>,
    seen: BTreeSet<Key>,
    keys_only: bool,
    /// How many items the page that is waited for may have; 0: as many as it likes.
    limit: u32,
    page_sent: SimTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Count,
    Keys,
    Scan,
}

/// How a scan goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is another page to ask for.
    Page,
    /// It is over.
    Over,
}

impl Scanner {
    /// Begins one at random.
    pub fn begin(
        (is_resp, port): (bool, Port),
        shape: &WorkloadShape,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
    ) -> Scanner {
        let mut scanner = Scanner::everything(is_resp, port, now, history);
        scanner.kind = match rng.random_range(0..5) {
            0 => Kind::Count,
            1 if is_resp => Kind::Keys,
            _ => Kind::Scan,
        };
        scanner.keys_only = rng.random();
        let prefix = match rng.random_range(0..6) {
            0 if shape.groups > 0 => format!("{{g{}}}", rng.random_range(0..shape.groups)),
            1 => ["h", "n", "c", "{g", "c1"][rng.random_range(0..5)].to_owned(),
            _ => String::new(),
        };
        let is_plain_count = is_resp && scanner.kind == Kind::Count;
        if !is_plain_count {
            scanner.prefix = prefix.into_bytes();
        }
        if !is_resp && rng.random_range(0..4) == 0 {
            let bound = |rng: &mut SmallRng| format!("c{}", rng.random_range(0..99)).into_bytes();
            (scanner.from, scanner.to) = (bound(rng), bound(rng));
        }
        scanner
    }

    /// A scan over everything with values.
    pub fn everything(is_resp: bool, port: Port, now: SimTime, history: &mut History) -> Scanner {
        let core = match port {
            Port::Core(core) if is_resp => Some(core),
            _ => None,
        };
        Scanner {
            id: history.scan_began(now),
            kind: Kind::Scan,
            began: now,
            prefix: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            core,
            cursor: Vec::new(),
            last: None,
            seen: BTreeSet::new(),
            keys_only: false,
            limit: 0,
            page_sent: now,
        }
    }

    /// A count of everything.
    pub fn count_everything(is_resp: bool, port: Port, now: SimTime, history: &mut History) -> Scanner {
        Scanner { kind: Kind::Count, ..Scanner::everything(is_resp, port, now, history) }
    }

    /// Its number in the history.
    pub fn id(&self) -> u64 {
        self.id
    }

    fn about(&self) -> About<'_> {
        About { prefix: &self.prefix, core: self.core }
    }

    /// Appends the next request of RESP.
    pub fn append_resp(&mut self, now: SimTime, rng: &mut SmallRng, out: &mut Vec<u8>) {
        self.page_sent = now;
        let pattern = [&self.prefix, &b"*"[..]].concat();
        let words: Vec<Vec<u8>> = match self.kind {
            Kind::Count => vec![b"DBSIZE".to_vec()],
            Kind::Keys => vec![b"KEYS".to_vec(), pattern],
            Kind::Scan => {
                let cursor = if self.cursor.is_empty() { b"0".to_vec() } else { self.cursor.clone() };
                let mut words = vec![b"SCAN".to_vec(), cursor];
                if !self.prefix.is_empty() {
                    words.extend([b"MATCH".to_vec(), pattern]);
                }
                if rng.random() {
                    let count = 1 << rng.random_range(0..10);
                    words.extend([b"COUNT".to_vec(), i32::to_string(&count).into_bytes()]);
                }
                words
            }
        };
        resp::command(&words, out);
    }

    /// Appends the next request of the binary protocol.
    pub fn append_wire(
        &mut self,
        (id, checked): (u64, bool),
        now: SimTime,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) {
        self.page_sent = now;
        let range = Range { from: &self.from, to: &self.to, prefix: &self.prefix };
        if self.kind == Kind::Count {
            return wire::command(Command::Count(range), id, checked, out);
        }
        self.limit = if rng.random_range(0..4) == 0 { 0 } else { 1 << rng.random_range(0..10) };
        let scan = Scan { range, cursor: &self.cursor, limit: self.limit, keys_only: self.keys_only };
        wire::command(Command::Scan(scan), id, checked, out);
    }

    /// Takes in a reply of RESP that is no error; `None`: it is of the wrong kind.
    pub fn take_resp(
        &mut self,
        reply: &Reply<'_>,
        now: SimTime,
        history: &mut History,
    ) -> Option<Checked<Next>> {
        let window = Window { from: self.page_sent, now };
        match (self.kind, reply) {
            (Kind::Count, Reply::Integer(count)) => {
                let all = (Bound::Unbounded, Bound::Unbounded);
                let done = history.count_seen(u64::try_from(*count).ok()?, self.about(), all, window);
                Some(done.map(|()| Next::Over))
            }
            (Kind::Keys, Reply::Array(keys)) => {
                let keys = keys_of(keys)?;
                Some(self.take_keys(&keys, true, window, history))
            }
            (Kind::Scan, Reply::Array(parts)) => {
                let [Reply::Bulk(cursor), Reply::Array(keys)] = parts.as_slice() else { return None };
                let is_over = *cursor == b"0";
                self.cursor = cursor.to_vec();
                let keys = keys_of(keys)?;
                Some(self.take_keys(&keys, is_over, window, history))
            }
            _ => None,
        }
    }

    fn take_keys(
        &mut self,
        keys: &[Key],
        is_over: bool,
        window: Window,
        history: &mut History,
    ) -> Checked<Next> {
        history.keys_seen(keys, self.about(), window)?;
        self.seen.extend(keys.iter().cloned());
        if !is_over {
            return Ok(Next::Page);
        }
        let window = Window { from: self.began, ..window };
        history.scan_complete(&self.seen, self.about(), window).map(|()| Next::Over)
    }

    /// Takes in a response of the binary protocol that is no error; `None`: it is of the wrong kind.
    pub fn take_wire(
        &mut self,
        reply: &pinion_net::wire::Reply<'_>,
        now: SimTime,
        history: &mut History,
    ) -> Option<Checked<Next>> {
        use pinion_net::wire::Reply;
        let window = Window { from: self.page_sent, now };
        match (self.kind, reply) {
            (Kind::Count, Reply::Integer(count)) => {
                let count = u64::try_from(*count).ok()?;
                let done = history.count_seen(count, self.about(), self.bounds(), window);
                Some(done.map(|()| Next::Over))
            }
            (Kind::Scan, Reply::Page(page)) => {
                if self.limit > 0 && page.len() > self.limit as usize {
                    return None;
                }
                let items: Vec<(Key, SeenValue)> = page
                    .iter()
                    .map(|item| (Rc::from(item.key), wire::value(item.value, !self.keys_only)))
                    .collect();
                Some(self.take_page(&items, page.next_cursor(), window, history))
            }
            _ => None,
        }
    }

    /// From the first key to the last that the range has.
    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let to = if self.to.is_empty() { Bound::Unbounded } else { Bound::Excluded(&self.to[..]) };
        (Bound::Included(&self.from), to)
    }

    fn take_page(
        &mut self,
        items: &[(Key, SeenValue)],
        cursor: Option<&[u8]>,
        window: Window,
        history: &mut History,
    ) -> Checked<Next> {
        let (mut from, mut to) = self.bounds();
        let since = self.last.as_ref().map_or(self.began, |(_, since)| *since);
        if let Some((last, _)) = &self.last {
            from = Bound::Excluded(last);
        }
        let last = items.last().map(|(key, _)| Rc::clone(key));
        if cursor.is_some() {
            // More is to come: nothing is said of what lies behind the last key.
            to = match &last {
                Some(last) => Bound::Included(last),
                None => Bound::Excluded(&self.from),
            };
        }
        let end: &[u8] = match (items.first(), cursor) {
            (Some((first, _)), _) => first,
            (None, _) => &[0xff; 64],
        };
        let covered = Covered { from, to, gap: Some((end, since)) };
        history.page_seen(items, self.about(), covered, window)?;
        if let Some(last) = last {
            self.last = Some((last, window.from));
        }
        self.cursor = cursor.unwrap_or_default().to_vec();
        Ok(if cursor.is_some() { Next::Page } else { Next::Over })
    }
}

fn keys_of(replies: &[Reply<'_>]) -> Option<Vec<Key>> {
    replies
        .iter()
        .map(|reply| match reply {
            Reply::Bulk(key) => Some(Rc::from(*key)),
            _ => None,
        })
        .collect()
}
