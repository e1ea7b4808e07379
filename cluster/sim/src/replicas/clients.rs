//! Clients that ask one thing after the other, and what they saw.

use super::linear::{Act, Saw};
use pinion_engine::shard::request::{
    Answer, Answers, Condition, Op, PutExpiry, Refusal, Ticket, Update, Value,
};

/// A client: what it waits for, and when it goes on.
#[derive(Debug, Default)]
pub struct Client {
    pub waits_for: Option<u64>,
    pub next_us: u64,
    /// Whom it asks.
    pub asks: usize,
}

/// A request that a client waits for.
#[derive(Debug)]
pub struct Asked {
    pub key: u64,
    /// Where it stands among the requests of its key.
    pub at: usize,
    pub client: usize,
    pub machine: usize,
}

/// What was answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub request: u64,
    pub heard: Heard,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Value(Option<i64>),
    Written {
        existed: bool,
    },
    NotMet,
    Sum(i64),
    /// It wasn't done, and won't be; because another replica leads.
    Refused {
        leads_not: bool,
    },
    /// Nobody knows.
    Unknown,
}

impl Heard {
    /// What it says of a key to who asked for this; `None`: nothing.
    pub fn of(self, act: Act) -> Option<Saw> {
        Some(match (self, act) {
            (Heard::Value(value), _) => Saw::Value(value),
            (Heard::Sum(sum), _) => Saw::Sum(sum),
            (Heard::Written { existed }, Act::Delete) => Saw::Was(existed),
            (Heard::Written { .. }, Act::PutIfAbsent(_)) => Saw::Was(true),
            (Heard::Written { .. }, _) => Saw::Done,
            (Heard::NotMet, _) => Saw::Was(false),
            (Heard::Refused { .. } | Heard::Unknown, _) => return None,
        })
    }
}

/// Answers as they come.
#[derive(Default)]
pub struct Gathered {
    replies: Vec<Reply>,
}

impl Gathered {
    pub fn take(&mut self) -> Vec<Reply> {
        std::mem::take(&mut self.replies)
    }
}

fn number(value: Value<'_>) -> i64 {
    let text = std::str::from_utf8(value.bytes).expect("values are numbers");
    text.parse().expect("values are numbers")
}

impl Answers for Gathered {
    fn answer(&mut self, ticket: Ticket, answer: Answer<'_>) {
        let heard = match answer {
            Answer::Value(value) => Heard::Value(Some(number(value))),
            Answer::NotFound => Heard::Value(None),
            Answer::Written { existed, .. } => Heard::Written { existed: existed > 0 },
            Answer::NotMet { .. } => Heard::NotMet,
            Answer::Integer(sum) => Heard::Sum(sum),
            Answer::Refused(refusal) => Heard::Refused { leads_not: refusal == Refusal::NotLeader },
            Answer::Unknown(_) => Heard::Unknown,
            other => panic!("nobody asked for {other:?}"),
        };
        self.replies.push(Reply { request: ticket.request, heard });
    }
}

/// Has an operation done.
pub fn with_op<R>(act: Act, key: &[u8], value: &mut Vec<u8>, use_it: impl FnOnce(Op<'_>) -> R) -> R {
    value.clear();
    let put = |value, condition| Update::Put { value, expiry: PutExpiry::Never, condition, want_old: false };
    let update = match act {
        Act::Get => return use_it(Op::Get { key }),
        Act::Put(number) | Act::PutIfAbsent(number) => {
            value.extend_from_slice(number.to_string().as_bytes());
            let condition = if matches!(act, Act::Put(_)) { Condition::None } else { Condition::Absent };
            put(value.as_slice(), condition)
        }
        Act::Add(by) => Update::Increment { by },
        Act::Delete => Update::Delete { condition: Condition::None, want_old: false, want_existed: true },
    };
    use_it(Op::Update { key, update })
}
