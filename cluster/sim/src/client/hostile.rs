//! Clients that mean harm: they make the node keep what they sent, or what it has for them, and never go on.
//!
//! What they send has no effect on data, and nobody looks at what they are answered. What is looked at is the memory
//! ([`crate::watch`]).

use super::dialect::Dialect;
use super::{resp, wire};
use pinion_net::wire::{Command, Condition, Expiry, Features, Hello};
use rand::Rng;
use rand::rngs::SmallRng;

/// What a hostile client does on its connection.
#[derive(Debug)]
pub struct Hostile {
    /// The longest value that the node takes.
    value_bytes_max: usize,
    /// What it still has to send.
    rest: Vec<u8>,
    /// It takes what it is answered.
    reads: bool,
}

/// It sends so many bytes at once at most.
const PIECE_BYTES_MAX: usize = 8 << 10;

impl Hostile {
    /// One that isn't connected.
    pub fn new(value_bytes_max: usize) -> Hostile {
        Hostile { value_bytes_max, rest: Vec::new(), reads: false }
    }

    /// Whether it takes what it is answered.
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Whether it has something to send.
    pub fn wants_to_send(&self) -> bool {
        !self.rest.is_empty()
    }

    /// It is connected, and thinks of something.
    pub fn connected(&mut self, dialect: Dialect, rng: &mut SmallRng) {
        let mut bytes = Vec::new();
        if !dialect.is_resp() {
            let hello = Hello::new("hostile", Features::NONE, b"");
            wire::command(Command::Hello(hello), 1, false, &mut bytes);
        }
        self.reads = false;
        match rng.random_range(0..10) {
            // The beginning of a long command, or of a short one.
            0..=4 => self.begin(
                dialect,
                rng.random_range(self.value_bytes_max / 2..=self.value_bytes_max),
                &mut bytes,
            ),
            5 => self.begin(dialect, rng.random_range(100..=4_000), &mut bytes),
            6 if dialect.is_resp() => {
                bytes.extend_from_slice(b"*4000\r\n");
                for _ in 0..3_900 {
                    bytes.extend_from_slice(b"$1\r\nk\r\n");
                }
            }
            // A name, which is refused, and long ones that aren't.
            7 if dialect.is_resp() => {
                self.reads = true;
                let (long, short) = ("n".repeat(self.value_bytes_max / 2), "n".repeat(256));
                resp::fixed(&["CLIENT", "SETNAME", &long], &mut bytes);
                resp::fixed(&["CLIENT", "SETNAME", &short], &mut bytes);
                resp::fixed(&["CLIENT", "SETINFO", "lib-name", &short], &mut bytes);
            }
            // Answers that nobody reads.
            _ if dialect.is_resp() => (0..20).for_each(|_| resp::fixed(&["COMMAND"], &mut bytes)),
            _ => {
                let payload = vec![0; 60 << 10];
                (2..12)
                    .for_each(|id| wire::command(Command::Ping { payload: &payload }, id, false, &mut bytes));
            }
        }
        self.rest = bytes;
    }

    /// Begins to write a value, and stops before its end.
    fn begin(&self, dialect: Dialect, value_bytes: usize, bytes: &mut Vec<u8>) {
        if dialect.is_resp() {
            bytes.extend_from_slice(
                format!("*3\r\n$3\r\nSET\r\n$5\r\nnever\r\n${value_bytes}\r\n").as_bytes(),
            );
            bytes.resize(bytes.len() + value_bytes - 1, b'v');
        } else {
            let (value, expiry, condition) = (vec![b'v'; value_bytes], Expiry::Never, Condition::None);
            let put = Command::Put { key: b"never", value: &value, expiry, condition, want_old: false };
            wire::command(put, 2, false, bytes);
            bytes.truncate(bytes.len() - 16);
        }
    }

    /// Sends a piece.
    pub fn send(&mut self, rng: &mut SmallRng, out: &mut Vec<u8>) {
        let count = rng.random_range(1..=PIECE_BYTES_MAX).min(self.rest.len());
        out.extend(self.rest.drain(..count));
    }
}
