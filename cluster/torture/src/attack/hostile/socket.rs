//! A connection of a hostile client: it sends as much as the server takes, and reads when it likes.

use super::assault::{Assault, Tally};
use crate::attack::stage::Stage;
use pinion_net::wire::{Command, Features, Hello, Level, Limits, Parsed, Request, Response, parse};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A server that takes nothing more for so long has made its point.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);

/// How long one system call may block.
const TICK: Duration = Duration::from_millis(50);

/// See the module. Closed when dropped.
pub struct Hostile<'a> {
    stage: &'a Stage,
    tally: &'a Tally,
    stream: TcpStream,
    is_closed: bool,
}

impl Assault<'_> {
    /// Connects; `None` if the server doesn't want to.
    pub fn connect(&self, address: SocketAddr) -> Option<Hostile<'_>> {
        let connected = TcpStream::connect_timeout(&address, BLOCKED_AFTER).and_then(|stream| {
            stream.set_write_timeout(Some(TICK))?;
            stream.set_read_timeout(Some(TICK))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => {
                self.tally.connections.fetch_add(1, Ordering::Relaxed);
                Some(Hostile { stage: self.stage, tally: &self.tally, stream, is_closed: false })
            }
            Err(error) => {
                self.tally.answered(&format!("(no connection: {})", error.kind()));
                None
            }
        }
    }

    /// Connects to the RESP port.
    pub fn connect_resp(&self) -> Option<Hostile<'_>> {
        self.connect(self.stage.target.resp)
    }

    /// Connects to the binary port and says HELLO, whose answer is read.
    pub fn connect_kv(&self) -> Option<Hostile<'_>> {
        let mut hostile = self.connect(self.stage.target.kv)?;
        hostile.send([frame(1, Command::Hello(Hello::new("hostile", Features::NONE, b"")))]);
        let until = Instant::now() + BLOCKED_AFTER;
        let mut piece = [0; 4096];
        while Instant::now() < until && !hostile.is_closed && hostile.read(&mut piece) == 0 {}
        Some(hostile)
    }
}

impl Hostile<'_> {
    /// Sends pieces until all are sent, the server takes no more, or the attack is over; false unless all are sent.
    pub fn send<P: AsRef<[u8]>>(&mut self, pieces: impl IntoIterator<Item = P>) -> bool {
        for piece in pieces {
            if !self.send_piece(piece.as_ref()) {
                return false;
            }
        }
        true
    }

    fn send_piece(&mut self, mut piece: &[u8]) -> bool {
        let mut until = Instant::now() + BLOCKED_AFTER;
        while !piece.is_empty() && !self.is_closed {
            match self.stream.write(piece) {
                Ok(sent @ 1..) => {
                    self.tally.sent(sent);
                    piece = &piece[sent..];
                    until = Instant::now() + BLOCKED_AFTER;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= until || !self.stage.is_attacked() {
                        self.tally.answered("(takes no more)");
                        return false;
                    }
                }
                Ok(_) | Err(_) => self.closed(),
            }
        }
        piece.is_empty()
    }

    /// Waits a little for an answer and counts its first words; answers them, too, if they came.
    pub fn answer(&mut self, time: Duration) -> Option<String> {
        let (until, mut first) = (Instant::now() + time, Vec::new());
        let mut piece = [0; 512];
        while !self.is_closed && first.len() < 64 && Instant::now() < until && self.stage.is_attacked() {
            let read = self.read(&mut piece);
            first.extend_from_slice(&piece[..read]);
            if read > 0 && first.contains(&b'\n') {
                break;
            }
        }
        if first.is_empty() {
            if !self.is_closed {
                self.tally.answered("(nothing)");
            }
            return None;
        }
        let words = words(&first);
        self.tally.answered(&words);
        Some(words)
    }

    /// Reads and forgets for some time, or until the server has nothing more to say for a while.
    pub fn drain(&mut self, time: Duration) {
        let until = Instant::now() + time;
        let mut quiet = 0;
        let mut piece = vec![0; 64 << 10];
        while !self.is_closed && Instant::now() < until && quiet < 20 && self.stage.is_attacked() {
            quiet = if self.read(&mut piece) == 0 { quiet + 1 } else { 0 };
        }
    }

    /// Reads once, for a moment at most.
    fn read(&mut self, piece: &mut [u8]) -> usize {
        match self.stream.read(piece) {
            Ok(read @ 1..) => {
                self.tally.received(read);
                read
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Ok(_) | Err(_) => {
                self.closed();
                0
            }
        }
    }

    fn closed(&mut self) {
        if !self.is_closed {
            self.is_closed = true;
            self.tally.answered("(closed)");
        }
    }
}

/// A request as a frame, unless it can't be one.
pub fn frame(id: u64, command: Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let request = Request { id, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command };
    request.encode(&Limits::default(), false, &mut out).expect("hostile frames keep the protocol's limits");
    out
}

/// The first words of an answer of either protocol.
fn words(bytes: &[u8]) -> String {
    if let Parsed::Frame(frame, _) = parse(bytes, &Limits::default()) {
        return match Response::decode(&frame).map(|response| response.reply) {
            Ok(pinion_net::wire::Reply::Refused { code, .. }) => format!("REFUSED {}", code.name()),
            Ok(_) => "a frame".to_owned(),
            Err(error) => error.to_string(),
        };
    }
    match bytes.first() {
        Some(b'-' | b'+' | b'H') => {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let printable = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' };
            line.iter().map(printable).collect()
        }
        Some(0xb1) => "a frame".to_owned(),
        Some(kind) => format!("{}...", kind.escape_ascii()),
        None => String::new(),
    }
}
