//! Answers that own their bytes.

use crate::clock::Clocks;
use crate::error::Error;
use crate::key::{Partition, Version};
use crate::shard::request::{Answer, Answers, Op, Refusal, Ticket, Unsure, Value};

/// What is said of an operation that was given up; none of this store is, so far.
const TIMED_OUT: &str = "its deadline passed";

/// What is said of a request that is to be done once; this store asks for none, so far.
const WRONG_TIME: &str = "when it was first sent is no time of this clock, or too long ago";
const FORGOTTEN: &str = "it was sent too long ago to know whether it was done";

/// A key, its value, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The user's key.
    pub key: Vec<u8>,
    /// Its value; empty in scans of keys only.
    pub value: Vec<u8>,
    /// The value's version.
    pub version: Version,
    /// When it expires, in milliseconds since the Unix epoch by the wall clock.
    pub expires_at_ms: Option<u64>,
}

impl Item {
    fn new(key: &[u8], value: Value<'_>, clocks: &Clocks) -> Item {
        let told_ms = clocks.told_ms(value.expiry);
        Item {
            key: key.to_vec(),
            value: value.bytes.to_vec(),
            version: value.version,
            expires_at_ms: (told_ms != 0).then_some(told_ms),
        }
    }
}

/// An [`Answer`] that owns its bytes. The keys of values read by key are left empty.
#[derive(Debug)]
pub enum Reply {
    /// A value.
    Value(Item),
    /// No such key.
    NotFound,
    /// Several keys' values, in the order of the keys.
    Many(Vec<Option<Item>>),
    /// Done.
    Written {
        /// The version written.
        version: Version,
        /// How many keys were there before, where asked for.
        existed: u32,
        /// The old value, where asked for.
        old: Option<Item>,
    },
    /// The condition didn't hold.
    NotMet(Option<Item>),
    /// A sum or a length.
    Integer(i64),
    /// A page of a scan and where it goes on.
    Page(Vec<Item>, Option<Vec<u8>>),
    /// So many keys, and where the count goes on.
    Counted(u64, Option<(Partition, Vec<u8>)>),
    /// Refused, or unknown.
    Failed(Error),
}

impl Reply {
    /// Copies an answer of a shard with these clocks.
    pub fn from_answer(answer: Answer<'_>, clocks: &Clocks) -> Reply {
        let item = |value| Item::new(&[], value, clocks);
        match answer {
            Answer::Value(value) | Answer::Item { value: Some(value), .. } => Reply::Value(item(value)),
            Answer::NotFound | Answer::Item { value: None, .. } => Reply::NotFound,
            Answer::Written { version, existed, old } => {
                Reply::Written { version, existed, old: old.map(item) }
            }
            Answer::NotMet { current } => Reply::NotMet(current.map(item)),
            Answer::Integer(number) => Reply::Integer(number),
            Answer::Page { page, next } => {
                let items = page.iter().map(|(key, value)| Item::new(key, value, clocks)).collect();
                Reply::Page(items, next.map(<[u8]>::to_vec))
            }
            Answer::Counted { keys, next, .. } => {
                Reply::Counted(keys, next.map(|(partition, key)| (partition, key.to_vec())))
            }
            Answer::Refused(refusal) => Reply::Failed(to_error(refusal)),
            Answer::Unknown(Unsure::LogFailed(why)) => Reply::Failed(Error::Unknown(why.into())),
            Answer::Unknown(Unsure::TimedOut) => Reply::Failed(Error::Unknown(TIMED_OUT.into())),
            Answer::Unknown(Unsure::Forgotten | Unsure::TooLong) => {
                Reply::Failed(Error::Unknown(FORGOTTEN.into()))
            }
            Answer::Waits { .. } => {
                Reply::Failed(Error::Refused("a read was kept although there is room for any value".into()))
            }
        }
    }

