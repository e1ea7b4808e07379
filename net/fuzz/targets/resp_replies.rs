//! What a client receives on the Redis protocol's port.
//!
//! Bound on memory: 64 KiB and 256 bytes for each byte of input: `%1` and a line break, 3 bytes, make a vector of 4 pairs.
//!
//! - A reply says how long it is; it reads the same without what follows, and no part of it is a reply or an error.
//! - What was decoded and encoded again decodes to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_net::resp::client::{Reply, decode};
use pinion_net::resp::{Encoder, Protocol};
use pinion_net_fuzz::bound;

fuzz_target!(|input: &[u8]| {
    bound::within((64 << 10) + 256 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((reply, len))) = decode(rest) {
        assert!(len > 0 && len <= rest.len());
        assert_eq!(decode(&rest[..len]), Ok(Some((reply.clone(), len))), "what follows doesn't matter");
        let step = len.div_ceil(50);
        for cut in (0..len).step_by(step) {
            assert_eq!(decode(&rest[..cut]), Ok(None), "{cut} of {len} bytes");
        }
        let mut out = Vec::new();
        if encode(&reply, &mut Encoder::new(&mut out, Protocol::Resp3)) {
            assert_eq!(decode(&out), Ok(Some((reply, out.len()))));
        }
        rest = &rest[len..];
    }
}

/// Writes a reply; false if the encoder has no way to write such a one.
fn encode(reply: &Reply<'_>, out: &mut Encoder<'_>) -> bool {
    let is_line = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    match reply {
        Reply::Simple(text) => match str::from_utf8(text) {
            Ok(line) if is_line(text) => out.simple(line),
            _ => return false,
        },
        Reply::Error(text) if is_line(text) => out.error(text),
        Reply::Error(_) | Reply::Number(_) | Reply::Push(_) => return false,
        Reply::Integer(value) => out.integer(*value),
        Reply::Bulk(bytes) => out.bulk(bytes),
        Reply::Null => out.null(),
        Reply::Boolean(value) => out.boolean(*value),
        Reply::Array(items) => {
            out.array(items.len());
            return items.iter().all(|item| encode(item, out));
        }
        Reply::Map(pairs) => {
            out.map(pairs.len());
            return pairs.iter().all(|(key, value)| encode(key, out) && encode(value, out));
        }
    }
    true
}
