//! What scans and counts may answer.
//!
//! - A page of the binary protocol is in the order of keys, within its range, and of one moment in each partition.
//! - A key that was there all the time is found; one that wasn't at any time isn't.
//! - A count lies between the keys that were there all the time and those that were at some time.

use super::history::{Checked, History};
use super::op::{Kind, Op};
use super::seen::SeenValue;
use super::time::SimTime;
use super::violation::Quoted;
use super::window::Window;
use pinion_net::slot::Slot;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

/// Keys seen by a scan are read under this name.
const SCANNER: u64 = u64::MAX;

/// Keys of one register, by their places, and what was seen of them.
type Together = (Vec<usize>, SmallVec<[SeenValue; 1]>);

/// What a page covers: every key within these bounds that is there must be on it.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// Behind this key, or from it on.
    pub from: Bound<&'a [u8]>,
    /// Up to this.
    pub to: Bound<&'a [u8]>,
    /// Keys up to this one were looked for since an earlier moment, too: the page before ended somewhere before it.
    pub gap: Option<(&'a [u8], SimTime)>,
}

/// Which keys a scan is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// They start with this.
    pub prefix: &'a [u8],
    /// They are on this core.
    pub core: Option<usize>,
}

impl History {
    fn is_about(&self, about: About<'_>, key: &[u8]) -> bool {
        let placement = self.placement();
        let core = || placement.core_of(placement.partition_of_slot(Slot::of(key).number()));
        key.starts_with(about.prefix) && about.core.is_none_or(|wanted| wanted == core())
    }

    fn scan_read(&mut self, places: &[usize], sent: SimTime) -> Op {
        let kind = Kind::Read(SmallVec::from_slice(places));
        Op { id: self.next_op(), conn: SCANNER, sent, kind, version_after: 0 }
    }

    /// A page of the binary protocol.
    pub fn page_seen(
        &mut self,
        items: &[(Rc<[u8]>, SeenValue)],
        about: About<'_>,
        covered: Covered<'_>,
        window: Window,
    ) -> Checked {
        self.count("pages");
        if let Some(pair) = items.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(self.scan_violation("a page out of order", &pair[1].0, "a higher key", window.now));
        }
        let bounds = (covered.from, covered.to);
        let is_within = |key: &[u8]| std::ops::RangeBounds::<[u8]>::contains(&bounds, key);
        if let Some((key, _)) = items.iter().find(|(key, _)| !is_within(key) || !self.is_about(about, key)) {
            return Err(self.scan_violation(
                "a page with a key outside of its range",
                key,
                "none",
                window.now,
            ));
        }
        let homes: Vec<_> = self
            .homes(covered.from, covered.to)
            .into_iter()
            .filter(|(key, _)| self.is_about(about, key))
            .collect();
        let found: BTreeMap<&[u8], &SeenValue> = items.iter().map(|(key, seen)| (&**key, seen)).collect();
        if let Some((key, _)) = items.iter().find(|(key, _)| !self.keys.contains_key(key)) {
            return Err(self.scan_violation("a key that nobody wrote", key, "none", window.now));
        }
        // Keys of one register were seen at one moment; but each of those in the gap either by this page or by the one before.
        let mut registers: BTreeMap<usize, Together> = BTreeMap::new();
        for (key, home) in homes {
            let seen = found.get(&*key).map_or(SeenValue::Absent, |seen| (*seen).clone());
            match covered.gap {
                Some((end, since)) if *key < *end => {
                    let window = Window { from: since, ..window };
                    self.see(home.register, &[home.place], SmallVec::from_elem(seen, 1), window)?;
                }
                _ => {
                    let (places, values) = registers.entry(home.register).or_default();
                    places.push(home.place);
                    values.push(seen);
                }
            }
        }
        registers
            .into_iter()
            .try_for_each(|(register, (places, seen))| self.see(register, &places, seen, window))
    }

    fn see(
        &mut self,
        register: usize,
        places: &[usize],
        seen: SmallVec<[SeenValue; 1]>,
        window: Window,
    ) -> Checked {
        let read = self.scan_read(places, window.from);
        let shown = || super::seen::Seen::Values(seen.clone()).to_string();
        let text = shown();
        self.registers[register].looked(read, seen, window).map_err(|broken| {
            let names: Vec<String> = places
                .iter()
                .filter_map(|place| self.registers[register].keys.get(*place))
                .map(|key| Quoted(key).to_string())
                .collect();
            let text = format!("{} for {}", text, names.join(", "));
            self.violation("a scan saw what never was", Some(register), broken.expected, text, window.now)
        })
    }

    /// Keys that SCAN or KEYS answered.
    pub fn keys_seen(&mut self, keys: &[Rc<[u8]>], about: About<'_>, window: Window) -> Checked {
        self.count("pages");
        for key in keys {
            let Some(home) = self.keys.get(key).copied() else {
                return Err(self.scan_violation("a key that nobody wrote", key, "none", window.now));
            };
            if !self.is_about(about, key) {
                let check = "a scan with a key that it doesn't ask for";
                return Err(self.scan_violation(check, key, "none", window.now));
            }
            self.see(home.register, &[home.place], SmallVec::from_elem(SeenValue::THERE, 1), window)?;
        }
        Ok(())
    }

    /// A scan of all keys has ended: these were seen on its way.
    pub fn scan_complete(
        &mut self,
        seen: &std::collections::BTreeSet<Rc<[u8]>>,
        about: About<'_>,
        window: Window,
    ) -> Checked {
        self.count("complete scans");
        for (key, home) in self.homes(Bound::Unbounded, Bound::Unbounded) {
            if seen.contains(&key) || !self.is_about(about, &key) {
                continue;
            }
            let read = self.scan_read(&[home.place], window.from);
            if self.registers[home.register].is_surely_there(home.place, read, window) {
                let check = "a scan missed a key that was there all the time";
                return Err(self.scan_violation(check, &key, "the key", window.now));
            }
        }
        Ok(())
    }

    /// A count of keys.
    pub fn count_seen(
        &mut self,
        count: u64,
        about: About<'_>,
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        window: Window,
    ) -> Checked {
        self.count("counts");
        let (mut least, mut most) = (0, 0);
        for (key, home) in self.homes(from, to) {
            if !self.is_about(about, &key) || !self.registers[home.register].may_be_there(home.place, window)
            {
                continue;
            }
            most += 1;
            let read = self.scan_read(&[home.place], window.from);
            least += u64::from(self.registers[home.register].is_surely_there(home.place, read, window));
        }
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let (expected, seen) = (format!("{least} to {most} keys"), count.to_string());
        Err(self.violation("a count that can't be right", None, expected, seen, window.now))
    }

    fn scan_violation(
        &self,
        check: &'static str,
        key: &[u8],
        expected: &str,
        at: SimTime,
    ) -> Box<super::Violation> {
        let register = self.keys.get(key).map(|home| home.register);
        let mut violation = self.violation(check, register, expected.to_owned(), Quoted(key).to_string(), at);
        violation.key = Some(key.to_vec());
        violation
    }
}
