//! Answers of partitions as responses.

use super::{WireSession, many, says_done};
use crate::core::hub::{Ending, Settled};
use crate::session::walk::{Outcome, refusal_text};
use pinion_engine::shard::request::{Answer, Refusal, Value};
use pinion_net::wire::{ErrorCode, Opcode, Responder, ValueRef};

impl WireSession {
    /// Takes in an answer; what became of the request if it was the last.
    pub fn answer(&mut self, request: u64, answer: &Answer<'_>, out: &mut Vec<u8>) -> Option<Settled> {
        let (place, part) = WireSession::parts(request);
        let call = self.calls.get_mut(place)?.as_mut()?;
        if let Some(gather) = &mut call.gather {
            let before = gather.bytes();
            let is_complete = many::take(gather, part, answer);
            self.gathered_bytes += gather.bytes() - before;
            if !is_complete {
                return None;
            }
        }
        self.respond(place, answer, out)
    }

    /// Refuses one value of several, because the connection has too many bytes waiting.
    pub fn refuse_item(&mut self, request: u64, index: usize, out: &mut Vec<u8>) -> Option<Settled> {
        let (place, part) = WireSession::parts(request);
        let gather = self.calls.get_mut(place)?.as_mut()?.gather.as_mut()?;
        let is_complete = many::refuse_item(gather, part, index);
        if is_complete { self.respond(place, &Answer::Refused(Refusal::Busy), out) } else { None }
    }

    fn respond(&mut self, place: usize, answer: &Answer<'_>, out: &mut Vec<u8>) -> Option<Settled> {
        let call = self.remove(place)?;
        match call.gather {
            Some(gather) => many::respond(call.responder, &gather, out),
            None => respond(call.responder, call.want_existed, answer, out),
        }
        Some(Settled { class: call.class, started_us: call.started_us, ending: Ending::of(answer) })
    }

    /// Takes in the end of a walk.
    pub fn walked(&mut self, command: u64, outcome: Outcome, out: &mut Vec<u8>) -> Option<Settled> {
        let (place, _) = WireSession::parts(command);
        let call = self.remove(place)?;
        self.walks -= 1;
        let mut ending = Ending::Done;
        match outcome {
            Outcome::Count(count) => call.responder.integer(out, i64::try_from(count).unwrap_or(i64::MAX)),
            Outcome::Items(items, next) => {
                let mut page = call.responder.page(out);
                let mut rest = next.map(|(_, key)| key);
                for (key, value) in items.iter() {
                    if !page.has_room_for(out, key.len(), value.bytes.len()) {
                        rest = Some(key.to_vec());
                        break;
                    }
                    page.push(out, key, value_ref(value));
                }
                page.finish(out, rest.as_deref());
            }
            Outcome::Refused(text) => {
                ending = Ending::Refused;
                call.responder.refused(out, ErrorCode::UNAVAILABLE, &text);
            }
            Outcome::NoCursor => {
                ending = Ending::Refused;
                call.responder.refused(out, ErrorCode::BAD_CURSOR, "");
            }
        }
        Some(Settled { class: call.class, started_us: call.started_us, ending })
    }
}

/// A value as the protocol has it.
pub fn value_ref(value: Value<'_>) -> ValueRef<'_> {
    ValueRef { bytes: value.bytes, version: value.version.0, expiry: value.expiry.0 }
}

fn respond(responder: Responder, want_existed: bool, answer: &Answer<'_>, out: &mut Vec<u8>) {
    match *answer {
        Answer::Value(value) => responder.value(out, value_ref(value)),
        Answer::NotFound => responder.not_found(out),
        Answer::Written { .. } if says_done(responder) => responder.done(out),
        Answer::Written { existed: 0, .. } if want_existed => responder.not_found(out),
        Answer::Written { version, old, .. } => responder.written(out, version.0, old.map(value_ref)),
        Answer::NotMet { .. } if responder.opcode() == Some(Opcode::Expire) => responder.not_found(out),
        Answer::NotMet { current } => responder.not_met(out, current.map(value_ref)),
        Answer::Integer(number) => responder.integer(out, number),
        Answer::Refused(refusal) => {
            let (code, text) = refused(&refusal);
            responder.refused(out, code, &text);
        }
        Answer::Unknown(text) => responder.unknown(out, ErrorCode::LOG_FAILED, text),
        Answer::Item { .. } | Answer::Page { .. } | Answer::Counted { .. } => {
            responder.refused(out, ErrorCode::INTERNAL, "a request on one key was answered with several");
        }
    }
}

/// A refusal as the protocol has it.
pub fn refused(refusal: &Refusal<'_>) -> (ErrorCode, String) {
    let code = match refusal {
        Refusal::NotAnInteger => ErrorCode::NOT_AN_INTEGER,
        Refusal::Overflow => ErrorCode::OVERFLOW,
        Refusal::Limit(_) => ErrorCode::LIMIT,
        Refusal::Busy => ErrorCode::BUSY,
        Refusal::ReadOnly(_) => ErrorCode::READ_ONLY,
        Refusal::Damaged(_) => ErrorCode::DAMAGED,
        Refusal::Invalid(_) => ErrorCode::BAD_REQUEST,
        Refusal::WrongShard => ErrorCode::INTERNAL,
    };
    (code, refusal_text(refusal))
}
