//! Bytes that are no request, or nearly one.

use super::assault::Assault;
use super::socket::frame;
use super::stream::head;
use pinion_net::wire::{Command, Features, Hello};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};
use std::time::Duration;

/// Beginnings that a parser may trip over.
const SNARES: [&[u8]; 12] = [
    b"*-1\r\n",
    b"*2147483647\r\n",
    b"*99999999999999999999\r\n",
    b"*1\r\n$-5\r\n",
    b"*2\r\n$3\r\nGET\r\n$99999999\r\n",
    b"*1\r\n+PING\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\nxyz\r\n",
    b"GET \"a\r\n",
    b"\r\n\r\n\r\nPING\n",
    b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"$5\r\nhello\r\n",
];

/// Many connections, each with something else.
pub fn malformed(assault: &Assault<'_>, rng: &mut SmallRng) {
    for _ in 0..assault.size(400, 60) {
        let is_resp = rng.random();
        let address = if is_resp { assault.stage.target.resp } else { assault.stage.target.kv };
        let Some(mut hostile) = assault.connect(address) else { continue };
        for _ in 0..rng.random_range(1..4) {
            hostile.send([bytes(rng)]);
        }
        hostile.answer(Duration::from_millis(20));
        if !assault.stage.is_attacked() {
            return;
        }
    }
}

fn bytes(rng: &mut SmallRng) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => SNARES.choose(rng).copied().unwrap_or_default().to_vec(),
        1 => {
            let mut noise = vec![0; rng.random_range(1..5000)];
            rng.fill_bytes(&mut noise);
            noise
        }
        2 => flipped(rng, head(3, &[b"SET", b"hostile:x", b"some value"])),
        _ => {
            let mut frames = frame(1, Command::Hello(Hello::new("hostile", Features::NONE, b"")));
            frames.extend(frame(2, Command::Get { key: b"hostile:x" }));
            flipped(rng, frames)
        }
    }
}

/// With some bits wrong, and perhaps without its end.
fn flipped(rng: &mut SmallRng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    if rng.random() {
        bytes.truncate(rng.random_range(1..=bytes.len()));
    }
    bytes
}
