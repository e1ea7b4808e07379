//! What a connection of a running node receives: the node is in this process, with two shards, real sockets and a store in memory or in `TMPDIR`.
//!
//! Bound on memory: 256 MiB more than when the input began, of which the store's own budget is 64 MiB; a client that pipelines
//! may have 1 MiB of answers under way.
//!
//! - After the last byte the connection is answered and closed within 30 seconds; every answer can be decoded.
//! - The node goes on: another connection is answered.
//!
//! The first byte of an input: bit 7 picks the protocol, bits 0 and 1 are those of frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_cluster::config::Durability;
use pinion_cluster::{Config, Node};
use pinion_net::resp::client::decode;
use pinion_net::wire::{Limits, MAGIC, Parsed, Response, parse};
use pinion_net_fuzz::{bound, frames};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Where the node listens with either protocol. It runs as long as the process.
static NODE: LazyLock<(SocketAddr, SocketAddr)> = LazyLock::new(|| {
    let dir =
        tempfile::Builder::new().prefix("pinion-fuzz").tempdir().expect("a directory can be made").keep();
    let config = Config {
        shards: Some(2),
        pin: false,
        durability: Durability::None,
        memory_bytes: 64 << 20,
        ..Config::ephemeral(dir)
    };
    let node = Box::leak(Box::new(Node::start(config).expect("a node starts")));
    (node.addresses().kv, node.addresses().resp.expect("the Redis protocol is served"))
});

fuzz_target!(|input: &[u8]| {
    let (kv, resp) = *NODE;
    bound::within(256 << 20, || run(input, kv, resp));
});

fn run(input: &[u8], kv: SocketAddr, resp: SocketAddr) {
    let is_resp = input.first().is_some_and(|flags| flags & 0x80 != 0);
    if is_resp {
        let answer = talk(resp, &input[1..]);
        // Whoever begins as the binary protocol does gets a frame that says which port speaks it.
        match input.get(1) == MAGIC.first() {
            true => check_responses(&answer),
            false => check_replies(&answer),
        }
        return assert_eq!(talk(resp, b"PING\r\n"), b"+PONG\r\n", "the node goes on");
    }
    let (_, bytes) = frames(input);
    let answer = talk(kv, &bytes);
    // Text gets a line of RESP, or nothing if it is HTTP.
    match bytes.first().is_some_and(u8::is_ascii_graphic) {
        true => check_replies(&answer),
        false => check_responses(&answer),
    }
    assert_eq!(talk(resp, b"PING\r\n"), b"+PONG\r\n", "the node goes on");
}

/// Sends everything and reads to the end.
fn talk(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(to).expect("the node listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
    // A node that has closed already doesn't take the rest.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match socket.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection isn't closed: {error}"),
    }
    answer
}

fn check_responses(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match parse(bytes, &Limits::default()) {
            Parsed::Frame(frame, len) => {
                if let Err(error) = Response::decode(&frame) {
                    panic!("an answer can't be decoded: {error}; {:?}", frame.header);
                }
                bytes = &bytes[len..];
            }
            other => panic!("not an answer: {other:?}"),
        }
    }
}

fn check_replies(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match decode(bytes) {
            Ok(Some((_, len))) => bytes = &bytes[len..],
            other => panic!(
                "not a reply: {other:?} in {:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
            ),
        }
    }
}
