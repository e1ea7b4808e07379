//! Finds commands in received bytes: arrays of bulk strings, and inline lines.
//!
//! - Arguments are slices of the input; nothing is copied, except the arguments of an inline command.
//! - Total: any bytes give commands, a request for more, or an error in Redis's words. Announced lengths
//!   allocate nothing; memory is bounded by the bytes that are there.
//! - An incomplete command is not read again from its start when more arrives: the parser remembers how far it
//!   got and how many bytes it needs at least, so a command costs time linear in its length however it is cut.
//! - Stricter than Redis in one point: the line break after an argument is checked, so that a client that
//!   counts wrongly is told instead of being misunderstood.
//!
//! ```
//! use pinion_net::resp::{Flow, Parser, Stop};
//! let mut parser = Parser::default();
//! let mut seen = Vec::new();
//! let drained = parser.each(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n*1\r\n$4\r\nPI", |args| {
//!     seen.push(args.concat());
//!     Flow::Continue
//! });
//! assert_eq!(seen, [b"GETa".to_vec(), b"PING".to_vec()]);
//! assert_eq!(drained.consumed, 26);                       // keep the rest, present it again, extended
//! assert_eq!(drained.stop, Stop::NeedMore { need: 14 });  // not worth it before there are so many
//! ```

use smallvec::SmallVec;

use super::number::parse_i64;
use super::{inline, long};

/// The arguments of a command, the first one is its name.
pub type Args<'a> = SmallVec<[&'a [u8]; 8]>;

/// How large a command may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument.
    pub bulk_bytes_max: usize,
    /// Bytes of an inline line.
    pub inline_bytes_max: usize,
    /// Arguments of one command.
    pub args_max: usize,
    /// Bytes of one command with its framing: what a connection must be able to hold.
    pub command_bytes_max: usize,
    /// Arguments that are collected at a time: a command with more is [`Parsed::Long`].
    pub run_args_max: usize,
    /// Arguments that one call looks at, no fewer than are collected: in a command with more the next call goes on
    /// ([`Parsed::Unfinished`]).
    pub look_args_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bulk_bytes_max: 16 << 20,
            inline_bytes_max: 64 << 10,
            args_max: 1 << 20,
            command_bytes_max: 32 << 20,
            run_args_max: long::RUN_ARGS_MAX,
            look_args_max: long::LOOK_ARGS_MAX,
        }
    }
}

/// Bytes that are no command. The connection must be closed after the error has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The number of arguments is no number, or over the limit.
    #[error("ERR Protocol error: invalid multibulk length")]
    MultibulkLength,
    /// The length of an argument is no number.
    #[error("ERR Protocol error: invalid bulk length")]
    BulkLength,
    /// An argument is over [`Limits::bulk_bytes_max`].
    #[error("ERR Protocol error: invalid bulk length: value of {length} bytes is over the limit of {}", in_mib(*.limit))]
    BulkTooBig {
        /// The length that it announced.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Something else than an argument follows.
    #[error("ERR Protocol error: expected '$', got '{}'", char::from(*.0))]
    NotABulk(u8),
    /// An argument is longer than it said.
    #[error("ERR Protocol error: expected a line break after the argument, got '{}'", char::from(*.0))]
    NoLineBreak(u8),
    /// A line without end.
    #[error("ERR Protocol error: too big inline request")]
    InlineTooBig,
    /// A quote isn't closed, or something sticks to its end.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// The whole command is over [`Limits::command_bytes_max`].
    #[error("ERR Protocol error: command is over the limit of {0} bytes")]
    CommandTooBig(usize),
}

/// A limit for people.
fn in_mib(bytes: usize) -> String {
    if bytes > 0 && bytes.is_multiple_of(1 << 20) {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{bytes} bytes")
    }
}

/// Whether to go on with the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop after this command (the connection is over its budget, or closes).
    Pause,
}

/// What [`Parser::each`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Bytes of whole commands; the caller keeps the rest and presents it again.
    pub consumed: usize,
    /// Why it stopped.
    pub stop: Stop,
}

/// Why [`Parser::each`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At least `need` bytes must be there, counted from the first that wasn't consumed.
    NeedMore {
        /// How many.
        need: usize,
    },
    /// The callback asked for it.
    Paused,
    /// What follows is no command.
    Invalid(ProtocolError),
}

/// One step of the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An array command; its arguments are in `args`.
    Command {
        /// Its bytes.
        consumed: usize,
    },
    /// An array command with more arguments than are collected at a time. All of it is there and well-formed;
    /// [`long::next_args`] collects its arguments, some at a time.
    Long {
        /// Where its first argument begins.
        start: usize,
        /// How many arguments it has.
        count: usize,
        /// Its bytes.
        consumed: usize,
    },
    /// An inline command of `line` bytes: [`inline::split`] gives its arguments.
    Inline {
        /// Bytes of the line without its end.
        line: usize,
        /// Its bytes.
        consumed: usize,
    },
    /// An empty array or line: nothing to do, nothing to answer.
    Empty {
        /// Its bytes.
        consumed: usize,
    },
    /// The start of a command.
    Incomplete {
        /// Bytes that must be there at least.
        need: usize,
    },
    /// As many arguments as one call looks at are there and well-formed, and more follows: the next call, with the same bytes,
    /// goes on behind them. Others come first.
    Unfinished,
    /// Not a command.
    Invalid(ProtocolError),
}

