//! Histories written by hand: those that must be accepted, and for each kind of lie one that must not.

mod crashes;
mod expiry;
mod order;
mod scans;

use super::op::{Condition, NewExpiry, Update};
use super::seen::{Seen, SeenValue};
use super::{Ask, Checked, History, HistoryOptions, SimTime, Ticket, Told};
use smallvec::SmallVec;
use std::rc::Rc;

const CLOCK_MS: u64 = 1_000_000;

/// A history that is told step by step, a millisecond each.
struct Story {
    history: History,
    us: u64,
}

fn key(name: &str) -> Rc<[u8]> {
    name.as_bytes().into()
}

fn put_of(value: &str) -> Update {
    Update::Put {
        bytes: value.as_bytes().into(),
        expiry: NewExpiry::Never,
        condition: Condition::Always,
        old: false,
    }
}

/// Done, as RESP says it.
fn ok() -> Told {
    written(None)
}

fn written(version: Option<u64>) -> Told {
    Told::Whole(Seen::Written { version, existed: None, old: None })
}

fn there(value: &str, version: Option<u64>) -> SeenValue {
    SeenValue::There { bytes: Some(value.as_bytes().into()), version, expiry: None }
}

/// What a read sees; "-": nothing.
fn values(values: &[&str]) -> Told {
    let seen = |value: &&str| if *value == "-" { SeenValue::Absent } else { there(value, None) };
    Told::Whole(Seen::Values(values.iter().map(seen).collect::<SmallVec<_>>()))
}

impl Story {
    fn new() -> Story {
        Story::of(false)
    }

    /// One whose crashes may take something back.
    fn of_loss() -> Story {
        Story::of(true)
    }

    fn of(may_lose: bool) -> Story {
        let options =
            HistoryOptions { partitions: 1, cores: 1, may_lose, may_time_out: false, loss_us_max: u64::MAX };
        Story { history: History::new(options), us: 0 }
    }

    fn now(&self) -> SimTime {
        SimTime::exact(self.us, CLOCK_MS + self.us / 1000)
    }

    fn tick(&mut self) -> SimTime {
        self.us += 1000;
        self.now()
    }

    fn ask(&mut self, conn: u64, ask: Ask) -> Ticket {
        let now = self.tick();
        self.history.ask(conn, now, ask)
    }

    fn tell(&mut self, ticket: Ticket, told: Told) -> Checked {
        let now = self.tick();
        self.history.answered(ticket, told, now)
    }

    fn put(&mut self, conn: u64, name: &str, value: &str) -> Ticket {
        self.ask(conn, Ask::Update(key(name), put_of(value)))
    }

    fn put_after(&mut self, conn: u64, name: &str, value: &str, ms: u64) -> Ticket {
        let (bytes, expiry) = (value.as_bytes().into(), NewExpiry::After(ms));
        let update = Update::Put { bytes, expiry, condition: Condition::Always, old: false };
        self.ask(conn, Ask::Update(key(name), update))
    }

    fn add(&mut self, conn: u64, name: &str, by: i64) -> Ticket {
        self.ask(conn, Ask::Update(key(name), Update::Increment { by }))
    }

    fn delete(&mut self, conn: u64, name: &str) -> Ticket {
        let update = Update::Delete { condition: Condition::Always, old: false };
        self.ask(conn, Ask::Update(key(name), update))
    }

    fn batch(&mut self, conn: u64, puts: &[(&str, &str)]) -> Ticket {
        let updates = puts.iter().map(|(name, value)| (key(name), put_of(value)));
        let ask = Ask::Batch(updates.collect());
        self.ask(conn, ask)
    }

    fn read(&mut self, conn: u64, names: &[&str]) -> Ticket {
        let ask = Ask::Read(names.iter().map(|name| key(name)).collect());
        self.ask(conn, ask)
    }

    /// A write that is answered before anything else happens.
    fn has_put(&mut self, name: &str, value: &str) {
        let put = self.put(9, name, value);
        self.tell(put, ok()).unwrap();
    }

    /// A read that is answered before anything else happens.
    fn sees(&mut self, names: &[&str], seen: &[&str]) -> Checked {
        let read = self.read(8, names);
        self.tell(read, values(seen))
    }

    fn crash(&mut self, open: Vec<Ticket>) -> Checked {
        self.crash_with(super::Loss::Nothing, open)
    }

    fn crash_with(&mut self, loss: super::Loss, open: Vec<Ticket>) -> Checked {
        let now = self.tick();
        for ticket in open {
            self.history.lost(ticket, now)?;
        }
        self.history.crashed(loss, now);
        Ok(())
    }
}
