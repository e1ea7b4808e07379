//! The honest clients: some for each protocol, a request at a time on a schedule, every answer held against a model.
//!
//! A refusal is counted, a write with an unknown outcome may have been done or not; anything else than what the model says
//! is wrong, and so is no answer within half a minute. Latencies count from when a request was due, so that a server that
//! stands still can't hide behind a client that waits for it. Scans, many requests each, are timed apart.

mod binary;
mod model;
mod resp;
mod tally;
mod wire;

use crate::attack::stage::Stage;
use model::Model;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};
use tally::check_refusal;
pub use tally::{Answered, LATE, Tally, count};
pub use wire::is_dismissal;
use wire::{ANSWER_MAX, Ask, Said, Wire};

/// Clients of each protocol. A request is due so often on each: a client that is to have an answer within
/// [`tally::LATE`] can't ask more often, one at a time.
const CLIENTS: usize = 4;
const INTERVAL: Duration = Duration::from_millis(20);

/// Keys of each client, and those of them that count.
const KEYS: usize = 100;
const COUNTERS: usize = 10;

/// Keys of an MGET.
const MANY: usize = 6;

/// Tries again to connect, with pauses.
const PAUSE: Duration = Duration::from_millis(50);

/// Behind that, nothing happens any more that a broken connection had asked for.
const GRACE: Duration = Duration::from_secs(1);

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Resp,
    Binary,
}

/// All of them: the protocol, and the number among those that speak it.
pub fn all() -> impl Iterator<Item = (Protocol, usize)> {
    [Protocol::Resp, Protocol::Binary]
        .into_iter()
        .flat_map(|protocol| (0..CLIENTS).map(move |at| (protocol, at)))
}

/// Works until the stage is over, then reads everything back. An error is what the server did wrong.
pub fn run(stage: &Stage, (protocol, at): (Protocol, usize), seed: u64) -> Result<(), String> {
    let (wire, letter): (Box<dyn Wire>, _) = match protocol {
        Protocol::Resp => (Box::new(resp::Resp::new(stage.target.resp)), 'r'),
        Protocol::Binary => (Box::new(binary::Binary::new(stage.target.kv)), 'b'),
    };
    let rng = SmallRng::seed_from_u64(seed ^ (protocol as u64) << 32 ^ at as u64);
    let model = Model::new(&format!("honest:{letter}{at}:"), KEYS, COUNTERS);
    let mut client = Client { stage, tally: &stage.honest, wire, model, rng };
    client.connect()?;
    // They don't ask all at once.
    let mut due = Instant::now() + INTERVAL / CLIENTS as u32 * at as u32;
    while !stage.is_over() {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let is_scan = client.step(due)?;
        if is_scan {
            // What would have come meanwhile doesn't count as late.
            due = Instant::now();
        }
        due += INTERVAL;
    }
    client.read_back()
}

struct Client<'a> {
    stage: &'a Stage,
    tally: &'a Tally,
    wire: Box<dyn Wire>,
    model: Model,
    rng: SmallRng,
}

