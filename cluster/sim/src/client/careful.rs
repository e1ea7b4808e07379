//! A client that sends what it doesn't know the outcome of again, under the same number, over crashes and restarts, until it knows.
//!
//! Its keys are its own, so it knows what each of them holds: a counter that counts twice for one request, a lock that a request
//! finds taken by its own first copy, or that a late copy takes, shows at once. To the history each attempt is a request of
//! its own that leaves the key as the whole is to leave it; what others read is held against that.

use super::conn::Conn;
use super::request::Key;
use super::wire;
use crate::model::op::{Condition as OpCondition, NewExpiry, Update};
use crate::model::seen::{Refusal, Seen};
use crate::model::{Ask, Checked, History, SimTime, Ticket, Told, Violation};
use pinion_net::wire::{Command, Condition, ErrorCode, Expiry, Once, Reply};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::num::NonZeroU128;
use std::rc::Rc;

/// Counters, and locks, that it has.
const KEYS_EACH: usize = 3;
/// It gives a key up whose request was refused so often after an attempt of unknown outcome.
const ATTEMPTS_MAX: u32 = 400;
/// And one that it couldn't go on with so often.
const PUT_OFF_MAX: u32 = 50;
/// How often it vanishes instead of sending, per mille.
const VANISHES: u32 = 25;

/// See the module's text.
#[derive(Debug)]
pub struct Careful {
    client: NonZeroU128,
    number: usize,
    /// The number of its next request.
    next: u64,
    /// What the server's clock showed, and when.
    clock: Option<(u64, SimTime)>,
    /// The node has little memory for what requests came to.
    may_be_forgotten: bool,
    keys: Vec<OwnKey>,
    errands: BTreeMap<u64, Errand>,
}

/// A key that nobody else touches.
#[derive(Debug)]
struct OwnKey {
    name: Key,
    is_counter: bool,
    /// What it counts, or whether it is there.
    count: u64,
    is_busy: bool,
}

/// What it wants done once.
#[derive(Debug)]
struct Errand {
    key: usize,
    first_sent_us: Option<u64>,
    /// An attempt's outcome is unknown.
    is_unknown: bool,
    /// An attempt waits for its answer.
    is_sent: bool,
    attempts: u32,
    put_off: u32,
}

impl Careful {
    /// The client with this number.
    pub fn new(number: usize, may_be_forgotten: bool) -> Careful {
        let mut careful = Careful {
            client: NonZeroU128::MIN.saturating_add(number as u128),
            number,
            next: 1,
            clock: None,
            may_be_forgotten,
            keys: Vec::new(),
            errands: BTreeMap::new(),
        };
        for n in 0..2 * KEYS_EACH {
            let key = careful.key(n % 2 == 0);
            careful.keys.push(key);
        }
        careful
    }

    /// A new key of its own.
    fn key(&self, is_counter: bool) -> OwnKey {
        let name = format!("own{}.{}", self.number, self.keys.len());
        OwnKey { name: name.into_bytes().into(), is_counter, count: 0, is_busy: false }
    }

    /// Its id.
    pub fn client(&self) -> NonZeroU128 {
        self.client
    }

    /// Requests that it doesn't know the outcome of.
    pub fn open(&self) -> usize {
        self.errands.len()
    }

    /// Whether it could send something now, if it may begin something new.
    pub fn wants_to_send(&self, may_begin: bool) -> bool {
        let has_errand = self.errands.values().any(|errand| !errand.is_sent);
        let can_begin = may_begin && self.keys.iter().any(|key| !key.is_busy);
        has_errand || can_begin
    }

    /// Whether it leaves instead of sending.
    pub fn vanishes(&self, rng: &mut SmallRng) -> bool {
        rng.random_range(0..1000) < VANISHES
    }

    /// Sends something, if it can: says whether that is new. Else it asks for the time, so that something goes on.
    pub fn send(
        &mut self,
        conn: &mut Conn,
        may_begin: bool,
        (now, rng): (SimTime, &mut SmallRng),
        history: &mut History,
        out: &mut Vec<u8>,
    ) -> Option<bool> {
        let waiting: Vec<u64> =
            self.errands.iter().filter(|(_, errand)| !errand.is_sent).map(|(&number, _)| number).collect();
        let free: Vec<usize> = (0..self.keys.len()).filter(|&key| !self.keys[key].is_busy).collect();
        let begins = waiting.is_empty() || may_begin && !free.is_empty() && rng.random();
        let Some((told_us, at)) = self.clock else {
            conn.hello(now, out);
            return None;
        };
        let number = match begins {
            true if !may_begin || free.is_empty() => return None,
            true => self.begin(free[rng.random_range(0..free.len())]),
            false => waiting[rng.random_range(0..waiting.len())],
        };
        let lowest = self.errands.keys().next().copied().unwrap_or(number);
        let errand = self.errands.get_mut(&number)?;
        let key = &self.keys[errand.key];
        if !history.has_room(&key.name) {
            // Too much is open of this key to go on with it at once, or ever: nothing more may come that settles it.
            errand.put_off += 1;
            if errand.put_off > PUT_OFF_MAX {
                self.give_up(number);
            }
            history.count("requests that were put off");
            conn.hello(now, out);
            return begins.then_some(true);
        }
        let server_us = told_us + now.us.saturating_sub(at.us);
        let first_sent_us = *errand.first_sent_us.get_or_insert(server_us);
        let once = Once { number, lowest, first_sent_us, is_again: errand.is_unknown };
        (errand.is_sent, errand.attempts) = (true, errand.attempts + 1);
        if errand.is_unknown {
            history.count("requests sent again");
        }
        let value = key.value();
        let ask = Ask::Update(Rc::clone(&key.name), key.update(&value));
        conn.send_once(number, (key.command(&value), once), ask, now, history, out);
        Some(begins)
    }