    /// A failure as an error, anything else as it is.
    pub fn checked(self) -> Result<Reply, Error> {
        match self {
            Reply::Failed(error) => Err(error),
            reply => Ok(reply),
        }
    }

    pub(super) fn value(self) -> Result<Option<Vec<u8>>, Error> {
        match self.checked()? {
            Reply::Value(item) => Ok(Some(item.value)),
            _ => Ok(None),
        }
    }

    pub(super) fn values(self) -> Result<Vec<Option<Vec<u8>>>, Error> {
        match self.checked()? {
            Reply::Many(items) => Ok(items.into_iter().map(|item| item.map(|item| item.value)).collect()),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn version(self) -> Result<Version, Error> {
        match self.checked()? {
            Reply::Written { version, .. } => Ok(version),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn existed(self) -> Result<u32, Error> {
        match self.checked()? {
            Reply::Written { existed, .. } => Ok(existed),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn integer(self) -> Result<i64, Error> {
        match self.checked()? {
            Reply::Integer(number) => Ok(number),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn page(self) -> Result<(Vec<Item>, Option<Vec<u8>>), Error> {
        match self.checked()? {
            Reply::Page(items, next) => Ok((items, next)),
            other => Err(unexpected(&other)),
        }
    }
}

/// Gathers the answers of one operation.
pub(super) struct Gather {
    clocks: Clocks,
    missing: usize,
    many: Vec<Option<Item>>,
    reply: Option<Reply>,
    /// The shard had no memory to take the request: try again.
    pub is_busy: bool,
}

impl Gather {
    /// For an operation that a shard with these clocks is asked for.
    pub fn new(op: &Op<'_>, clocks: Clocks) -> Gather {
        let missing = if let Op::GetMany { keys, .. } = op { keys.len() } else { 1 };
        Gather { clocks, missing, many: Vec::new(), reply: None, is_busy: false }
    }

    /// Takes one of the answers; `true` if it was the last one.
    pub fn take(&mut self, answer: Answer<'_>) -> bool {
        match answer {
            Answer::Refused(Refusal::Busy) => self.is_busy = true,
            Answer::Item { value, .. } => {
                self.many.push(value.map(|value| Item::new(&[], value, &self.clocks)));
                if self.many.len() == self.missing {
                    self.reply = Some(Reply::Many(std::mem::take(&mut self.many)));
                }
            }
            answer => self.reply = Some(Reply::from_answer(answer, &self.clocks)),
        }
        self.is_busy || self.reply.is_some()
    }

    pub fn is_done(&self) -> bool {
        self.is_busy || self.reply.is_some()
    }

    pub fn into_reply(self) -> Result<Reply, Error> {
        self.reply.ok_or(Error::Closed)
    }
}

impl Answers for Gather {
    fn answer(&mut self, _: Ticket, answer: Answer<'_>) {
        self.take(answer);
    }
}

fn unexpected(reply: &Reply) -> Error {
    Error::Refused(format!("the answer has another shape than the question: {reply:?}"))
}

fn to_error(refusal: Refusal<'_>) -> Error {
    match refusal {
        Refusal::NotAnInteger => Error::Refused("the value is not an integer of 64 bits".into()),
        Refusal::Overflow => Error::Refused("the sum does not fit 64 bits".into()),
        Refusal::Limit(text) => Error::Limit(text.into()),
        Refusal::Busy => Error::Refused("the memory for waiting requests is used up; try again".into()),
        Refusal::ReadOnly(text) => Error::ReadOnly(text.into()),
        Refusal::Damaged(text) | Refusal::Invalid(text) | Refusal::NoRoom(text) => {
            Error::Refused(text.into())
        }
        Refusal::TimedOut => Error::Refused(TIMED_OUT.into()),
        Refusal::WrongTime => Error::Refused(WRONG_TIME.into()),
        Refusal::NotLeader => Error::Refused("another replica leads the partition, or none does".into()),
        Refusal::WrongShard => Error::Refused("another shard owns the partition".into()),
    }
}
