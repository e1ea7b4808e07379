//! What is no request: it must be answered with an error, or the connection closed, and nobody else notice.

use super::{resp, wire};
use pinion_net::wire::Command;
use rand::Rng;
use rand::rngs::SmallRng;

/// What a piece of garbage must be answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// An error; the connection goes on.
    Error,
    /// An error, then the server closes.
    ErrorAndClose,
}

/// Appends garbage to a stream of RESP.
pub fn append_resp(rng: &mut SmallRng, out: &mut Vec<u8>) -> Due {
    let due = if rng.random_range(0..3) > 0 { Due::Error } else { Due::ErrorAndClose };
    if due == Due::Error {
        match rng.random_range(0..6) {
            0 => resp::fixed(&["GET"], out),
            1 => resp::fixed(&["NOSUCHCOMMAND", "a", "b"], out),
            2 => resp::fixed(&["SET", "h0", "never", "EX", "0"], out),
            3 => resp::fixed(&["SET", "h0", "never", "NX", "XX"], out),
            4 => resp::fixed(&["INCRBY", "n0", "1.5"], out),
            _ => resp::fixed(&["MSET", "h0", "never", "h1"], out),
        }
        return due;
    }
    match rng.random_range(0..6) {
        0 => out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n$-5\r\nabc\r\n"),
        1 => out.extend_from_slice(b"*99999999\r\n"),
        2 => out.extend_from_slice(b"*1\r\n$999999999999\r\n"),
        3 => out.extend_from_slice(b"*1\r\n!3\r\nGET\r\n"),
        4 => out.extend_from_slice(b"*2\r\n$3\r\nGETxx$1\r\na\r\n"),
        _ => out.extend_from_slice(b"SET \"h0 never\r\n"),
    }
    due
}

/// Appends garbage with this id to a stream of frames. What closes the connection may be answered with a notice, whose
/// id is 0.
pub fn append_wire(id: u64, rng: &mut SmallRng, out: &mut Vec<u8>) -> Due {
    let start = out.len();
    let key = b"h0";
    let (expiry, condition) = (pinion_net::wire::Expiry::Never, pinion_net::wire::Condition::None);
    let put = Command::Put { key, value: b"never", expiry, condition, want_old: false };
    wire::command(put, id, true, out);
    let frame = &mut out[start..];
    match rng.random_range(0..8) {
        0 => {
            frame[3] = 0x7e; // an opcode that nobody has
            seal(frame);
            Due::Error
        }
        1 => {
            frame[5] |= 0x80; // a flag that nobody has
            seal(frame);
            Due::Error
        }
        2 => {
            frame[48] ^= 1; // the key isn't what its checksum says
            Due::Error
        }
        3 => {
            frame[8] = 7; // a keyspace that isn't there
            seal(frame);
            Due::Error
        }
        4 => {
            frame[0] = b'G';
            Due::ErrorAndClose
        }
        5 => {
            frame[2] = 9; // a version that nobody speaks
            Due::ErrorAndClose
        }
        6 => {
            frame[20] ^= 1; // the header isn't what its checksum says
            Due::ErrorAndClose
        }
        _ => {
            frame[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
            seal(frame);
            Due::ErrorAndClose
        }
    }
}

/// Makes the header's checksum right.
fn seal(frame: &mut [u8]) {
    let sum = crc32c(&frame[..44]);
    frame[44..48].copy_from_slice(&sum.to_le_bytes());
}

/// CRC-32C, bit by bit: only for garbage.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78))
    })
}
