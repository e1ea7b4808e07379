//! What waits on a connection for its answer.

use super::garbage::Due;
use super::request::Request;
use crate::model::{SimTime, Ticket, Violation};

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    /// Since when.
    pub sent: SimTime,
    /// Where it ends in the stream of what was sent.
    pub end: u64,
    /// What it asks for.
    pub what: What,
}

/// What a request was.
#[derive(Debug)]
pub enum What {
    /// To be let in.
    Hello,
    /// A request on keys, and its place in the history.
    Request(Request, Ticket),
    /// As [`What::Request`], of a [careful](super::careful::Careful) client, by its number.
    Once(u64, Ticket),
    /// The next page of the scan, or the count.
    Scan,
    /// Nothing: it is no request.
    Garbage(Due),
}

impl Waiting {
    /// What it is, for reports.
    pub fn describe(&self) -> String {
        format!("{:?}", self.what).chars().take(300).collect()
    }

    /// It got an answer that fits no such request.
    pub fn wrong_answer(&self, reply: &str, at: SimTime) -> Box<Violation> {
        let what: String = format!("{:?}", self.what).chars().take(400).collect();
        Box::new(Violation {
            check: "an answer of the wrong kind",
            key: None,
            expected: format!("an answer to {what}, sent at {} us", self.sent.us),
            seen: reply.chars().take(400).collect(),
            at,
            last_ops: Vec::new(),
        })
    }
}
