//! Answers of partitions as responses.

use super::state::{Call, CallId, WireSession};
use super::translate::{says_done, value_ref};
use super::{cursor, gather};
use crate::session::refusals;
use crate::session::settled::{Ending, Settled};
use crate::session::waits::Wait;
use crate::session::walk::task::Outcome;
use crate::stats::Class;
use pinion_engine::clock::Clocks;
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Answer, Refusal, Value};
use pinion_net::resp::CommandId;
use pinion_net::wire::{ErrorCode, Opcode, Responder};

impl WireSession {
    /// Takes in an answer; what became of the request if it was the last.
    pub fn answer(
        &mut self,
        request: u64,
        answer: &Answer<'_>,
        now_us: u64,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        let (id, part) = CallId::of(request);
        let call = self.call_mut(id)?;
        if let Some(gather) = &mut call.gather {
            let before = gather.bytes();
            let is_complete = gather::take(gather, part, answer);
            let more = gather.bytes() - before;
            self.gathered_bytes += more;
            if !is_complete {
                return None;
            }
        }
        self.respond(id, answer, now_us, out)
    }

    /// A read of this request is kept for want of room. Where it is of no use, its keys are left out of the response.
    pub fn wait(
        &mut self,
        wait: Wait,
        has_memory: bool,
        now_us: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), Option<Settled>> {
        let (id, part) = CallId::of(wait.request);
        let Some(call) = self.call_mut(id) else { return Err(None) };
        let Some(gather) = &mut call.gather else { return Ok(()) };
        match gather.wait(part, &wait, has_memory) {
            Ok(()) => Ok(()),
            Err(false) => Err(None),
            Err(true) => Err(self.respond(id, &Answer::NotFound, now_us, out)),
        }
    }

    /// Whether the response to a request carries its value; `None` if the value doesn't fit it any more.
    pub fn takes_value(&self, request: u64, bytes: usize) -> Option<bool> {
        let (id, _) = CallId::of(request);
        let Some(call) = self.call(id) else { return Some(false) };
        match &call.gather {
            Some(gather) => gather.fits(bytes).then_some(true),
            None => Some(call.responder.opcode() != Some(Opcode::Exists)),
        }
    }

    /// Bytes of values that are gathered for a request, and leave together.
    pub fn gathered_bytes(&self, request: u64) -> usize {
        let (id, _) = CallId::of(request);
        let gather = self.call(id).and_then(|call| call.gather.as_ref());
        gather.map_or(0, |gather| gather.bytes())
    }

    /// Answers that a request still has to come.
    pub fn answers_due(&self, request: u64) -> usize {
        let (id, part) = CallId::of(request);
        let gather = self.call(id).and_then(|call| call.gather.as_ref());
        gather.map_or(1, |gather| gather.due(part))
    }

    fn respond(
        &mut self,
        id: CallId,
        answer: &Answer<'_>,
        now_us: u64,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        let call = self.remove(id)?;
        if call.is_late(answer, now_us) {
            return Some(call.refuse_late(out));
        }
        let failed = call.gather.as_ref().and_then(|gather| gather.failed());
        match call.gather {
            Some(gather) => gather::respond(call.responder, *gather, out),
            None => respond(call.responder, call.want_existed, answer, out),
        }
        Some(Settled {
            class: call.class,
            started_us: call.started_us,
            ending: failed.unwrap_or_else(|| Ending::of(answer)),
            command: CommandId::NONE,
        })
    }

    /// Takes in the end of a walk.
    pub fn walked(
        &mut self,
        command: u64,
        outcome: Outcome,
        now_us: u64,
        clocks: &Clocks,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        let (id, _) = CallId::of(command);
        let call = self.remove(id)?;
        self.walks -= 1;
        if call.asked.deadline_us < now_us {
            return Some(call.refuse_late(out));
        }
        let mut ending = Ending::Done;
        match outcome {
            Outcome::Count(count, _) => call.responder.integer(out, i64::try_from(count).unwrap_or(i64::MAX)),
            Outcome::Items(items, next) => {
                let mut page = call.responder.page(out);
                let mut rest = next.map(|(_, key)| key);
                for (key, value) in items.iter() {
                    if !page.has_room_for(out, key.len(), value.bytes.len()) {
                        rest = Some(key.to_vec());
                        break;
                    }
                    let expiry = Expiry(clocks.told_ms(value.expiry));
                    page.push(out, key, value_ref(Value { expiry, ..value }));
                }
                let cursor = rest.map(|key| cursor::write(call.seal, &key));
                page.finish(out, cursor.as_deref());
            }
            Outcome::Refused(code, text) => {
                ending = Ending::Refused;
                call.responder.refused(out, code, &text);
            }
            Outcome::Listed(..) => {
                ending = Ending::Refused;
                call.responder.refused(out, ErrorCode::INTERNAL, "a scan was answered with a list");
            }
            Outcome::NoCursor => {
                ending = Ending::Refused;
                call.responder.refused(out, ErrorCode::BAD_CURSOR, "");
            }
        }
        Some(Settled { class: call.class, started_us: call.started_us, ending, command: CommandId::NONE })
    }
}

