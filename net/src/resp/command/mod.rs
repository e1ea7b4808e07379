//! Typed commands: arguments in, [`Command`] or Redis's own error text out.
//!
//! A [`Command`] borrows its arguments. Everything that can be judged without data is judged here (names, arity,
//! options, numbers), so whoever runs a command meets only valid ones.
//!
//! ```
//! use pinion_net::resp::{Command, NewExpiry, Set, SetCondition, SetReply};
//! let args: [&[u8]; 6] = [b"set", b"key", b"value", b"EX", b"10", b"NX"];
//! let Ok(Command::Set(set)) = Command::parse(&args) else { panic!() };
//! assert_eq!((set.key, set.value), (&b"key"[..], &b"value"[..]));
//! assert_eq!(set.expiry, NewExpiry::AfterMs(10_000));
//! assert_eq!((set.condition, set.reply), (SetCondition::Absent, SetReply::Ok));
//!
//! let error = Command::parse(&[b"FOO", b"a"]).unwrap_err();
//! assert_eq!(error.to_string(), "ERR unknown command 'FOO', with args beginning with: 'a' ");
//! ```

mod client;
mod error;
mod expiry;
mod help;
mod server;
mod set;

use std::ops::Range;

pub use client::{Client, ClientFilter, ClientKind};
pub use error::CommandError;
pub use expiry::{ExpireCondition, NewExpiry, TtlForm};
pub use server::{Auth, Cluster, CommandFilter, CommandQuery, Config, Hello};
pub use set::{Set, SetCondition, SetReply};

use super::command_table::Name;
use super::number::{parse_i64, parse_u64};
use expiry::{Base, Unit};

