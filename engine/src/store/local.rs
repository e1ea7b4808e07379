//! A store that its owner's thread drives.

use super::driver::Driver;
use super::key_value::KeyValue;
use super::options::StoreOptions;
use super::reply::{Gather, Reply};
use crate::clock::Clocks;
use crate::error::Error;
use crate::shard::ShardStats;
use crate::shard::request::{Answer, Answers, Op, Ticket};
use std::path::Path;
use std::time::Duration;

/// Bytes of writes that may gather before the log gets them, where acknowledgement doesn't wait for it.
const GATHER_BYTES: usize = 64 << 10;
/// Calls between two looks at the background thread's results.
const CALLS_A_TURN: u32 = 64;

/// A store driven by the thread that owns it; it may move to another thread, but not be shared.
pub struct LocalStore {
    driver: Driver,
    calls: u32,
}

impl LocalStore {
    /// Opens the store in `dir`, or makes one. Refused while another process has it open.
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<LocalStore, Error> {
        Ok(LocalStore { driver: Driver::open(dir.as_ref(), &options)?, calls: 0 })
    }

    /// Reads a key without copying its value: `take` gets it in place.
    pub fn get_with<R>(&mut self, key: &[u8], take: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Error> {
        let mut lend = Lend { take: Some(take), result: None };
        self.driver.request(Ticket::default(), Op::Get { key }, &mut lend);
        while lend.result.is_none() {
            self.driver.turn(Some(Duration::from_millis(100)), &mut lend)?;
        }
        self.keep_house()?;
        lend.result.unwrap_or(Err(Error::Closed))
    }

    /// The store's figures.
    pub fn stats(&self) -> ShardStats {
        self.driver.stats()
    }

    /// Writes the memtable out and waits until flushes and merges have nothing to do.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.driver.shard.flush();
        while !self.driver.shard.is_settled() {
            self.driver.check()?;
            self.driver.turn(Some(Duration::from_millis(10)), &mut Ignore)?;
        }
        Ok(())
    }

    /// Makes everything durable. Dropping the store does it too, but can't say that it failed.
    pub fn close(mut self) -> Result<(), Error> {
        self.driver.drain(&mut Ignore)
    }

    /// Lets the log and the background thread go on; called often enough, and only then.
    fn keep_house(&mut self) -> Result<(), Error> {
        self.calls += 1;
        if self.calls < CALLS_A_TURN && self.driver.shard.forming_bytes() < GATHER_BYTES {
            return Ok(());
        }
        self.calls = 0;
        let delay_us = self.driver.shard.write_delay_us();
        self.driver.turn((delay_us > 0).then(|| Duration::from_micros(delay_us)), &mut Ignore)
    }
}

impl KeyValue for LocalStore {
    fn call(&mut self, op: Op<'_>) -> Result<Reply, Error> {
        loop {
            let mut gather = Gather::new(&op, self.driver.shard.clocks());
            self.driver.request(Ticket::default(), op, &mut gather);
            while !gather.is_done() {
                self.driver.turn(Some(Duration::from_millis(100)), &mut gather)?;
            }
            if !gather.is_busy {
                self.keep_house()?;
                return gather.into_reply();
            }
            self.driver.turn(Some(Duration::from_millis(1)), &mut Ignore)?;
        }
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        if let Err(error) = self.driver.drain(&mut Ignore) {
            tracing::error!("closing the store: {error}");
        }
    }
}

/// Lends the value that a read finds.
struct Lend<F, R> {
    take: Option<F>,
    result: Option<Result<R, Error>>,
}

impl<R, F: FnOnce(Option<&[u8]>) -> R> Answers for Lend<F, R> {
    fn answer(&mut self, _: Ticket, answer: Answer<'_>) {
        let Some(take) = self.take.take() else { return };
        self.result = Some(match answer {
            Answer::Value(value) => Ok(take(Some(value.bytes))),
            Answer::NotFound => Ok(take(None)),
            other => Reply::from_answer(other, &Clocks::default()).checked().and(Err(Error::Closed)),
        });
    }
}

/// Where no answer is expected.
pub(super) struct Ignore;

impl Answers for Ignore {
    fn answer(&mut self, _: Ticket, _: Answer<'_>) {}
}
