//! What comes back of a command on many keys ([`super::many`]), and how its reply is put together.

use super::gather::Sum;
use super::reply::failure;
use super::state::RespSession;
use crate::session::settled::Settled;
use pinion_engine::shard::request::{Answer, Refusal};
use pinion_net::resp::Sequence;

/// Takes in the answer of a part; `true` if nothing of the command is missing any more.
pub fn answer(
    resp: &mut RespSession,
    sequence: Sequence,
    part: usize,
    answer: &Answer<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let Some(many) = resp.replies.context_mut(sequence).and_then(|call| call.many.as_deref_mut()) else {
        return true;
    };
    match *answer {
        Answer::Item { value, .. } => {
            let place = many.next_place(part);
            many.answered[part] += 1;
            many.missing -= 1;
            many.total += i64::from(value.is_some());
            if many.sum == Sum::Values
                && let Some(place) = place
            {
                resp.replies
                    .item(sequence, place, out, |reply| reply.bulk_or_null(value.map(|value| value.bytes)));
            }
        }
        Answer::Written { existed, .. } => {
            many.missing -= 1;
            many.total += i64::from(existed);
        }
        _ => {
            let text = failure(answer).unwrap_or_else(|| format!("ERR internal error: answered {answer:?}"));
            fail(resp, sequence, part, &text, out);
        }
    }
    finish(resp, sequence, out)
}

/// What is left of a part has failed. Of an array that is leaving, its items are the error; else the whole reply will be.
fn fail(resp: &mut RespSession, sequence: Sequence, part: usize, text: &str, out: &mut Vec<u8>) {
    let is_leaving = resp.replies.is_leaving(sequence);
    let Some(many) = resp.replies.context_mut(sequence).and_then(|call| call.many.as_deref_mut()) else {
        return;
    };
    if !many.sum.is_by_key() {
        many.missing -= 1;
        many.error.get_or_insert_with(|| text.to_owned());
        return;
    }
    let rest = many.rest(part);
    many.missing -= rest.len();
    many.answered[part] += rest.len() as u32;
    if !(is_leaving && many.sum == Sum::Values) {
        many.error.get_or_insert_with(|| text.to_owned());
        return;
    }
    let places: Vec<usize> = many.order[rest].iter().map(|&place| many.base + place as usize).collect();
    for place in places {
        resp.replies.item(sequence, place, out, |reply| reply.error(text));
    }
}

/// Completes the reply, if this was the last answer. Complete arrays have left by themselves.
fn finish(resp: &mut RespSession, sequence: Sequence, out: &mut Vec<u8>) -> bool {
    let Some(many) = resp.replies.context_mut(sequence).and_then(|call| call.many.as_deref_mut()) else {
        return true;
    };
    if many.missing > 0 || !many.is_last {
        return false;
    }
    let (sum, total) = (many.sum, many.total);
    match (many.error.take(), sum) {
        (Some(error), _) => resp.replies.complete(sequence, out, |reply| reply.error(&error)),
        (None, Sum::AllDone) => resp.replies.complete(sequence, out, |reply| reply.ok()),
        (None, Sum::There | Sum::Existed) => {
            resp.replies.complete(sequence, out, |reply| reply.integer(total))
        }
        (None, Sum::Values) => true,
    };
    true
}

impl RespSession {
    /// A read of this request is kept for want of room. What is there of its reply leaves meanwhile; if the reply is an
    /// error anyway, the read is of no use.
    pub fn wait(&mut self, request: u64, out: &mut Vec<u8>) -> Result<(), Option<Settled>> {
        let (sequence, _) = self.parts(request);
        let Some(call) = self.replies.context(sequence) else { return Err(None) };
        match &call.many {
            Some(many) if many.error.is_some() => {
                Err(self.answer(request, &Answer::Refused(Refusal::Busy), 0, out))
            }
            Some(_) => {
                self.replies.leave(sequence, out);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the next answer of a request would leave at once.
    pub fn is_next(&self, request: u64) -> bool {
        let (sequence, part) = self.parts(request);
        let many = self.replies.context(sequence).and_then(|call| call.many.as_deref());
        let is_first = many.is_none_or(|many| {
            many.sum != Sum::Values || many.next_place(part) == self.replies.next_item(sequence)
        });
        is_first && self.replies.is_head(sequence)
    }

    /// Answers that a request still has to come.
    pub fn answers_due(&self, request: u64) -> usize {
        let (sequence, part) = self.parts(request);
        let many = self.replies.context(sequence).and_then(|call| call.many.as_deref());
        many.map_or(1, |many| many.rest(part).len())
    }
}