/// The parser of a connection: limits, and how far it got in a command that isn't complete.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    limits: Limits,
    progress: Progress,
}

/// A prefix of the next command that is known to be well-formed.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Bytes read.
    at: usize,
    /// Arguments that follow (for an array whose header has been read).
    missing: usize,
    /// Less than this isn't worth a look.
    need: usize,
}

/// The shortest argument: `$0\r\n\r\n`.
const BULK_BYTES_MIN: usize = 6;
/// The longest length that can be valid, with its line end.
const LENGTH_BYTES_MAX: usize = 22;

impl Parser {
    /// A parser with these limits.
    pub fn new(limits: Limits) -> Parser {
        debug_assert!(
            limits.run_args_max <= limits.look_args_max,
            "what is collected is looked at in one piece"
        );
        Parser { limits, progress: Progress::default() }
    }

    /// Runs `run` for each whole command in `bytes`. What isn't consumed must be presented again at the start of
    /// the next call's bytes.
    pub fn each(&mut self, bytes: &[u8], mut run: impl FnMut(&[&[u8]]) -> Flow) -> Drained {
        let mut args = Args::new();
        let mut at = 0;
        let stop = loop {
            let rest = &bytes[at..];
            let (consumed, flow) = match self.next(rest, &mut args) {
                Parsed::Command { consumed } => (consumed, run(&args)),
                Parsed::Long { start, count, consumed } => {
                    long::next_args(&rest[start..], count, &mut args);
                    (consumed, run(&args))
                }
                Parsed::Inline { line, consumed } => match inline::split(&rest[..line]) {
                    Ok(owned) if owned.is_empty() => (consumed, Flow::Continue),
                    Ok(owned) => {
                        let args: Args<'_> = owned.iter().map(Vec::as_slice).collect();
                        (consumed, run(&args))
                    }
                    Err(error) => break Stop::Invalid(error),
                },
                Parsed::Empty { consumed } => (consumed, Flow::Continue),
                Parsed::Unfinished => continue,
                Parsed::Incomplete { need } => break Stop::NeedMore { need },
                Parsed::Invalid(error) => break Stop::Invalid(error),
            };
            at += consumed;
            if flow == Flow::Pause {
                break Stop::Paused;
            }
        };
        Drained { consumed: at, stop }
    }

    /// Parses one command at the start of `bytes`; `args` is cleared first.
    pub fn next<'a>(&mut self, bytes: &'a [u8], args: &mut Args<'a>) -> Parsed {
        args.clear();
        if bytes.len() < self.progress.need {
            return Parsed::Incomplete { need: self.progress.need };
        }
        let parsed = match bytes.first() {
            Some(b'*') => self.array(bytes, args),
            Some(_) => self.line(bytes),
            None => return Parsed::Incomplete { need: 1 },
        };
        match parsed {
            Parsed::Incomplete { need } if need > self.limits.command_bytes_max => {
                Parsed::Invalid(ProtocolError::CommandTooBig(self.limits.command_bytes_max))
            }
            Parsed::Incomplete { need } => {
                let need = need.max(bytes.len() + 1);
                self.progress.need = need;
                Parsed::Incomplete { need }
            }
            Parsed::Unfinished => Parsed::Unfinished,
            done => {
                if self.progress.need > 0 || self.progress.at > 0 {
                    self.progress = Progress::default();
                }
                done
            }
        }
    }

    fn array<'a>(&mut self, bytes: &'a [u8], args: &mut Args<'a>) -> Parsed {
        let (count, start) = match length(bytes, 1) {
            Length::Is(count, start) => (count, start),
            Length::Incomplete => return Parsed::Incomplete { need: 4 },
            Length::Invalid => return Parsed::Invalid(ProtocolError::MultibulkLength),
        };
        let count = match usize::try_from(count) {
            Ok(0) | Err(_) => return Parsed::Empty { consumed: start },
            Ok(count) if count > self.limits.args_max => {
                return Parsed::Invalid(ProtocolError::MultibulkLength);
            }
            Ok(count) => count,
        };
        if count > self.limits.run_args_max {
            let (at, missing) = match self.progress {
                Progress { at: 0, .. } => (start, count),
                Progress { at, missing, .. } => (at, missing),
            };
            return match self.bulks(bytes, at, missing, |_| ()) {
                Parsed::Command { consumed } => Parsed::Long { start, count, consumed },
                other => other,
            };
        }
        if self.progress.at > 0 {
            // Go on where the last look ended, only checking; a second pass collects when all is there.
            let (at, missing) = (self.progress.at, self.progress.missing);
            match self.bulks(bytes, at, missing, |_| ()) {
                Parsed::Command { .. } => {}
                other => return other,
            }
        }
        self.bulks(bytes, start, count, |bulk| args.push(bulk))
    }

    /// Reads `missing` arguments from `at` on; remembers the place where it had to stop.
    fn bulks<'a>(
        &mut self,
        bytes: &'a [u8],
        mut at: usize,
        mut missing: usize,
        mut visit: impl FnMut(&'a [u8]),
    ) -> Parsed {
        let enough = missing.saturating_sub(self.limits.look_args_max);
        while missing > enough {
            match bulk(bytes, at, self.limits.bulk_bytes_max) {
                Bulk::Is(bulk, next) => {
                    visit(bulk);
                    at = next;
                    missing -= 1;
                }
                Bulk::Incomplete { end } => {
                    self.progress = Progress { at, missing, need: 0 };
                    return Parsed::Incomplete { need: end + (missing - 1) * BULK_BYTES_MIN };
                }
                Bulk::Invalid(error) => return Parsed::Invalid(error),
            }
        }
        if missing > 0 {
            self.progress = Progress { at, missing, need: 0 };
            return Parsed::Unfinished;
        }
        Parsed::Command { consumed: at }
    }

    fn line(&mut self, bytes: &[u8]) -> Parsed {
        let (from, most) = (self.progress.at, self.limits.inline_bytes_max);
        let window = &bytes[from..bytes.len().min(most + 2)];
        let end = window.iter().position(|byte| *byte == b'\n').map(|end| from + end);
        let content = &bytes[..end.unwrap_or(bytes.len())];
        // What is counted is the line without its end, so that it doesn't matter where it was cut on its way.
        let line = content.strip_suffix(b"\r").unwrap_or(content).len();
        match end {
            _ if line > most => Parsed::Invalid(ProtocolError::InlineTooBig),
            Some(end) if line == 0 => Parsed::Empty { consumed: end + 1 },
            Some(end) => Parsed::Inline { line, consumed: end + 1 },
            None => {
                self.progress.at = bytes.len();
                Parsed::Incomplete { need: bytes.len() + 1 }
            }
        }
    }
}

