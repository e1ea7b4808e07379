//! What a server receives on the binary protocol's port.
//!
//! Bound on memory: 64 KiB and 8 bytes for each byte of input; parsing and decoding borrow, only this target's copies and an answer's text allocate.
//!
//! - Bytes are frames, the beginning of one that is within the limits, or an error that can be answered.
//! - A part of a frame is the beginning of a frame. A request that was decoded encodes, and decodes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_net::wire::{
    Command, Frame, HEADER_BYTES, Limits, Parsed, Reply, Request, Responder, Response, WireError, parse,
};
use pinion_net_fuzz::{bound, frames};

fuzz_target!(|input: &[u8]| {
    bound::within((64 << 10) + 8 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let (flags, bytes) = frames(input);
    let limits = match flags >> 4 & 1 {
        0 => Limits::default(),
        _ => Limits { value_bytes_max: 100, batch_bytes_max: 200, ..Limits::default() },
    };
    let mut rest = bytes.as_slice();
    loop {
        match parse(rest, &limits) {
            Parsed::Frame(frame, len) => {
                assert!((HEADER_BYTES..=rest.len()).contains(&len));
                cut(&rest[..len], input.len() % len, &limits);
                decode(&frame, &limits);
                rest = &rest[len..];
            }
            Parsed::Incomplete { need } => {
                return assert!(
                    need > rest.len() && need <= Limits::FRAME_BYTES_MAX,
                    "{need} bytes are needed"
                );
            }
            Parsed::Invalid(error) => return answer(Responder::for_error(&error), &error),
        }
    }
}

/// A frame that was cut anywhere is the beginning of one.
fn cut(frame: &[u8], at: usize, limits: &Limits) {
    match parse(&frame[..at], limits) {
        Parsed::Incomplete { need } => assert!(need > at && need <= frame.len()),
        other => panic!("{at} bytes of a frame are {other:?}"),
    }
}

fn decode(frame: &Frame<'_>, limits: &Limits) {
    let request = match Request::decode(frame, limits) {
        Ok(request) => request,
        Err(error) => return answer(Responder::for_frame(frame, false), &error),
    };
    match request.command {
        Command::MultiGet { keys } => {
            assert_eq!(keys.iter().filter(|key| !key.is_empty()).count(), keys.len())
        }
        Command::Batch { ops } => assert_eq!(ops.iter().filter(|op| !op.key.is_empty()).count(), ops.len()),
        _ => {}
    }
    for checked in [false, true] {
        let mut out = Vec::new();
        request.encode(limits, checked, &mut out).expect("what was decoded is within the limits");
        let Parsed::Frame(again, len) = parse(&out, limits) else { panic!("what was encoded is no frame") };
        assert_eq!(len, out.len());
        assert_eq!(Request::decode(&again, limits), Ok(request));
    }
}

/// An error is answered by a frame that a client understands.
fn answer(responder: Responder, error: &WireError) {
    let mut out = Vec::new();
    responder.error(&mut out, error);
    let Parsed::Frame(frame, _) = parse(&out, &Limits::default()) else { panic!("the answer is no frame") };
    match Response::decode(&frame).expect("an answer can be decoded").reply {
        Reply::Refused { code, text } => assert!(code == error.code() && !text.is_empty()),
        other => panic!("an error is answered by {other:?}"),
    }
}
