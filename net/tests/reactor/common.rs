//! A reactor on a thread of its own, and the handlers and clients the tests share.

use pinion_net::reactor::{
    CloseReason, ConnId, ConnectError, Handler, Io, Next, Reactor, ReactorConfig, Stats, Waker,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes on the slowest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a condition that another thread brings about.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < DEADLINE, "timed out waiting until {what}");
        std::thread::yield_now();
    }
}

/// A running reactor; ends with [`Server::stop`].
pub struct Server<H> {
    pub address: SocketAddr,
    pub waker: Waker,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(H, Stats)>,
}

impl<H: Handler + Send + 'static> Server<H> {
    pub fn start(handler: H) -> Server<H> {
        Server::start_with(ReactorConfig::default(), handler)
    }

    pub fn start_with(mut config: ReactorConfig, handler: H) -> Server<H> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        config.listeners = vec![listener];
        let stop = Arc::new(AtomicBool::new(false));
        let mut stoppable = Stoppable { handler, stop: stop.clone() };
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut reactor = Reactor::new(config).unwrap();
            sender.send(reactor.waker()).unwrap();
            reactor.run(&mut stoppable).unwrap();
            (stoppable.handler, reactor.stats().clone())
        });
        Server { address, waker: receiver.recv().unwrap(), stop, thread }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Stops the reactor and gives back its handler and counters.
    pub fn stop(self) -> (H, Stats) {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake();
        self.join()
    }

    /// Waits for a reactor that stops by itself.
    pub fn join(self) -> (H, Stats) {
        self.thread.join().unwrap()
    }
}

/// A handler that can be stopped from outside.
struct Stoppable<H> {
    handler: H,
    stop: Arc<AtomicBool>,
}

impl<H: Handler> Handler for Stoppable<H> {
    type Buf = H::Buf;

    fn accepted(&mut self, io: &mut Io<H::Buf>, conn: ConnId, listener: usize, peer: SocketAddr) {
        self.handler.accepted(io, conn, listener, peer);
    }
    fn connected(&mut self, io: &mut Io<H::Buf>, conn: ConnId, token: u64) {
        self.handler.connected(io, conn, token);
    }
    fn connect_failed(&mut self, io: &mut Io<H::Buf>, conn: ConnId, token: u64, error: ConnectError) {
        self.handler.connect_failed(io, conn, token, error);
    }
    fn received(&mut self, io: &mut Io<H::Buf>, conn: ConnId, bytes: &[u8]) -> usize {
        self.handler.received(io, conn, bytes)
    }
    fn half_closed(&mut self, io: &mut Io<H::Buf>, conn: ConnId) {
        self.handler.half_closed(io, conn);
    }
    fn drained(&mut self, io: &mut Io<H::Buf>, conn: ConnId) {
        self.handler.drained(io, conn);
    }
    fn closed(&mut self, io: &mut Io<H::Buf>, conn: ConnId, reason: CloseReason) {
        self.handler.closed(io, conn, reason);
    }
    fn file_done(&mut self, io: &mut Io<H::Buf>, token: u64, result: std::io::Result<usize>, buf: H::Buf) {
        self.handler.file_done(io, token, result, buf);
    }
    fn file_opened(&mut self, io: &mut Io<H::Buf>, token: u64, result: std::io::Result<OwnedFd>) {
        self.handler.file_opened(io, token, result);
    }
    fn woken(&mut self, io: &mut Io<H::Buf>) {
        if self.stop.load(Ordering::SeqCst) {
            io.stop();
        }
        self.handler.woken(io);
    }
    fn has_time(&self) -> bool {
        self.handler.has_time()
    }
    fn end_turn(&mut self, io: &mut Io<H::Buf>) -> Next {
        self.handler.end_turn(io)
    }
    fn refusal(&self, listener: usize) -> &'static [u8] {
        self.handler.refusal(listener)
    }
}

/// Frames are a length (u32, little-endian) and so many bytes.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(payload);
    frame
}

/// The first frame's payload and length, if it is complete; else how long it will be.
pub fn parse(bytes: &[u8]) -> Result<(&[u8], usize), usize> {
    let Some(header) = bytes.first_chunk::<4>() else {
        return Err(4);
    };
    let end = 4 + u32::from_le_bytes(*header) as usize;
    bytes.get(4..end).map(|payload| (payload, end)).ok_or(end)
}

pub fn read_frame(stream: &mut impl Read) -> Vec<u8> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).unwrap();
    let mut payload = vec![0; u32::from_le_bytes(header) as usize];
    stream.read_exact(&mut payload).unwrap();
    payload
}

/// Sends a frame and expects it back.
pub fn exchange(stream: &mut TcpStream, payload: &[u8]) {
    stream.write_all(&frame(payload)).unwrap();
    assert_eq!(read_frame(stream), payload);
}

/// Answers each frame with itself, and notes what happens to connections.
#[derive(Default)]
pub struct Echo {
    pub closed: Vec<(ConnId, CloseReason)>,
    pub accepted: Vec<ConnId>,
    /// Tells other threads how many connections were closed.
    pub closed_count: Arc<std::sync::atomic::AtomicUsize>,
    pub drained: usize,
}

impl Handler for Echo {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, conn: ConnId, listener: usize, peer: SocketAddr) {
        assert_eq!(listener, 0);
        assert!(peer.ip().is_loopback() && peer.port() != 0);
        self.accepted.push(conn);
    }

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        while !io.is_over_budget(conn) {
            match parse(&bytes[consumed..]) {
                Ok((_, len)) => {
                    io.output(conn).extend_from_slice(&bytes[consumed..consumed + len]);
                    consumed += len;
                }
                Err(needed) => {
                    io.wants(conn, needed);
                    break;
                }
            }
        }
        consumed
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {
        self.drained += 1;
    }

    fn closed(&mut self, _: &mut Io<Vec<u8>>, conn: ConnId, reason: CloseReason) {
        self.closed.push((conn, reason));
        self.closed_count.fetch_add(1, Ordering::SeqCst);
    }

    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }

    fn refusal(&self, _: usize) -> &'static [u8] {
        b"full\n"
    }
}
