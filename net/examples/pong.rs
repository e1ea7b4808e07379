//! The limit of a RESP server on this reactor: counts commands and answers each with the same line.
//!
//! `cargo run --release -p pinion-net --example pong -- [ADDR] [CPU]`, then for instance
//! `redis-benchmark -p 7399 -t get -c 50 -P 16 -n 1000000`. What a real server adds to this is what it costs.
//! Prints its counters when a connection sends SHUTDOWN.

use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, Reactor, ReactorConfig, preflight};
use std::net::{SocketAddr, TcpListener};

struct Pong;

/// The length of the first command: an array of bulk strings. `None` if it isn't complete.
fn command_len(bytes: &[u8]) -> Option<usize> {
    let (items, mut at) = number_line(bytes, 0)?;
    for _ in 0..items {
        let (len, start) = number_line(bytes, at)?;
        at = start + len + 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// The number in the line at `at`, after its type byte, and where the next line begins.
fn number_line(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (i, &byte) in bytes.get(at + 1..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _ => return Some((number, at + i + 3)),
        }
    }
    None
}

impl Handler for Pong {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        while let Some(len) = command_len(&bytes[consumed..]) {
            if bytes[consumed..consumed + len].ends_with(b"SHUTDOWN\r\n") {
                io.stop();
            }
            io.output(conn).extend_from_slice(b"+PONG\r\n");
            consumed += len;
        }
        consumed
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }
}

fn main() -> std::io::Result<()> {
    for problem in preflight(&std::env::temp_dir()) {
        eprintln!("{problem}");
    }
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7399".into());
    let cpu = arguments.next().and_then(|cpu| cpu.parse().ok());
    let listener = TcpListener::bind(address)?;
    println!("ready: {}", listener.local_addr()?);
    let mut reactor =
        Reactor::new(ReactorConfig { cpu, listeners: vec![listener], ..ReactorConfig::default() })?;
    reactor.run(&mut Pong)?;
    println!("{:#?}", reactor.stats());
    Ok(())
}