    fn begin(&mut self, key: usize) -> u64 {
        self.keys[key].is_busy = true;
        let number = self.next;
        self.next += 1;
        let errand =
            Errand { key, first_sent_us: None, is_unknown: false, is_sent: false, attempts: 0, put_off: 0 };
        self.errands.insert(number, errand);
        number
    }

    /// The server said what time it is.
    pub fn learned(&mut self, server_us: u64, now: SimTime) {
        self.clock = Some((server_us, now));
    }

    /// The connection is gone, and with it the answer to this request.
    pub fn lost(&mut self, number: u64) {
        if let Some(errand) = self.errands.get_mut(&number) {
            (errand.is_sent, errand.is_unknown) = (false, true);
        }
    }

    /// A request certainly wasn't executed, as far as this attempt goes.
    pub fn not_done(&mut self, number: u64) {
        if let Some(errand) = self.errands.get_mut(&number) {
            errand.is_sent = false;
            if errand.is_unknown && errand.attempts > ATTEMPTS_MAX {
                self.give_up(number);
            }
        }
    }

    /// Nobody will ever know what became of a request: its key is left alone.
    fn give_up(&mut self, number: u64) {
        let Some(errand) = self.errands.remove(&number) else { return };
        let key = self.key(self.keys[errand.key].is_counter);
        self.keys.push(key);
    }

    /// Takes the answer to a request.
    pub fn answered(
        &mut self,
        number: u64,
        ticket: Ticket,
        reply: &Reply<'_>,
        now: SimTime,
        history: &mut History,
    ) -> Checked {
        let Some(errand) = self.errands.get_mut(&number) else { return Ok(()) };
        let key = &mut self.keys[errand.key];
        match reply {
            Reply::Refused { code: ErrorCode::CLOCK, .. } => {
                history.count("refused: first sent at a wrong time");
                history.answered(ticket, Told::Whole(Seen::Refused(Refusal::Busy)), now)?;
                errand.is_sent = false;
                // Too early for what is forgotten, or ahead of a core that hasn't heard of the time yet.
                self.clock = None;
                match errand.is_unknown {
                    true => self.give_up(number),
                    false => errand.first_sent_us = None,
                }
            }
            Reply::Refused { code, .. } => {
                history.answered(ticket, Told::Whole(Seen::Refused(wire::refusal(*code))), now)?;
                self.not_done(number);
            }
            Reply::Unknown { code: ErrorCode::FORGOTTEN, .. }
                if self.may_be_forgotten && errand.is_unknown =>
            {
                history.count("requests forgotten");
                history.lost(ticket, now)?;
                self.give_up(number);
            }
            Reply::Unknown { code, .. } if *code != ErrorCode::FORGOTTEN => {
                history.answered(ticket, Told::Whole(Seen::Unknown), now)?;
                self.lost(number);
            }
            reply if key.is_done(reply) => {
                history.count("requests done once");
                let done = Seen::Written { version: None, existed: None, old: None };
                // Which of several attempts did it only the node knows.
                match errand.is_unknown {
                    true => history.lost(ticket, now)?,
                    false => history.answered(ticket, Told::Whole(done), now)?,
                }
                key.count = key.next();
                key.is_busy = false;
                self.errands.remove(&number);
            }
            reply => {
                let seen = format!("{reply:?} to request {number} on attempt {}", errand.attempts);
                return Err(key.violation(seen, now));
            }
        }
        Ok(())
    }
}

impl OwnKey {
    /// What it holds after the next request.
    fn next(&self) -> u64 {
        if self.is_counter { self.count + 1 } else { 1 - self.count }
    }

    fn value(&self) -> Rc<[u8]> {
        if self.is_counter { self.next().to_string().into_bytes().into() } else { b"locked"[..].into() }
    }

    /// What is sent.
    fn command<'a>(&'a self, value: &'a [u8]) -> Command<'a> {
        let key = &self.name;
        let (condition, expiry) = (Condition::Absent, Expiry::Never);
        match (self.is_counter, self.count) {
            (true, _) => Command::Increment { key, by: 1 },
            (false, 0) => Command::Put { key, value, expiry, condition, want_old: false },
            _ => Command::Delete { key, condition: Condition::None, want_old: false, want_existed: true },
        }
    }

    /// What an attempt is to the history.
    fn update(&self, value: &Rc<[u8]>) -> Update {
        match (self.is_counter, self.count) {
            (false, 1) => Update::Delete { condition: OpCondition::Always, old: false },
            _ => {
                let (bytes, expiry) = (Rc::clone(value), NewExpiry::Never);
                Update::Put { bytes, expiry, condition: OpCondition::Always, old: false }
            }
        }
    }

    /// Whether this is what a request comes to that is done once.
    fn is_done(&self, reply: &Reply<'_>) -> bool {
        match reply {
            Reply::Integer(sum) => self.is_counter && u64::try_from(*sum) == Ok(self.next()),
            Reply::Written { .. } => !self.is_counter,
            _ => false,
        }
    }

    fn violation(&self, seen: String, at: SimTime) -> Box<Violation> {
        let expected = match (self.is_counter, self.count) {
            (true, _) => format!("the sum {}", self.next()),
            (false, 0) => "that it is set, as it wasn't there".to_owned(),
            _ => "that it is deleted, as it was there".to_owned(),
        };
        Box::new(Violation {
            check: "a request is done once, however often it is sent",
            key: Some(self.name.to_vec()),
            expected,
            seen,
            at,
            last_ops: Vec::new(),
        })
    }
}
