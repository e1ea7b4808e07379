//! Clients that ask one thing after the other, and what they saw.

use super::linear::{Act, Saw};
use crate::clock::START_UNIX_US;
use pinion_engine::once::Once;
use pinion_engine::shard::request::{
    Answer, Answers, Condition, Op, PutExpiry, Refusal, Ticket, Unsure, Update, Value,
};

/// A client: what it waits for, and when it goes on.
#[derive(Debug)]
pub struct Client {
    id: u128,
    /// Whether its writes are to be done once.
    is_careful: bool,
    /// Its requests that are to be done once.
    numbers: u64,
    pub waits_for: Option<u64>,
    /// It waits no longer than until then.
    pub gives_up_us: u64,
    pub next_us: u64,
    /// Whom it asks.
    pub asks: usize,
    /// What it asks for now, or goes on asking for.
    pub errand: Option<Errand>,
}

/// Something that a client asks for, until it knows what became of it or never will.
#[derive(Clone, Copy, Debug)]
pub struct Errand {
    pub key: u64,
    /// Where it stands among the requests of its key.
    pub at: usize,
    pub act: Act,
    pub once: Option<Once>,
    /// Whether a copy of it was sent of which nobody knows what became.
    pub is_unknown: bool,
}

impl Client {
    pub fn new(number: usize) -> Client {
        Client {
            id: number as u128 + 1,
            is_careful: number.is_multiple_of(2),
            numbers: 0,
            waits_for: None,
            gives_up_us: 0,
            next_us: 0,
            asks: 0,
            errand: None,
        }
    }

    /// What makes a new request one that is to be done once, if it is to be. They come one after the other.
    pub fn once(&mut self, act: Act, now_us: u64) -> Option<Once> {
        if !self.is_careful || act == Act::Get {
            return None;
        }
        self.numbers += 1;
        let (client, number) = (self.id, self.numbers);
        Some(Once { client, number, lowest: number, first_sent_us: START_UNIX_US + now_us, is_again: false })
    }

    /// Nobody knows yet what became of its request: it is sent again.
    pub fn go_on_with(&mut self, errand: Errand) {
        let once = errand.once.map(|once| Once { is_again: true, ..once });
        self.errand = Some(Errand { once, ..errand });
    }
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub struct Letter {
    pub request: u64,
    pub client: usize,
    pub errand: Errand,
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
    /// Nobody knows; or nobody remembers any more.
    Unknown {
        is_forgotten: bool,
    },
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
            (Heard::Refused { .. } | Heard::Unknown { .. }, _) => return None,
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
    text.trim_end().parse().expect("values are numbers")
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
            Answer::Unknown(why) => Heard::Unknown { is_forgotten: why == Unsure::Forgotten },
            other => panic!("nobody asked for {other:?}"),
        };
        self.replies.push(Reply { request: ticket.request, heard });
    }
}

/// How long values are that may be long: most aren't.
const LENGTHS: [usize; 8] = [0, 0, 0, 0, 0, 300, 4_000, 30_000];

/// Has an operation done. A value `is_long` by its number: spaces follow.
pub fn with_op<R>(
    act: Act,
    (key, is_long): (&[u8], bool),
    value: &mut Vec<u8>,
    use_it: impl FnOnce(Op<'_>) -> R,
) -> R {
    value.clear();
    let expiry = if let Act::PutFor(_, us) = act { PutExpiry::After(us / 1_000) } else { PutExpiry::Never };
    let put = |value, condition| Update::Put { value, expiry, condition, want_old: false };
    let update = match act {
        Act::Get => return use_it(Op::Get { key }),
        Act::Put(number) | Act::PutFor(number, _) | Act::PutIfAbsent(number) => {
            value.extend_from_slice(number.to_string().as_bytes());
            if is_long {
                value.resize(value.len().max(LENGTHS[(number / 1_000) as usize % LENGTHS.len()]), b' ');
            }
            let condition =
                if matches!(act, Act::PutIfAbsent(_)) { Condition::Absent } else { Condition::None };
            put(value.as_slice(), condition)
        }
        Act::Add(by) => Update::Increment { by },
        Act::Delete => Update::Delete { condition: Condition::None, want_old: false, want_existed: true },
    };
    use_it(Op::Update { key, update })
}
