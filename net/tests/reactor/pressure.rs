use crate::common::{Echo, Server, exchange, frame, parse, read_frame, wait_until};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, ReactorConfig};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const BUDGET: usize = 64 << 10;

/// An echo that watches how much output it has queued.
struct Watched {
    echo: Echo,
    queued_max: usize,
    kept_max: usize,
    /// Whether a client left more than the budget unread.
    was_slow: Arc<AtomicBool>,
    connections: Vec<ConnId>,
}

impl Handler for Watched {
    type Buf = Vec<u8>;

    fn accepted(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, listener: usize, peer: SocketAddr) {
        self.connections.push(conn);
        self.echo.accepted(io, conn, listener, peer);
    }
    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        assert!(!io.is_over_budget(conn), "nothing is presented over budget");
        self.echo.received(io, conn, bytes)
    }
    fn drained(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId) {
        assert!(!io.is_over_budget(conn));
        self.echo.drained(io, conn);
    }
    fn closed(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, reason: CloseReason) {
        self.echo.closed(io, conn, reason);
    }
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        for conn in &self.connections {
            self.queued_max = self.queued_max.max(io.queued(*conn));
            self.kept_max = self.kept_max.max(io.kept(*conn));
        }
        if io.stats().sends_short > 0 && io.stats().stalled > 0 {
            self.was_slow.store(true, Ordering::SeqCst);
        }
        Next::Sleep(None)
    }
}

#[test]
fn a_slow_reader_stays_within_its_budget_and_others_are_served() {
    const FRAME: usize = 4000;
    const FRAMES: u32 = 10_000;
    let was_slow = Arc::new(AtomicBool::new(false));
    let watched = Watched {
        echo: Echo::default(),
        queued_max: 0,
        kept_max: 0,
        was_slow: was_slow.clone(),
        connections: Vec::new(),
    };
    let config = ReactorConfig { budget_bytes: BUDGET, ..ReactorConfig::default() };
    let buffers = config.receive_buffer_bytes as usize * usize::from(config.receive_buffers);
    let delivered_max = BUDGET + 2 * buffers;
    let server = Server::start_with(config, watched);
    let mut slow = server.connect();
    let mut sender = slow.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for i in 0..FRAMES {
            let mut payload = vec![0; FRAME];
            payload[..4].copy_from_slice(&i.to_le_bytes());
            sender.write_all(&frame(&payload)).unwrap();
        }
    });
    wait_until("the slow reader's output is over its budget", || {
        // The output may have gone over it in the last turn, behind the handler.
        server.waker.wake();
        was_slow.load(Ordering::SeqCst)
    });
    let mut other = server.connect();
    for i in 0..1000_u32 {
        exchange(&mut other, &i.to_le_bytes());
    }
    for i in 0..FRAMES {
        let payload = read_frame(&mut slow);
        assert_eq!((payload.len(), &payload[..4]), (FRAME, &i.to_le_bytes()[..]));
    }
    thread.join().unwrap();
    let (watched, stats) = server.stop();
    assert!(watched.queued_max <= BUDGET + FRAME + 4, "{} bytes were queued", watched.queued_max);
    assert!(watched.kept_max <= delivered_max, "{} bytes were kept", watched.kept_max);
    assert!(stats.sends_short > 0);
    assert!(watched.echo.drained > 0);
}

/// Takes one frame at a time and pauses until the next turn, or until it is woken.
#[derive(Default)]
struct Hesitant {
    paused: Vec<ConnId>,
    presented: Vec<usize>,
}

impl Handler for Hesitant {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        assert!(self.paused.is_empty(), "nothing is presented while paused");
        self.presented.push(bytes.len());
        let Ok((_, len)) = parse(bytes) else {
            return 0;
        };
        io.output(conn).extend_from_slice(&bytes[..len]);
        // Twice, because pauses nest.
        io.pause(conn);
        io.pause(conn);
        self.paused.push(conn);
        len
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}

    fn woken(&mut self, io: &mut Io<Vec<u8>>) {
        for conn in self.paused.drain(..) {
            io.resume(conn);
            io.resume(conn);
        }
    }

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }
}

