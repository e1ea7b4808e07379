//! What the server in memory answers, in both protocols.

use super::server::{told_ttl, value_ref};
use super::store::{Answer, Cell};
use crate::client::request::{Request, SetReply};
use pinion_net::resp::Encoder;
use pinion_net::wire::{ErrorCode, Responder};
use std::collections::BTreeMap;

const BUSY: &str = "TRYAGAIN the shard is busy";

/// Writes a reply of RESP.
pub fn resp(
    request: &Request,
    answers: &BTreeMap<u16, Answer>,
    values: &[Option<Cell>],
    clock_ms: u64,
    reply: &mut Encoder<'_>,
) {
    if answers.values().any(|answer| matches!(answer, Answer::Busy)) {
        return reply.error(BUSY);
    }
    let cell = values.first().and_then(Option::as_ref);
    let bytes = |cell: Option<&Cell>| cell.map(|cell| cell.bytes.clone());
    let there = || values.iter().flatten().count() as i64;
    match (request, answers.values().next()) {
        (Request::Get(_), _) => reply.bulk_or_null(bytes(cell).as_deref()),
        (Request::StrLen(_), _) => reply.integer(cell.map_or(0, |cell| cell.bytes.len() as i64)),
        (Request::Ttl(_, unit), _) => reply.integer(told_ttl(cell, *unit, clock_ms)),
        (Request::Exists(_), _) => reply.integer(there()),
        (Request::MultiGet(_), _) => {
            reply.array(values.len());
            values.iter().for_each(|cell| reply.bulk_or_null(bytes(cell.as_ref()).as_deref()));
        }
        (Request::Set { reply: SetReply::Old, .. } | Request::GetDel(_), Some(answer)) => match answer {
            Answer::Written { old, .. } => reply.bulk_or_null(bytes(old.as_ref()).as_deref()),
            Answer::NotMet(current) => reply.bulk_or_null(bytes(current.as_ref()).as_deref()),
            _ => reply.error("ERR internal error"),
        },
        (Request::Set { reply: SetReply::Ok, .. }, Some(answer)) => match answer {
            Answer::NotMet(_) => reply.null(),
            _ => reply.ok(),
        },
        (Request::Del(_), _) => {
            let existed = answers.values().map(|answer| match answer {
                Answer::Written { existed, .. } => *existed as i64,
                _ => 0,
            });
            reply.integer(existed.sum());
        }
        (Request::Batch(_) | Request::Clear, _) => reply.ok(),
        (_, Some(Answer::Number(number, _))) => reply.integer(*number),
        (_, Some(Answer::NotAnInteger)) => reply.error("ERR value is not an integer or out of range"),
        (_, Some(Answer::Overflow)) => reply.error("ERR increment or decrement would overflow"),
        (_, Some(Answer::NotMet(_))) => reply.integer(0),
        (_, Some(Answer::Written { .. })) => reply.integer(1),
        _ => reply.error("ERR internal error"),
    }
}

/// Writes a response of the binary protocol.
pub fn wire(
    request: &Request,
    answers: &BTreeMap<u16, Answer>,
    values: &[Option<Cell>],
    responder: Responder,
    out: &mut Vec<u8>,
) {
    match request {
        Request::MultiGet(_) => {
            let value_bytes = values.iter().flatten().map(|cell| cell.bytes.len()).sum();
            let mut results = responder.results(out, values.len(), value_bytes);
            for cell in values {
                results.push(out, cell.as_ref().map(|cell| value_ref(cell, &cell.bytes)));
            }
            return results.finish(out);
        }
        Request::Batch(_) => {
            let mut outcomes = responder.outcomes(out);
            for (partition, answer) in answers {
                match answer {
                    Answer::Written { version, .. } => outcomes.done(out, *partition, *version),
                    _ => outcomes.refused(out, *partition, ErrorCode::BUSY, ""),
                }
            }
            return outcomes.finish(out);
        }
        _ => {}
    }
    let (wants_old, wants_existed) = match request {
        Request::Set { reply, .. } => (*reply == SetReply::Old, false),
        Request::Delete { old, existed, .. } => (*old, *existed),
        _ => (false, false),
    };
    match answers.values().next() {
        Some(Answer::Values(_)) => match values.first().and_then(Option::as_ref) {
            Some(cell) => responder.value(out, value_ref(cell, &cell.bytes)),
            None => responder.not_found(out),
        },
        Some(Answer::Written { .. }) if matches!(request, Request::Expire { .. } | Request::Clear) => {
            responder.done(out);
        }
        Some(Answer::Written { existed: 0, .. }) if wants_existed => responder.not_found(out),
        Some(Answer::Written { version, old, .. }) => {
            let old = old.as_ref().filter(|_| wants_old);
            responder.written(out, *version, old.map(|cell| value_ref(cell, &cell.bytes)));
        }
        Some(Answer::NotMet(None)) if matches!(request, Request::Expire { .. }) => responder.not_found(out),
        Some(Answer::NotMet(current)) => {
            let bytes = |cell: &Cell| if wants_old { cell.bytes.clone() } else { Vec::new() };
            let current = current.as_ref().map(|cell| (cell, bytes(cell)));
            responder.not_met(out, current.as_ref().map(|(cell, bytes)| value_ref(cell, bytes)));
        }
        Some(Answer::Number(number, _)) => responder.integer(out, *number),
        Some(Answer::NotAnInteger) => responder.refused(out, ErrorCode::NOT_AN_INTEGER, ""),
        Some(Answer::Overflow) => responder.refused(out, ErrorCode::OVERFLOW, ""),
        Some(Answer::Busy) | None => responder.refused(out, ErrorCode::BUSY, ""),
    }
}
