//! What comes back of a command on many keys ([`super::many`]), and how its reply is put together.

use super::gather::Sum;
use super::reply::{failure, partly};
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
            many.may_be_done = true;
            many.total += i64::from(existed);
        }
        _ => {
            many.may_be_done |= matches!(answer, Answer::Unknown(_));
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
        (Some(error), sum) => {
            let is_partly = many.may_be_done && !sum.is_by_key();
            let error = if is_partly { partly(&error) } else { error };
            resp.replies.complete(sequence, out, |reply| reply.error(&error))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::groups::Groups;
    use crate::session::resp::gather::{Many, Run};
    use crate::session::resp::state::{Call, Shape};
    use crate::stats::Class;
    use pinion_engine::key::{Partition, Version};
    use pinion_engine::shard::request::Unsure;
    use pinion_net::resp::CommandId;

    /// The reply of a command on two keys of two partitions that answer this.
    fn replied(sum: Sum, answers: [Answer<'_>; 2]) -> String {
        let parts = vec![(Partition(0), 0..1), (Partition(1), 1..2)];
        let many = Many::new(&Groups { order: vec![0, 1], parts }, sum, Run::WHOLE);
        let mut resp = RespSession::default();
        let (class, command) = (Class::Write, CommandId::NONE);
        let many = Some(Box::new(many));
        let call = Call { shape: Shape::Many, class, started_us: 0, command, values: 0, many };
        let sequence = resp.replies.begin(call);
        let mut out = Vec::new();
        for (part, told) in answers.iter().enumerate() {
            answer(&mut resp, sequence, part, told, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_command_whose_time_is_over_says_that_nothing_was_done_only_if_nothing_was() {
        let late = Answer::Refused(Refusal::TimedOut);
        let done = Answer::Written { version: Version(1), existed: 1, old: None };
        let unsure = Answer::Unknown(Unsure::TimedOut);
        for sum in [Sum::AllDone, Sum::Existed] {
            let none = replied(sum, [late, late]);
            assert!(
                none.starts_with("-TIMED_OUT no answer from") && none.contains("nothing was done"),
                "{none}"
            );
            for answers in [[done, late], [late, done], [late, unsure], [unsure, late], [done, unsure]] {
                let some = replied(sum, answers);
                let is_unknown = some.starts_with("-TIMED_OUT outcome unknown: ");
                assert!(is_unknown && !some.contains("nothing was done"), "{some}");
            }
            assert!(!replied(sum, [done, done]).starts_with('-'));
        }
        let busy = replied(Sum::AllDone, [done, Answer::Refused(Refusal::Busy)]);
        assert!(busy.starts_with("-TRYAGAIN outcome unknown: "), "{busy}");
        let read = replied(Sum::There, [Answer::Item { index: 0, value: None }, late]);
        assert!(read.contains("nothing was done"), "{read}");
    }
}