impl Call {
    /// Whether nobody waits for this answer any more, and it is certain that nothing was changed. A write that was taken
    /// into a log isn't taken back: its answer says what became of it.
    #[inline]
    fn is_late(&self, answer: &Answer<'_>, now_us: u64) -> bool {
        self.asked.deadline_us < now_us
            && match self.class {
                Class::Write => self.gather.is_none() && matches!(answer, Answer::Refused(Refusal::Busy)),
                _ => true,
            }
    }

    fn refuse_late(&self, out: &mut Vec<u8>) -> Settled {
        self.responder.refused(out, ErrorCode::DEADLINE, &refusals::text(&Refusal::TimedOut));
        Settled {
            class: self.class,
            started_us: self.started_us,
            ending: Ending::TimedOut,
            command: CommandId::NONE,
        }
    }
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
            let (code, text) = refusals::told(&refusal);
            responder.refused(out, code, &text);
        }
        Answer::Unknown(unsure) => {
            let (code, text) = refusals::unsure(&unsure);
            responder.unknown(out, code, &text);
        }
        Answer::Item { .. } | Answer::Page { .. } | Answer::Counted { .. } | Answer::Waits { .. } => {
            responder.refused(out, ErrorCode::INTERNAL, "a request on one key was answered with several");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::walk::Walk;
    use crate::session::wire::state::Asked;
    use pinion_engine::key::{Keyspace, Partition, Version};
    use pinion_net::reactor::ConnId;
    use pinion_net::wire::{Limits, Parsed, Reply, Response, parse};

    /// How a scan ends whose partition refuses it.
    fn scan_refused(refusal: Refusal<'_>) -> (ErrorCode, String) {
        let mut session = WireSession::default();
        let responder = Responder::for_parts(9, Opcode::Scan as u8, false);
        let call = Call::new(responder, Class::Scan, 0);
        session.walks += 1;
        let command = session.insert(call).request(0);
        let whom = (ConnId::from_u64(0), command);
        let mut walk = Walk::merged(whom, Keyspace(0), vec![[Partition(0)].into()], b"", (10, 1000));
        assert_eq!(walk.asks().len(), 1);
        walk.take(0, &Answer::Refused(refusal));
        let mut out = Vec::new();
        session.walked(command, walk.outcome(), 0, &Clocks::default(), &mut out);
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

    /// How a request of this opcode is answered that had until 1000 us, at 1001 us.
    fn answered_late(opcode: Opcode, class: Class, answer: &Answer<'_>) -> Option<ErrorCode> {
        let asked = Asked { values: 1, deadline_us: 1000, ..Asked::default() };
        let mut session = WireSession { asked, ..WireSession::default() };
        let responder = Responder::for_parts(9, opcode as u8, false);
        let request = session.insert(Call::new(responder, class, 0)).request(0);
        let mut out = Vec::new();
        assert!(session.answer(request, answer, 1001, &mut out).is_some());
        assert_eq!((session.in_flight(), session.values_due()), (0, 0));
        let Parsed::Frame(frame, _) = parse(&out, &Limits::default()) else { panic!("no frame") };
        match Response::decode(&frame).unwrap().reply {
            Reply::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    #[test]
    fn a_late_read_is_refused_and_a_late_write_is_answered_as_it_ended() {
        assert_eq!(answered_late(Opcode::Get, Class::Read, &Answer::NotFound), Some(ErrorCode::DEADLINE));
        let written = Answer::Written { version: Version(1), existed: 0, old: None };
        assert_eq!(answered_late(Opcode::Put, Class::Write, &written), None);
        let busy = Answer::Refused(Refusal::Busy);
        assert_eq!(answered_late(Opcode::Put, Class::Write, &busy), Some(ErrorCode::DEADLINE));
    }
}