pub(super) enum Bulk<'a> {
    Is(&'a [u8], usize),
    /// It ends at `end` at the earliest.
    Incomplete {
        end: usize,
    },
    Invalid(ProtocolError),
}

#[inline]
pub(super) fn bulk(bytes: &[u8], at: usize, bytes_max: usize) -> Bulk<'_> {
    match bytes.get(at) {
        Some(b'$') => {}
        Some(other) => return Bulk::Invalid(ProtocolError::NotABulk(*other)),
        None => return Bulk::Incomplete { end: at + BULK_BYTES_MIN },
    }
    let (len, start) = match length(bytes, at + 1) {
        Length::Is(len, start) => (len, start),
        Length::Incomplete => return Bulk::Incomplete { end: at + BULK_BYTES_MIN },
        Length::Invalid => return Bulk::Invalid(ProtocolError::BulkLength),
    };
    let len = match usize::try_from(len) {
        Ok(len) if len <= bytes_max => len,
        Ok(length) => return Bulk::Invalid(ProtocolError::BulkTooBig { length, limit: bytes_max }),
        Err(_) => return Bulk::Invalid(ProtocolError::BulkLength),
    };
    let end = start + len;
    match bytes.get(end..end + 2) {
        Some(b"\r\n") => Bulk::Is(&bytes[start..end], end + 2),
        Some([b'\r', other] | [other, _]) => Bulk::Invalid(ProtocolError::NoLineBreak(*other)),
        _ => Bulk::Incomplete { end: end + 2 },
    }
}

enum Length {
    /// The number, and where its line ends.
    Is(i64, usize),
    Incomplete,
    Invalid,
}

/// Reads a number and its line end. Nearly every length has one or two digits.
#[inline]
fn length(bytes: &[u8], at: usize) -> Length {
    if let Some(&[first, second, third, fourth]) = bytes.get(at..at + 4) {
        let (tens, units) = (first.wrapping_sub(b'0'), second.wrapping_sub(b'0'));
        if second == b'\r' && third == b'\n' && tens <= 9 {
            return Length::Is(i64::from(tens), at + 3);
        }
        if third == b'\r' && fourth == b'\n' && (1..=9).contains(&tens) && units <= 9 {
            return Length::Is(i64::from(tens * 10 + units), at + 4);
        }
    }
    long_length(bytes, at)
}

#[cold]
fn long_length(bytes: &[u8], at: usize) -> Length {
    let window = bytes.get(at..bytes.len().min(at + LENGTH_BYTES_MAX)).unwrap_or_default();
    let Some(digits) = window.iter().position(|byte| *byte == b'\r') else {
        return if window.len() == LENGTH_BYTES_MAX { Length::Invalid } else { Length::Incomplete };
    };
    match (parse_i64(&window[..digits]), bytes.get(at + digits + 1)) {
        (Some(value), Some(b'\n')) => Length::Is(value, at + digits + 2),
        (Some(_), None) => Length::Incomplete,
        _ => Length::Invalid,
    }
}

#[cfg(test)]
#[path = "parser_test.rs"]
mod tests;
