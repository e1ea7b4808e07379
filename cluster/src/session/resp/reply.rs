//! Answers of partitions as replies to commands.

use super::cursors::Cursors;
use super::parts;
use super::state::{RespSession, Shape};
use crate::session::refusals;
use crate::session::settled::{Ending, Settled};
use crate::session::walk::task::Outcome;
use crate::stats::tally::ErrorWord;
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Answer, Refusal, Unsure, Value};
use pinion_net::resp::{Encoder, value_range};
use pinion_net::wire::ErrorCode;
use std::fmt::Write;

/// What a cursor gets that isn't there.
pub const NO_CURSOR: &str = "ERR invalid cursor: it is too old or from before a restart; start again at 0";

/// What CLIENT KILL of an address answers if nobody has it.
pub(super) const NO_SUCH_CLIENT: &str = "ERR No such client";

impl RespSession {
    /// Takes in an answer; what became of the request if it was the last.
    pub fn answer(
        &mut self,
        request: u64,
        answer: &Answer<'_>,
        now_ms: u64,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        let (sequence, part) = self.parts(request);
        let call = self.replies.context_mut(sequence)?;
        let settled = call.settled(Ending::of(answer));
        let values = call.values as usize;
        let is_over = match call.shape {
            Shape::Many => parts::answer(self, sequence, part, answer, out),
            shape => self.replies.complete(sequence, out, |reply| write(reply, shape, answer, now_ms)),
        };
        if is_over {
            self.values_due -= values;
        }
        is_over.then_some(settled)
    }

    /// Whether the reply to a request carries values as they are.
    pub fn takes_value(&self, request: u64) -> bool {
        let (sequence, _) = self.parts(request);
        let shape = self.replies.context(sequence).map(|call| call.shape);
        matches!(shape, Some(Shape::Value | Shape::Range(..) | Shape::Many))
    }

    /// Takes in the end of a walk.
    pub fn walked(
        &mut self,
        command: u64,
        outcome: Outcome,
        cursors: &mut Cursors,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        let (sequence, _) = self.parts(command);
        let call = self.replies.context(sequence)?;
        let shape = call.shape;
        let values = call.values as usize;
        let refused = match &outcome {
            Outcome::Refused(..) | Outcome::NoCursor => true,
            Outcome::Listed(found, _) => shape == Shape::KilledOne && found.is_empty(),
            Outcome::Items(..) | Outcome::Count(..) => false,
        };
        let ending = match &outcome {
            Outcome::Refused(ErrorCode::DEADLINE, _) => Ending::TimedOut,
            _ if refused => Ending::Refused,
            _ => Ending::Done,
        };
        let settled = call.settled(ending);
        self.values_due -= values;
        if let Outcome::Listed(list, next) = outcome {
            let cursor = (shape == Shape::ScanPage).then(|| next.map_or(0, |place| cursors.keep(place)));
            return match shape {
                Shape::Killed | Shape::KilledOne => {
                    self.replies.complete(sequence, out, |reply| write_killed(reply, shape, list.len()));
                    Some(settled)
                }
                _ => self.begin_leaving((sequence, shape, settled), list, cursor, out),
            };
        }
        let before = std::mem::take(&mut self.facts.info);
        self.replies.complete(sequence, out, |reply| match (shape, outcome) {
            (Shape::Keyspace, Outcome::Count(keys, expiring)) => {
                reply.text(&with_keyspace(before, keys, expiring));
            }
            (_, outcome) => write_outcome(reply, outcome),
        });
        Some(settled)
    }
}

fn write_outcome(reply: &mut Encoder<'_>, outcome: Outcome) {
    match outcome {
        Outcome::Count(count, _) => reply.integer(i64::try_from(count).unwrap_or(i64::MAX)),
        Outcome::NoCursor => reply.error(NO_CURSOR),
        Outcome::Refused(code, text) => {
            let word = match code {
                ErrorCode::BUSY => ErrorWord::TryAgain,
                ErrorCode::DEADLINE => ErrorWord::TimedOut,
                _ => ErrorWord::Err,
            };
            reply.error(format!("{} {text}", word.text()));
        }
        // RANDOMKEY.
        Outcome::Items(page, _) => reply.bulk_or_null(page.iter().next().map(|(key, _)| key)),
        Outcome::Listed(..) => reply.error("ERR internal error: a list was answered as something else"),
    }
}