#[test]
fn a_paused_connection_loses_nothing_and_goes_on_where_it_was() {
    let server = Server::start(Hesitant::default());
    let mut stream = server.connect();
    let mut sender = stream.try_clone().unwrap();
    let thread = std::thread::spawn(move || {
        for i in 0..200_u32 {
            sender.write_all(&frame(&vec![i as u8; 100 * i as usize])).unwrap();
        }
    });
    for i in 0..200_u32 {
        assert_eq!(read_frame(&mut stream), vec![i as u8; 100 * i as usize]);
        server.waker.wake();
    }
    thread.join().unwrap();
    server.stop();
}

/// Answers each number with so many bytes, and tells how many were asked for and what waited before the last ones.
#[derive(Default)]
struct Amplify {
    taken: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

impl Handler for Amplify {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        self.waiting.store(io.queued(conn), Ordering::SeqCst);
        let mut consumed = 0;
        while !io.is_over_budget(conn)
            && let Some(number) = bytes[consumed..].first_chunk::<4>()
        {
            let end = io.output(conn).len() + u32::from_le_bytes(*number) as usize;
            io.output(conn).resize(end, 7);
            consumed += 4;
        }
        self.taken.fetch_add(consumed / 4, Ordering::SeqCst);
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

#[test]
fn input_left_while_a_small_send_waits_is_presented_when_the_output_has_drained() {
    let handler = Amplify::default();
    let (taken, waiting) = (handler.taken.clone(), handler.waiting.clone());
    let server = Server::start_with(ReactorConfig { budget_bytes: 256 << 10, ..Default::default() }, handler);
    let mut stream = server.connect();
    let (mut asked, mut owed) = (0, 0);
    // Until a send within the budget finds the socket full.
    while waiting.load(Ordering::SeqCst) == 0 {
        stream.write_all(&(64_u32 << 10).to_le_bytes()).unwrap();
        (asked, owed) = (asked + 1, owed + (64 << 10));
        wait_until("the request is taken", || taken.load(Ordering::SeqCst) == asked);
    }
    // One piece of input that takes the output over the budget before it ends.
    stream.write_all(&1024_u32.to_le_bytes().repeat(600)).unwrap();
    owed += 600 << 10;
    let mut answers = vec![0; owed];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(taken.load(Ordering::SeqCst), asked + 600);
    server.stop();
}

/// Asks for the room that a frame needs, and swallows it when it is whole. Tells what its connections hold.
struct Counting {
    held: Arc<AtomicUsize>,
    connections: Vec<ConnId>,
}

const RECEIVE_BYTES: usize = 64 * (16 << 10);

impl Handler for Counting {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, conn: ConnId, _: usize, _: SocketAddr) {
        self.connections.push(conn);
    }

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        if let Ok((_, len)) = parse(bytes) {
            return len;
        }
        if let Some(len) = bytes.first_chunk::<4>() {
            io.wants(conn, 4 + u32::from_le_bytes(*len) as usize);
        }
        0
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        let each = self.connections.iter().map(|conn| io.holding(*conn).bytes).sum::<usize>();
        assert_eq!(io.buffer_bytes(), RECEIVE_BYTES + each, "the sum follows what each holds");
        self.held.store(each, Ordering::SeqCst);
        Next::Sleep(None)
    }
}

#[test]
fn the_room_for_a_frame_is_counted_before_it_comes_and_given_back_behind_it() {
    let held = Arc::new(AtomicUsize::new(0));
    let counting = Counting { held: held.clone(), connections: Vec::new() };
    let server =
        Server::start_with(ReactorConfig { pool_bytes_max: 0, ..ReactorConfig::default() }, counting);
    let holds = |bytes: usize| held.load(Ordering::SeqCst) == bytes;
    let whole = frame(&vec![7; 1_000_000]);
    let (mut one, mut other) = (server.connect(), server.connect());
    one.write_all(&whole[..5_000]).unwrap();
    wait_until("the room for one frame is counted", || holds(whole.len()));
    other.write_all(&whole[..300_000]).unwrap();
    wait_until("the room for both is counted", || holds(2 * whole.len()));
    one.write_all(&whole[5_000..]).unwrap();
    wait_until("one is through", || holds(whole.len()));
    drop(other);
    wait_until("the other is gone", || holds(0));
    server.stop();
}