/// A valid command. Variants without a word on their reply answer as in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// PONG, or the message.
    Ping(Option<&'a [u8]>),
    /// The message.
    Echo(&'a [u8]),
    /// A map that describes the server, in the new protocol.
    Hello(Hello<'a>),
    /// OK, or [`Auth::check_without_password`]'s error.
    Auth(Auth<'a>),
    /// SELECT 0: OK.
    Select,
    /// OK, then close.
    Quit,
    /// Back to RESP2 and no name; answers the simple string RESET.
    Reset,
    /// A value or null.
    Get {
        /// The key.
        key: &'a [u8],
    },
    /// SET, SETNX, SETEX, PSETEX, GETSET.
    Set(Set<'a>),
    /// The value that is removed, or null.
    GetDel {
        /// The key.
        key: &'a [u8],
    },
    /// The value or null; then changes the expiry unless it is to be kept.
    GetEx {
        /// The key.
        key: &'a [u8],
        /// Its new expiry.
        expiry: NewExpiry,
    },
    /// An array of values and nulls.
    MGet(&'a [&'a [u8]]),
    /// OK.
    MSet(Pairs<'a>),
    /// DEL, UNLINK: how many were there.
    Del(&'a [&'a [u8]]),
    /// EXISTS, TOUCH: how many are there; a key named twice counts twice.
    Exists(&'a [&'a [u8]]),
    /// EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT: 1 if changed, else 0.
    Expire {
        /// The key.
        key: &'a [u8],
        /// Its new expiry: [`NewExpiry::AfterMs`] or [`NewExpiry::AtMs`].
        expiry: NewExpiry,
        /// Only if.
        condition: ExpireCondition,
    },
    /// TTL, PTTL, EXPIRETIME, PEXPIRETIME: [`TtlForm::reply`], -2 if there is no such key.
    Ttl {
        /// The key.
        key: &'a [u8],
        /// In what form.
        form: TtlForm,
    },
    /// 1 if an expiry was removed, else 0.
    Persist {
        /// The key.
        key: &'a [u8],
    },
    /// INCR, DECR, INCRBY, DECRBY: the sum.
    IncrBy {
        /// The key.
        key: &'a [u8],
        /// The signed addend.
        by: i64,
    },
    /// The new length.
    Append {
        /// The key.
        key: &'a [u8],
        /// What is appended.
        suffix: &'a [u8],
    },
    /// The length, 0 for no key.
    StrLen {
        /// The key.
        key: &'a [u8],
    },
    /// GETRANGE, SUBSTR: [`value_range`] of the value, empty for no key.
    GetRange {
        /// The key.
        key: &'a [u8],
        /// First byte; negative: from the end.
        start: i64,
        /// Last byte; negative: from the end.
        end: i64,
    },
    /// A simple string: `string` or `none`.
    Type {
        /// The key.
        key: &'a [u8],
    },
    /// An array of the next cursor (a bulk string) and an array of keys.
    Scan(Scan<'a>),
    /// An array of keys.
    Keys {
        /// A glob pattern.
        pattern: &'a [u8],
    },
    /// How many keys there are.
    DbSize,
    /// A key, or null.
    RandomKey,
    /// FLUSHDB, FLUSHALL: OK.
    Flush,
    /// Text; sections in any case, none for the default.
    Info(&'a [&'a [u8]]),
    /// An array of seconds and microseconds, as bulk strings.
    Time,
    /// COMMAND.
    Command(CommandQuery<'a>),
    /// CONFIG.
    Config(Config<'a>),
    /// CLIENT.
    Client(Client<'a>),
    /// CLUSTER.
    Cluster(Cluster<'a>),
    /// CLIENT HELP and the like: an array of simple strings, these.
    Help(&'static [&'static str]),
    /// READONLY, READWRITE: OK.
    ReadMode,
    /// How many replicas have this connection's writes.
    Wait {
        /// How many are waited for.
        replicas: i64,
        /// How long at most; 0: for ever.
        timeout_ms: u64,
    },
    /// `POST`, `Host:` or `GET / HTTP/1.1`: an HTTP client, perhaps a browser tricked into talking to us. Close without an
    /// answer.
    Http,
}

/// SCAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    /// 0 begins.
    pub cursor: u64,
    /// MATCH.
    pub pattern: Option<&'a [u8]>,
    /// COUNT, at least 1.
    pub count: usize,
    /// TYPE; everything here is a `string`.
    pub kind: Option<&'a [u8]>,
}

/// Keys and values, alternating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs<'a>(&'a [&'a [u8]]);

impl<'a> Pairs<'a> {
    /// How many pairs.
    pub fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values in turn.
    pub fn args(&self) -> &'a [&'a [u8]] {
        self.0
    }

    /// Keys and their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.0.chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }
}

/// The bytes of a value of `len` bytes that GETRANGE answers.
pub fn value_range(len: usize, start: i64, end: i64) -> Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let place = |at: i64| match usize::try_from(at) {
        Ok(at) => at,
        Err(_) => len.saturating_sub(usize::try_from(at.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let (start, end) = (place(start), place(end).saturating_add(1).min(len));
    if start < end { start..end } else { 0..0 }
}

impl<'a> Command<'a> {
    /// Reads a command; `args[0]` is its name.
    pub fn parse(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
        Command::of(Name::first_of(args), args)
    }

    /// Reads a command whose name is known already, or known to be none.
    pub fn of(name: Option<Name>, args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
        let Some(name) = name else { return unknown(args) };
        if !name.info().accepts(args.len()) {
            return if is_http(args) {
                Ok(Command::Http)
            } else {
                Err(CommandError::arity(name.info().name))
            };
        }
        match name {
            Name::Get => Ok(Command::Get { key: args[1] }),
            Name::Set if args.len() == 3 => Ok(Command::Set(Set::plain(args[1], args[2]))),
            Name::Set => set::set(args).map(Command::Set),
            Name::Incr => Ok(Command::IncrBy { key: args[1], by: 1 }),
            Name::Decr => Ok(Command::IncrBy { key: args[1], by: -1 }),
            Name::IncrBy => Ok(Command::IncrBy { key: args[1], by: integer(args[2])? }),
            Name::DecrBy => match integer(args[2])?.checked_neg() {
                Some(by) => Ok(Command::IncrBy { key: args[1], by }),
                None => Err(CommandError::fixed("ERR decrement would overflow")),
            },
            Name::Append => Ok(Command::Append { key: args[1], suffix: args[2] }),
            Name::MGet => Ok(Command::MGet(&args[1..])),
            Name::MSet if args.len() % 2 == 1 => Ok(Command::MSet(Pairs(&args[1..]))),
            Name::MSet => Err(CommandError::arity("mset")),
            Name::Del | Name::Unlink => Ok(Command::Del(&args[1..])),
            Name::Exists | Name::Touch => Ok(Command::Exists(&args[1..])),
            Name::GetDel => Ok(Command::GetDel { key: args[1] }),
            Name::GetEx => Ok(Command::GetEx { key: args[1], expiry: set::getex(args)? }),
            Name::GetSet => Ok(Command::Set(Set { reply: SetReply::Old, ..Set::plain(args[1], args[2]) })),
            Name::SetNx => Ok(Command::Set(Set {
                condition: SetCondition::Absent,
                reply: SetReply::Bit,
                ..Set::plain(args[1], args[2])
            })),
            Name::SetEx => set::set_expiring(name, args, Unit::Seconds).map(Command::Set),
            Name::PSetEx => set::set_expiring(name, args, Unit::Milliseconds).map(Command::Set),
            Name::StrLen => Ok(Command::StrLen { key: args[1] }),
            Name::GetRange | Name::SubStr => {
                Ok(Command::GetRange { key: args[1], start: integer(args[2])?, end: integer(args[3])? })
            }
            Name::Type => Ok(Command::Type { key: args[1] }),
            Name::Expire => expire(name, args, Unit::Seconds, Base::Now),
            Name::PExpire => expire(name, args, Unit::Milliseconds, Base::Now),
            Name::ExpireAt => expire(name, args, Unit::Seconds, Base::Epoch),
            Name::PExpireAt => expire(name, args, Unit::Milliseconds, Base::Epoch),
            Name::Ttl => Ok(Command::Ttl { key: args[1], form: TtlForm::Seconds }),
            Name::PTtl => Ok(Command::Ttl { key: args[1], form: TtlForm::Milliseconds }),
            Name::ExpireTime => Ok(Command::Ttl { key: args[1], form: TtlForm::UnixSeconds }),
            Name::PExpireTime => Ok(Command::Ttl { key: args[1], form: TtlForm::UnixMilliseconds }),
            Name::Persist => Ok(Command::Persist { key: args[1] }),
            _ => without_key(name, args),
        }
    }
}

fn without_key<'a>(name: Name, args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    match name {
        Name::Ping if args.len() > 2 => Err(CommandError::arity("ping")),
        Name::Ping => Ok(Command::Ping(args.get(1).copied())),
        Name::Echo => Ok(Command::Echo(args[1])),
        Name::Hello => server::hello(args),
        Name::Auth => server::auth(args),
        Name::Select => server::select(args),
        Name::Quit => Ok(Command::Quit),
        Name::Reset => Ok(Command::Reset),
        Name::Scan => scan(args),
        Name::Keys => Ok(Command::Keys { pattern: args[1] }),
        Name::DbSize => Ok(Command::DbSize),
        Name::RandomKey => Ok(Command::RandomKey),
        Name::FlushAll | Name::FlushDb => match args[1..] {
            [] => Ok(Command::Flush),
            [how] if how.eq_ignore_ascii_case(b"async") || how.eq_ignore_ascii_case(b"sync") => {
                Ok(Command::Flush)
            }
            _ => Err(CommandError::SYNTAX),
        },
        Name::Info => Ok(Command::Info(&args[1..])),
        Name::Time => Ok(Command::Time),
        Name::Command => server::command(args),
        Name::Config => server::config(args),
        Name::Client => client::client(args),
        Name::Cluster => server::cluster(args),
        Name::ReadOnly | Name::ReadWrite => Ok(Command::ReadMode),
        Name::Wait => server::wait(args),
        _ => unknown(args),
    }
}

/// Whether it is the first line of an HTTP request: `GET / HTTP/1.1`.
fn is_http(args: &[&[u8]]) -> bool {
    matches!(args, [_, _, version] if version.starts_with(b"HTTP/"))
}

#[cold]
fn unknown<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    match args.first() {
        Some(name) if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") => {
            Ok(Command::Http)
        }
        _ if is_http(args) => Ok(Command::Http),
        _ => Err(CommandError::unknown_command(args)),
    }
}

fn integer(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER)
}

fn expire<'a>(name: Name, args: &'a [&'a [u8]], unit: Unit, base: Base) -> Result<Command<'a>, CommandError> {
    let condition = expiry::condition(&args[3..])?;
    let expiry = expiry::any(name, integer(args[2])?, unit, base)?;
    Ok(Command::Expire { key: args[1], expiry, condition })
}

fn scan<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    let cursor = parse_u64(args[1]).ok_or(CommandError::fixed("ERR invalid cursor"))?;
    let mut scan = Scan { cursor, pattern: None, count: 10, kind: None };
    let mut rest = &args[2..];
    while let [option, value, after @ ..] = rest {
        match option.to_ascii_uppercase().as_slice() {
            b"MATCH" => scan.pattern = Some(value),
            b"TYPE" => scan.kind = Some(value),
            b"COUNT" => match usize::try_from(integer(value)?) {
                Ok(count) if count > 0 => scan.count = count,
                _ => return Err(CommandError::SYNTAX),
            },
            _ => return Err(CommandError::SYNTAX),
        }
        rest = after;
    }
    if rest.is_empty() { Ok(Command::Scan(scan)) } else { Err(CommandError::SYNTAX) }
}

#[cfg(test)]
#[path = "command_test.rs"]
mod tests;