impl Client<'_> {
    /// One request; answers whether it was a scan.
    fn step(&mut self, due: Instant) -> Result<bool, String> {
        let draw = self.rng.random_range(0..1000);
        let at = self.model.draw(&mut self.rng, !(400..800).contains(&draw));
        match draw {
            _ if self.model.is_open(at) => self.get(at, due)?,
            0..400 => self.get(at, due)?,
            400..720 => self.set(at, due)?,
            720..800 => self.delete(at, due)?,
            800..900 => {
                let counter = self.rng.random_range(0..COUNTERS);
                if self.model.is_open(counter) { self.get(counter, due)? } else { self.count(counter, due)? }
            }
            900..998 => self.get_many(due)?,
            _ => {
                self.scan()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks, and takes care of all answers that are none.
    fn ask(&mut self, ask: &Ask, due: Instant) -> Result<Option<Said>, String> {
        let sent = Instant::now();
        let said = self.wire.ask(ask)?;
        if !matches!(ask, Ask::Names(_)) {
            self.tally.answered(ask.name(), due.elapsed(), sent.elapsed());
        }
        match said {
            Said::Refused(text) => {
                self.tally.refused(&text);
                check_refusal(&text)?;
                Ok(Some(Said::Refused(text)))
            }
            Said::Unknown(text) => {
                self.tally.refused(&text);
                Ok(None)
            }
            Said::Lost(text) => {
                self.tally.lost(&text);
                // What was under way on it may be done a little later.
                std::thread::sleep(GRACE);
                self.connect()?;
                Ok(None)
            }
            said => Ok(Some(said)),
        }
    }

    fn get(&mut self, at: usize, due: Instant) -> Result<(), String> {
        match self.ask(&Ask::Get(self.model.key(at)), due)? {
            Some(Said::Value(value)) => self.model.check(at, value.as_deref()),
            Some(Said::Refused(_)) | None => Ok(()),
            Some(_) => Err(format!("GET of {} is answered with something else", self.name(at))),
        }
    }

    fn set(&mut self, at: usize, due: Instant) -> Result<(), String> {
        let value = self.model.begin_set(at);
        match self.ask(&Ask::Set(self.model.key(at), value), due)? {
            Some(Said::Done) => self.model.done(at),
            Some(Said::Refused(_)) => self.model.refused(at),
            None => {}
            Some(_) => return Err(format!("SET of {} is answered with something else", self.name(at))),
        }
        Ok(())
    }

    fn delete(&mut self, at: usize, due: Instant) -> Result<(), String> {
        let is_there = self.model.begin_delete(at);
        match self.ask(&Ask::Delete(self.model.key(at)), due)? {
            Some(Said::Number(removed)) if removed == i64::from(is_there) => self.model.done(at),
            Some(Said::Refused(_)) => self.model.refused(at),
            None => {}
            Some(Said::Number(removed)) => return Err(format!("DEL of {} removed {removed}", self.name(at))),
            Some(_) => return Err(format!("DEL of {} is answered with something else", self.name(at))),
        }
        Ok(())
    }

    fn count(&mut self, at: usize, due: Instant) -> Result<(), String> {
        let wanted = self.model.begin_count(at);
        match self.ask(&Ask::Count(self.model.key(at)), due)? {
            Some(Said::Number(found)) if u64::try_from(found) == Ok(wanted) => self.model.done(at),
            Some(Said::Refused(_)) => self.model.refused(at),
            None => {}
            Some(Said::Number(found)) => {
                return Err(format!("INCR of {} counted to {found}, not {wanted}", self.name(at)));
            }
            Some(_) => return Err(format!("INCR of {} is answered with something else", self.name(at))),
        }
        Ok(())
    }

    fn get_many(&mut self, due: Instant) -> Result<(), String> {
        let keys: Vec<usize> = (0..MANY).map(|_| self.model.draw(&mut self.rng, true)).collect();
        match self.ask(&Ask::GetMany(keys.iter().map(|at| self.model.key(*at)).collect()), due)? {
            Some(Said::Values(values)) if values.len() == keys.len() => {
                keys.iter().zip(&values).try_for_each(|(at, value)| self.model.check(*at, value.as_deref()))
            }
            Some(Said::Refused(_)) | None => Ok(()),
            Some(_) => Err("MGET is answered with something else".to_owned()),
        }
    }

    fn scan(&mut self) -> Result<(), String> {
        let began = Instant::now();
        match self.ask(&Ask::Names(self.model.prefix().as_bytes().to_vec()), began)? {
            Some(Said::Names(names)) => {
                self.tally.scanned(began.elapsed());
                self.model.check_names(names)
            }
            Some(Said::Refused(_)) | None => Ok(()),
            Some(_) => Err("a scan is answered with something else".to_owned()),
        }
    }

    fn name(&self, at: usize) -> String {
        String::from_utf8_lossy(&self.model.key(at)).into_owned()
    }

    /// Connects, again and again while the server is full.
    fn connect(&mut self) -> Result<(), String> {
        let until = Instant::now() + ANSWER_MAX;
        loop {
            match self.wire.connect() {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() >= until || self.stage.has_failed() => {
                    return Err(format!("the honest client can't connect: {why}"));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Reads every key; refusals are asked again.
    fn read_back(&mut self) -> Result<(), String> {
        let until = Instant::now() + ANSWER_MAX;
        for at in 0..self.model.len() {
            while !self.stage.has_failed() {
                let said = self.ask(&Ask::Get(self.model.key(at)), Instant::now())?;
                match said {
                    Some(Said::Value(value)) => {
                        self.model.check(at, value.as_deref())?;
                        break;
                    }
                    _ if Instant::now() >= until => {
                        return Err(format!("{} can't be read back", self.name(at)));
                    }
                    _ => std::thread::sleep(PAUSE),
                }
            }
        }
        Ok(())
    }
}
