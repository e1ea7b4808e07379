//! What a reactor counts about itself.

use std::fmt;
use std::time::Duration;

/// Counters since the reactor was made. Read them on its thread with [`super::Io::stats`].
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns that ended in sleep.
    pub sleeps: u64,
    /// System calls: how often the ring was entered.
    pub enters: u64,
    /// Completions that the kernel delivered.
    pub completions: u64,
    /// Connections handed to the handler.
    pub accepted: u64,
    /// Connections beyond the limit, told so and closed.
    pub refused: u64,
    /// Accepts that failed.
    pub accepts_failed: u64,
    /// Connections that were begun here and are, or were, there.
    pub connected: u64,
    /// Attempts to connect that came to nothing, those refused at once among them.
    pub connects_failed: u64,
    /// Connections the handler was told are closed.
    pub closed: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes handed to the kernel.
    pub sent_bytes: u64,
    /// Sends.
    pub sends: u64,
    /// First attempts that could not send everything.
    pub sends_short: u64,
    /// How often a connection's output went over its budget.
    pub stalled: u64,
    /// Receives that found no free receive buffer.
    pub buffers_exhausted: u64,
    /// File operations that ended.
    pub files: u64,
    /// Calls of `woken`.
    pub woken: u64,
    /// Signals sent to other reactors.
    pub signals: u64,
    /// Time of turns from leaving the kernel to entering it again, in nanoseconds: sum.
    pub turn_ns_sum: u64,
    /// The longest turn in nanoseconds.
    pub turn_ns_max: u64,
    /// Turns by length: bucket `i` counts those of `2^i` to `2^(i+1)` ns; the last one all longer ones.
    pub turn_ns_buckets: [u64; Stats::BUCKETS],
    /// Turns longer than [`super::ReactorConfig::stall`].
    pub stalls: u64,
    /// The last of them.
    pub last_stall: Option<Stall>,
}

impl Stats {
    /// Number of buckets for turn times: up to 2 s and beyond.
    pub const BUCKETS: usize = 32;

    pub(super) fn note_turn(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.turn_ns_sum += ns;
        self.turn_ns_max = self.turn_ns_max.max(ns);
        self.turn_ns_buckets[(ns.max(1).ilog2() as usize).min(Stats::BUCKETS - 1)] += 1;
    }
}

/// What a turn did that held up everything else on its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// How long the turn was.
    pub time: Duration,
    /// How much of it was [`super::Handler::end_turn`].
    pub end_turn: Duration,
    /// Completions it handled.
    pub completions: u64,
    /// Bytes it received.
    pub received_bytes: u64,
    /// Connections it accepted.
    pub accepted: u64,
    /// Connections it reported closed.
    pub closed: u64,
    /// File operations that ended in it.
    pub files: u64,
    /// Whether it called `woken`.
    pub woken: bool,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{:.1} ms, {:.1} ms of it after its events ({} completions, {} of them of files; {} bytes received, {} connections accepted, {} closed)",
            ms(self.time),
            ms(self.end_turn),
            self.completions,
            self.files,
            self.received_bytes,
            self.accepted,
            self.closed
        )
    }
}

/// The counters a [`Stall`] is made of, at one moment.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    completions: u64,
    received_bytes: u64,
    accepted: u64,
    closed: u64,
    files: u64,
    woken: u64,
}

impl Stats {
    pub(super) fn mark(&self) -> Mark {
        Mark {
            completions: self.completions,
            received_bytes: self.received_bytes,
            accepted: self.accepted,
            closed: self.closed,
            files: self.files,
            woken: self.woken,
        }
    }

    /// Counts a turn that was too long, and describes it by what changed since `before`.
    pub(super) fn note_stall(&mut self, before: Mark, time: Duration, end_turn: Duration) -> Stall {
        let stall = Stall {
            time,
            end_turn,
            completions: self.completions - before.completions,
            received_bytes: self.received_bytes - before.received_bytes,
            accepted: self.accepted - before.accepted,
            closed: self.closed - before.closed,
            files: self.files - before.files,
            woken: self.woken > before.woken,
        };
        self.stalls += 1;
        self.last_stall = Some(stall);
        stall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_fall_into_the_bucket_of_their_length() {
        let mut stats = Stats::default();
        for ns in [0, 1, 2, 3, 1 << 40] {
            stats.note_turn(Duration::from_nanos(ns));
        }
        assert_eq!(stats.turn_ns_buckets[0], 2);
        assert_eq!(stats.turn_ns_buckets[1], 2);
        assert_eq!(stats.turn_ns_buckets[Stats::BUCKETS - 1], 1);
        assert_eq!(stats.turn_ns_max, 1 << 40);
    }
}