fn write_killed(reply: &mut Encoder<'_>, shape: Shape, count: usize) {
    match (shape, count) {
        (Shape::KilledOne, 0) => reply.error(NO_SUCH_CLIENT),
        (Shape::KilledOne, _) => reply.ok(),
        _ => reply.integer(count as i64),
    }
}

/// The error text of an answer that is none.
pub fn failure(answer: &Answer<'_>) -> Option<String> {
    match answer {
        Answer::Refused(Refusal::Busy) => Some(format!("TRYAGAIN {}", refusals::text(&Refusal::Busy))),
        Answer::Refused(Refusal::NoRoom(text)) => Some(format!("TRYAGAIN {text}")),
        Answer::Refused(Refusal::ReadOnly(text)) => Some(format!("MISCONF {text}")),
        Answer::Refused(Refusal::TimedOut) => {
            Some(format!("TIMED_OUT {}", refusals::text(&Refusal::TimedOut)))
        }
        Answer::Refused(refusal) => Some(format!("ERR {}", refusals::text(refusal))),
        Answer::Unknown(unsure) => {
            let word = if *unsure == Unsure::TimedOut { "TIMED_OUT" } else { "ERR" };
            Some(format!("{word} outcome unknown: {}", refusals::unsure(unsure).1))
        }
        _ => None,
    }
}

/// The error of one part, as that of a command of which other parts are done, or may be.
pub fn partly(error: &str) -> String {
    let (word, why) = error.split_once(' ').unwrap_or(("ERR", error));
    if why.starts_with("outcome unknown") {
        return error.to_owned();
    }
    let why = why.strip_suffix(refusals::NOTHING_DONE).unwrap_or(why);
    format!("{word} outcome unknown: some of its keys are done, or may be; of others: {why}")
}

fn write(reply: &mut Encoder<'_>, shape: Shape, answer: &Answer<'_>, now_ms: u64) {
    match (*answer, shape) {
        (Answer::Value(value), Shape::Value) => reply.bulk(value.bytes),
        (Answer::Written { .. }, Shape::Ok) => reply.ok(),
        (Answer::Value(value), shape) => write_about(reply, shape, value, now_ms),
        (Answer::NotFound, Shape::Value) => reply.null(),
        (Answer::NotFound, Shape::Type) => reply.simple("none"),
        (Answer::NotFound, Shape::Ttl(_)) => reply.integer(-2),
        (Answer::NotFound, Shape::Range(..)) => reply.bulk(b""),
        (Answer::NotFound, Shape::Old) => reply.null(),
        (Answer::NotFound, _) => reply.integer(0),
        (Answer::Written { old, .. }, Shape::Old) => reply.bulk_or_null(old.map(|old| old.bytes)),
        (Answer::Written { existed, .. }, Shape::Existed) => reply.integer(i64::from(existed)),
        (Answer::Written { .. }, _) => reply.integer(1),
        (Answer::NotMet { .. }, Shape::Ok) => reply.null(),
        (Answer::NotMet { current }, Shape::Old) => reply.bulk_or_null(current.map(|value| value.bytes)),
        (Answer::NotMet { .. }, _) => reply.integer(0),
        (Answer::Integer(number), _) => reply.integer(number),
        _ => {
            reply.error(failure(answer).unwrap_or_else(|| format!("ERR internal error: answered {answer:?}")))
        }
    }
}

/// Replies that are about a value without being it.
fn write_about(reply: &mut Encoder<'_>, shape: Shape, value: Value<'_>, now_ms: u64) {
    match shape {
        Shape::There => reply.integer(1),
        Shape::Length => reply.integer(value.bytes.len() as i64),
        Shape::Range(start, end) => reply.bulk(&value.bytes[value_range(value.bytes.len(), start, end)]),
        Shape::Ttl(form) => {
            let expiry = (value.expiry != Expiry::NEVER).then_some(value.expiry.0);
            reply.integer(form.reply(expiry, now_ms));
        }
        Shape::Type => reply.simple("string"),
        _ => reply.bulk(value.bytes),
    }
}

/// What INFO says, with the section Keyspace behind it.
fn with_keyspace(mut text: String, keys: u64, expiring: u64) -> String {
    let separator = if text.is_empty() { "" } else { "\r\n" };
    let _ = write!(text, "{separator}# Keyspace\r\n");
    if keys > 0 {
        let _ = write!(text, "db0:keys={keys},expires={expiring},avg_ttl=0\r\n");
    }
    text
}
