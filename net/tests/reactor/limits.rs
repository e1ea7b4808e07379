use crate::common::{DEADLINE, Echo, Server, exchange, frame, read_frame};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, Reactor, ReactorConfig};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn a_connection_beyond_the_limit_is_told_so_and_closed() {
    let config = ReactorConfig { connections_max: 4, ..ReactorConfig::default() };
    let server = Server::start_with(config, Echo::default());
    let mut streams: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for stream in &mut streams {
        exchange(stream, b"in");
    }
    // More than there are descriptors for refusals: they come round again.
    for _ in 0..200 {
        let mut answer = Vec::new();
        server.connect().read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"full\n");
    }
    drop(streams.pop());
    let begin = Instant::now();
    loop {
        let mut stream = server.connect();
        // The refusal may have closed the connection already, and what is written then resets it.
        let _ = stream.write_all(&frame(b"in?"));
        let mut answer = [0; 5];
        match stream.read_exact(&mut answer) {
            Ok(()) if answer != *b"full\n" => break,
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        assert!(begin.elapsed() < DEADLINE);
    }
    let (echo, stats) = server.stop();
    assert_eq!(echo.accepted.len(), 5);
    assert!(stats.refused >= 200);
}

#[test]
fn input_that_a_handler_never_consumes_is_bounded() {
    let config = ReactorConfig { input_bytes_max: 100_000, ..ReactorConfig::default() };
    let server = Server::start_with(config, Echo::default());
    let mut stream = server.connect();
    exchange(&mut stream, &vec![1; 90_000]);
    let mut bytes = frame(&[]);
    bytes[..4].copy_from_slice(&1_000_000_u32.to_le_bytes());
    bytes.resize(1_000_004, 0);
    let _ = stream.write_all(&bytes);
    let _ = stream.read(&mut [0; 1]);
    let (echo, _) = server.stop();
    assert_eq!(echo.closed, [(echo.accepted[0], CloseReason::InputTooLong)]);
}

/// Sleeps a while, a few times, and counts turns.
struct Sleeper {
    naps: u32,
    turns: u32,
    wake_at: Instant,
    early: u32,
}

const NAP: Duration = Duration::from_millis(20);

impl Handler for Sleeper {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        self.turns += 1;
        let now = Instant::now();
        if now < self.wake_at {
            self.early += 1;
            return Next::Sleep(Some(self.wake_at - now));
        }
        if self.naps == 0 {
            io.stop();
        }
        self.naps = self.naps.saturating_sub(1);
        self.wake_at = now + NAP;
        Next::Sleep(Some(NAP))
    }
}

#[test]
fn an_idle_reactor_makes_one_turn_a_timer_and_none_for_idle_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // In the backlog before the reactor starts; they come in with its first turns.
    let idle: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    let config = ReactorConfig { listeners: vec![listener], ..ReactorConfig::default() };
    let mut sleeper = Sleeper { naps: 10, turns: 0, wake_at: Instant::now(), early: 0 };
    let mut reactor = Reactor::new(config).unwrap();
    reactor.run(&mut sleeper).unwrap();
    assert_eq!(reactor.stats().accepted, 50);
    // A few turns to accept, one for each nap.
    assert!(sleeper.turns <= 40, "{} turns", sleeper.turns);
    assert_eq!(u64::from(sleeper.turns), reactor.stats().turns);
    drop(idle);
}

/// Answers each new connection with its listener's index and the port it came from.
struct Doorman;

impl Handler for Doorman {
    type Buf = Vec<u8>;

    fn accepted(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, listener: usize, peer: SocketAddr) {
        io.output(conn).extend_from_slice(format!("{listener} {}", peer.port()).as_bytes());
        io.close(conn);
    }
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, io: &mut Io<Vec<u8>>, _: ConnId, reason: CloseReason) {
        assert_eq!(reason, CloseReason::Closed);
        if io.stats().closed == 3 {
            io.stop_accepting();
            io.stop();
        }
    }
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}
    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }
}

#[test]
fn a_connection_comes_with_its_listener_and_its_peer() {
    let listeners: Vec<_> =
        ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"].map(|a| TcpListener::bind(a).unwrap()).into();
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let thread = std::thread::spawn(move || {
        let config = ReactorConfig { listeners, cpu: Some(0), ..ReactorConfig::default() };
        Reactor::new(config).unwrap().run(&mut Doorman).unwrap();
    });
    for (i, address) in addresses.iter().enumerate() {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, format!("{i} {}", stream.local_addr().unwrap().port()));
    }
    thread.join().unwrap();
}

#[test]
fn a_reactor_runs_once() {
    let mut sleeper = Sleeper { naps: 0, turns: 0, wake_at: Instant::now(), early: 0 };
    let mut reactor = Reactor::new(ReactorConfig::default()).unwrap();
    reactor.run(&mut sleeper).unwrap();
    assert!(reactor.run(&mut sleeper).is_err());
}

#[test]
fn more_connections_than_open_files_is_refused_with_the_remedy() {
    let listeners = vec![TcpListener::bind("127.0.0.1:0").unwrap()];
    let config = ReactorConfig { listeners, connections_max: usize::MAX / 2, ..ReactorConfig::default() };
    let error = Reactor::<Echo>::new(config).err().unwrap();
    assert!(error.to_string().contains("LimitNOFILE"), "{error}");
}

#[test]
fn a_stream_of_frames_works_beside_silent_connections() {
    let server = Server::start(Echo::default());
    let silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    let mut stream = server.connect();
    for i in 0..1000_u32 {
        stream.write_all(&frame(&i.to_le_bytes())).unwrap();
        assert_eq!(read_frame(&mut stream), i.to_le_bytes());
    }
    drop(silent);
    server.stop();
}
