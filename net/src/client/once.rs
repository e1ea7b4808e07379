//! What makes a write happen once, however often it is sent: the client's id, the numbers of its writes, and the server's
//! clock.
//!
//! 1. A write takes the next number. It is open until the caller has its outcome, or doesn't wait for it any more.
//! 2. Each attempt carries the number, the lowest open one, and when the write was first sent by the server's clock. The
//!    server forgets what is below the lowest, and never executes it any more.
//! 3. The server's clock is what the newest HELLO said, counted on from when that arrived: never ahead of the server's own.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU128;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use crate::wire::{Level, Once, Opcode};

/// A client's numbers; shared by all of its clones and links.
#[derive(Debug)]
pub(super) struct Numbers {
    client: Option<NonZeroU128>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: BTreeSet<u64>,
    clock: Option<Clock>,
}

/// What a server's clock showed, and when that arrived here.
#[derive(Clone, Copy, Debug)]
struct Clock {
    server_us: u64,
    at: Instant,
}

/// The number of a write, and whether it was sent before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbered {
    number: u64,
    /// What an earlier attempt carried whose outcome is unknown.
    pub(super) earlier: Option<Once>,
}

impl Numbers {
    /// Those of a new client; without an id, and so without numbers, if writes aren't to be done exactly once.
    pub(super) fn new(is_wanted: bool) -> Numbers {
        let client = is_wanted.then(draw).and_then(|drawn| {
            drawn.inspect_err(|error| tracing::warn!(%error, "writes aren't done exactly once")).ok()
        });
        Numbers { client, state: Mutex::default() }
    }

    /// The client's id, if it has one.
    pub(super) fn client(&self) -> Option<NonZeroU128> {
        self.client
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes over what a server said of its clock just now; 0: nothing.
    pub(super) fn learn(&self, server_us: u64) {
        if server_us > 0 {
            self.lock().clock = Some(Clock { server_us, at: Instant::now() });
        }
    }

    /// Opens the next number, if requests like this one have numbers.
    pub(super) fn open(&self, opcode: Opcode, level: Level) -> Option<Number<'_>> {
        let is_numbered = !opcode.is_read() && !matches!(level, Level::Eventual | Level::Session);
        if self.client.is_none() || !is_numbered {
            return None;
        }
        let mut state = self.lock();
        state.last += 1;
        let number = state.last;
        state.open.insert(number);
        Some(Number { numbers: self, number })
    }

    /// What a write carries that is sent now; `None` if no server has said what time it is.
    pub(super) fn stamp(&self, numbered: Numbered, now: Instant) -> Option<Once> {
        let state = self.lock();
        let Numbered { number, earlier } = numbered;
        let lowest = state.open.first().map_or(number, |&lowest| lowest.min(number));
        if let Some(earlier) = earlier {
            return Some(Once { lowest, is_again: true, ..earlier });
        }
        let Clock { server_us, at } = state.clock?;
        let since = now.saturating_duration_since(at).as_micros() as u64;
        Some(Once { number, lowest, first_sent_us: server_us.saturating_add(since), is_again: false })
    }
}

/// An open number; closed when dropped.
#[derive(Debug)]
pub(super) struct Number<'c> {
    numbers: &'c Numbers,
    number: u64,
}

impl Number<'_> {
    /// With what an earlier attempt carried whose outcome is unknown.
    pub(super) fn after(&self, earlier: Option<Once>) -> Numbered {
        Numbered { number: self.number, earlier }
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        self.numbers.lock().open.remove(&self.number);
    }
}

/// Draws a client's id.
fn draw() -> io::Result<NonZeroU128> {
    let mut random = File::open("/dev/urandom")?;
    loop {
        let mut bytes = [0; size_of::<u128>()];
        random.read_exact(&mut bytes)?;
        if let Some(client) = NonZeroU128::new(u128::from_le_bytes(bytes)) {
            return Ok(client);
        }
    }
}
