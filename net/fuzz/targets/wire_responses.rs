//! What a client receives on the binary protocol's port.
//!
//! Bound on memory: 256 KiB and 64 bytes for each byte of input: a map of nodes has 64 bytes of bookkeeping for 16 received ones.
//!
//! - Bytes are frames, the beginning of one that is within the limits, or an error.
//! - What was decoded can be read to its end; encoded as a server would, it decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_net::wire::{
    Frame, HEADER_BYTES, KeyResult, Limits, Parsed, Reply, Responder, Response, Status, parse,
};
use pinion_net_fuzz::{bound, frames};

fuzz_target!(|input: &[u8]| {
    bound::within((256 << 10) + 64 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let (_, bytes) = frames(input);
    let mut rest = bytes.as_slice();
    loop {
        match parse(rest, &Limits::default()) {
            Parsed::Frame(frame, len) => {
                assert!((HEADER_BYTES..=rest.len()).contains(&len));
                match Response::decode(&frame) {
                    Ok(response) => read(&frame, &response),
                    Err(error) => assert!(!error.to_string().is_empty()),
                }
                rest = &rest[len..];
            }
            Parsed::Incomplete { need } => {
                return assert!(
                    need > rest.len() && need <= Limits::FRAME_BYTES_MAX,
                    "{need} bytes are needed"
                );
            }
            Parsed::Invalid(error) => return assert!(!error.to_string().is_empty()),
        }
    }
}

fn read(frame: &Frame<'_>, response: &Response<'_>) {
    match &response.reply {
        Reply::Values(results) => assert_eq!(results.iter().count(), results.len()),
        Reply::Outcomes(outcomes) => assert_eq!(outcomes.iter().count(), outcomes.len()),
        Reply::Page(page) => assert_eq!(page.iter().count(), page.len()),
        Reply::Hello(hello) => {
            let home = hello.map.home_of(b"key");
            assert!(usize::from(home.node) < hello.map.nodes.len());
        }
        _ => {}
    }
    let mut out = Vec::new();
    if !encode(frame, response, &mut out) {
        return;
    }
    let Parsed::Frame(again, len) = parse(&out, &Limits::default()) else {
        panic!("what was encoded is no frame")
    };
    assert_eq!(len, out.len());
    let again = Response::decode(&again).expect("what was encoded can be decoded");
    assert_eq!((again.id, again.forwarded), (response.id, response.forwarded));
    // Lists are compared by what they hold: their bytes have reserved places, which a client skips.
    match (&again.reply, &response.reply) {
        (Reply::Values(a), Reply::Values(b)) => assert!(a.iter().eq(b.iter())),
        (Reply::Outcomes(a), Reply::Outcomes(b)) => assert!(a.iter().eq(b.iter())),
        (Reply::Page(a), Reply::Page(b)) => {
            assert!(a.iter().eq(b.iter()) && a.next_cursor() == b.next_cursor());
        }
        (a, b) => assert_eq!(a, b),
    }
}

/// Encodes an answer; false if no server sends such a one, because it has empty texts or ones that are cut.
fn encode(frame: &Frame<'_>, response: &Response<'_>, out: &mut Vec<u8>) -> bool {
    let is_sent = |text: &str| (1..=1024).contains(&text.len());
    let mut to = Responder::for_parts(response.id, frame.header.opcode, true);
    if response.forwarded {
        to = to.forwarded();
    }
    match &response.reply {
        Reply::Value(value) => {
            to.value(out, *value);
            // EXISTS has no value, whatever is sent.
            return frame.header.opcode & 0x7f != 0x11 || value.bytes.is_empty();
        }
        Reply::NotFound => to.not_found(out),
        Reply::Written { version, old } => to.written(out, *version, *old),
        Reply::NotMet { current } => to.not_met(out, *current),
        Reply::Integer(integer) => to.integer(out, *integer),
        Reply::Done => to.done(out),
        Reply::Bytes(bytes) => to.bytes(out, bytes),
        Reply::Refused { code, text } if is_sent(text) => to.refused(out, *code, text),
        Reply::Unknown { code, text } if is_sent(text) => to.unknown(out, *code, text),
        Reply::Refused { .. } | Reply::Unknown { .. } => return false,
        Reply::Hello(hello) if hello.server_version.len() > 65_535 => return false,
        Reply::Hello(hello) => to.hello(out, hello),
        Reply::Values(results) => {
            let bytes = results
                .iter()
                .map(|result| if let KeyResult::Value(value) = result { value.bytes.len() } else { 0 });
            let mut encoder = to.results(out, results.len(), bytes.sum());
            let mut exact = true;
            for result in results.iter() {
                match result {
                    KeyResult::Value(value) => encoder.push(out, Some(value)),
                    KeyResult::NotFound => encoder.push(out, None),
                    KeyResult::Refused { code, text } => {
                        exact &= is_sent(text);
                        encoder.push_refused(out, code, text);
                    }
                }
            }
            encoder.finish(out);
            return exact;
        }
        Reply::Outcomes(outcomes) => {
            let mut encoder = to.outcomes(out);
            let mut exact = true;
            for outcome in outcomes.iter() {
                match outcome.status {
                    Status::Refused => encoder.refused(out, outcome.partition, outcome.code, outcome.text),
                    Status::Unknown => encoder.unknown(out, outcome.partition, outcome.code, outcome.text),
                    _ => encoder.done(out, outcome.partition, outcome.version),
                }
                let failed = outcome.status != Status::Ok;
                let plain = failed == is_sent(outcome.text) && (failed || outcome.code.0 == 0);
                exact &= plain && (!failed || outcome.version == 0);
            }
            encoder.finish(out);
            return exact;
        }
        Reply::Page(page) => {
            let mut encoder = to.page(out);
            page.iter().for_each(|item| encoder.push(out, item.key, item.value));
            encoder.finish(out, page.next_cursor());
        }
    }
    true
}
