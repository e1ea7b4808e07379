//! What one node receives from another: frames, as they come, and the same with their checksums made right.
//!
//! Bound on memory: 64 KiB and 16 bytes for each byte of input.
//!
//! - Bytes are a message, the beginning of one, or refused in one line; what is the beginning of one is shorter than the longest.
//! - A message that was read is written as the bytes that it was read from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_cluster::peers::frame::{BODY_BYTES_MAX, HEADER_BYTES, Message};
use pinion_net_fuzz::bound;

fuzz_target!(|input: &[u8]| {
    bound::within((64 << 10) + 16 * input.len(), || {
        read_all(input);
        read_all(&mended(input));
    });
});

fn read_all(mut bytes: &[u8]) {
    let mut written = Vec::new();
    loop {
        match Message::read(bytes) {
            Ok(Some((message, length))) => {
                written.clear();
                message.write(&mut written);
                assert_eq!(written, bytes[..length], "{message:?} is written in another way");
                bytes = &bytes[length..];
            }
            Ok(None) => {
                assert!(bytes.len() < HEADER_BYTES + BODY_BYTES_MAX, "{} bytes are no whole frame", bytes.len());
                return;
            }
            Err(error) => {
                let text = error.to_string();
                assert!(!text.is_empty() && !text.contains('\n'), "not one line: {text:?}");
                return;
            }
        }
    }
}

/// The same frames with the checksums that they ought to have.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let mut start = 0;
    while let Some(header) = bytes.get(start..start + HEADER_BYTES) {
        let end = start + HEADER_BYTES + usize::from(u16::from_le_bytes([header[4], header[5]]));
        let Some(frame) = bytes.get(start + 4..end) else { break };
        let checksum = crc32c::crc32c(frame);
        bytes[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        start = end;
    }
    bytes
}
