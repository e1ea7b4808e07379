//! Answers of partitions as responses.

use super::{WireSession, cursor, many, says_done};
use crate::core::hub::{Ending, Settled};
use crate::session::walk::{Outcome, refusal_text};
use pinion_engine::shard::request::{Answer, Refusal, Value};
use pinion_net::wire::{ErrorCode, Opcode, Responder, ValueRef};

impl WireSession {
    /// Takes in an answer; what became of the request if it was the last.
    pub fn answer(&mut self, request: u64, answer: &Answer<'_>, out: &mut Vec<u8>) -> Option<Settled> {
        let (place, part) = WireSession::parts(request);
        let call = self.calls.get_mut(place)?.as_mut()?;
        if let Some(gather) = &mut call.gather
            && !many::take(gather, part, answer)
        {
            return None;
        }
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
                let cursor = rest.map(|key| cursor::write(call.seal, &key));
                page.finish(out, cursor.as_deref());
            }
            Outcome::Refused(code, text) => {
                ending = Ending::Refused;
                call.responder.refused(out, code, &text);
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
        Answer::NotMet { current: None } if responder.opcode() == Some(Opcode::Expire) => {
            responder.not_found(out)
        }
        Answer::NotMet { current } => responder.not_met(out, current.map(value_ref)),
        Answer::Integer(number) => responder.integer(out, number),
        Answer::Refused(refusal) => {
            let (code, text) = refused(&refusal);
            responder.refused(out, code, &text);
        }
        Answer::Unknown(text) => responder.unknown(out, ErrorCode::LOG_FAILED, text),
        Answer::Item { .. } | Answer::Page { .. } => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::walk::Walk;
    use crate::stats::Class;
    use pinion_engine::key::{Keyspace, Partition};
    use pinion_net::reactor::ConnId;
    use pinion_net::wire::{Limits, Parsed, Reply, Response, parse};

    /// How a scan ends whose partition refuses it.
    fn scan_refused(refusal: Refusal<'_>) -> (ErrorCode, String) {
        let mut session = WireSession::default();
        let responder = Responder::for_parts(9, Opcode::Scan as u8, false);
        let call = super::super::Call {
            responder,
            class: Class::Scan,
            started_us: 0,
            want_existed: false,
            seal: 0,
            gather: None,
        };
        session.walks += 1;
        let command = WireSession::request(session.insert(call), 0);
        let whom = (ConnId::from_u64(0), command);
        let mut walk = Walk::merged(whom, Keyspace(0), vec![Partition(0)], b"", (10, 1000));
        assert_eq!(walk.asks().len(), 1);
        walk.take(0, &Answer::Refused(refusal));
        let mut out = Vec::new();
        session.walked(command, walk.outcome(), &mut out);
        let Parsed::Frame(frame, _) = parse(&out, &Limits::default()) else { panic!("no frame") };
        match Response::decode(&frame).unwrap().reply {
            Reply::Refused { code, text } => (code, text.to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scan_says_why_its_partition_refuses_it() {
        let damaged = "shard-000/000007.sst at 4096 doesn't match its checksum";
        assert_eq!(scan_refused(Refusal::Damaged(damaged)), (ErrorCode::DAMAGED, damaged.to_owned()));
        assert_eq!(scan_refused(Refusal::Busy).0, ErrorCode::BUSY);
        assert_eq!(scan_refused(Refusal::ReadOnly("the disk is full")).0, ErrorCode::READ_ONLY);
    }
}
