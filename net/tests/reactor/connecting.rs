use crate::common::{DEADLINE, Echo, Server, exchange, frame, parse, read_frame};
use pinion_net::reactor::{CloseReason, ConnId, ConnectError, Handler, Io, Next, ReactorConfig};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// What a test has a caller do.
enum Do {
    Connect {
        address: SocketAddr,
        timeout: Duration,
        token: u64,
    },
    /// A frame to whoever has this token.
    Send(u64, Vec<u8>),
    Abort(u64),
    Close(u64),
}

/// What a caller saw, with the token that it is about.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Refused(u64, ConnectError),
    Connected(u64),
    Failed(u64, ConnectError),
    Frame(u64, Vec<u8>),
    Closed(u64, CloseReason),
}

/// Connects to whom it is told, and tells what comes of it. Who comes in gets back what they send.
struct Caller {
    orders: Receiver<Do>,
    seen: Sender<Seen>,
    conns: HashMap<u64, ConnId>,
    echo: Echo,
}

impl Caller {
    fn tell(&self, seen: Seen) {
        // The test may have seen enough.
        let _ = self.seen.send(seen);
    }

    fn token(&self, conn: ConnId) -> Option<u64> {
        self.conns.iter().find_map(|(&token, &of)| (of == conn).then_some(token))
    }
}

impl Handler for Caller {
    type Buf = Vec<u8>;

    fn accepted(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, listener: usize, peer: SocketAddr) {
        self.echo.accepted(io, conn, listener, peer);
    }

    fn connected(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, token: u64) {
        assert!(io.is_open(conn) && self.conns[&token] == conn);
        self.tell(Seen::Connected(token));
    }

    fn connect_failed(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, token: u64, error: ConnectError) {
        assert!(!io.is_open(conn));
        assert_eq!(self.conns.remove(&token), Some(conn), "an attempt ends once");
        io.output(conn).extend_from_slice(b"to nobody");
        self.tell(Seen::Failed(token, error));
    }

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        let Some(token) = self.token(conn) else { return self.echo.received(io, conn, bytes) };
        match parse(bytes) {
            Ok((payload, len)) => {
                self.tell(Seen::Frame(token, payload.to_vec()));
                len
            }
            Err(needed) => {
                io.wants(conn, needed);
                0
            }
        }
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}

    fn closed(&mut self, _: &mut Io<Vec<u8>>, conn: ConnId, reason: CloseReason) {
        if let Some(token) = self.token(conn) {
            self.conns.remove(&token);
            self.tell(Seen::Closed(token, reason));
        }
    }

    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}

    fn woken(&mut self, io: &mut Io<Vec<u8>>) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Do::Connect { address, timeout, token } => match io.connect(address, timeout, token) {
                    Ok(conn) => assert_eq!(self.conns.insert(token, conn), None),
                    Err(error) => self.tell(Seen::Refused(token, error)),
                },
                Do::Send(token, payload) => io.output(self.conns[&token]).extend(frame(&payload)),
                Do::Abort(token) => io.abort(self.conns[&token]),
                Do::Close(token) => io.close(self.conns[&token]),
            }
        }
    }

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }

    fn refusal(&self, _: usize) -> &'static [u8] {
        b"full\n"
    }
}

/// A reactor with a caller, and the test's ends of it.
struct Phone {
    server: Server<Caller>,
    orders: Sender<Do>,
    seen: Receiver<Seen>,
}

impl Phone {
    fn with(config: ReactorConfig) -> Phone {
        let ((orders, taken), (told, seen)) = (channel(), channel());
        let caller = Caller { orders: taken, seen: told, conns: HashMap::new(), echo: Echo::default() };
        Phone { server: Server::start_with(config, caller), orders, seen }
    }

    fn lines(connections_out_max: usize) -> Phone {
        Phone::with(ReactorConfig { connections_out_max, ..ReactorConfig::default() })
    }

    fn order(&self, order: Do) {
        self.orders.send(order).unwrap();
        self.server.waker.wake();
    }

    fn connect(&self, address: SocketAddr, token: u64) {
        self.order(Do::Connect { address, timeout: DEADLINE, token });
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(DEADLINE).expect("something happens in time")
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Somebody who listens, takes nobody, and has no room for who knocks; with those that are in the way.
fn deaf() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let (listener, address) = listener();
    // SAFETY: no memory is involved; listening again only changes the backlog.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    (listener, address, waiting)
}

#[test]
fn a_connection_out_is_one_like_any_other_over_both_families() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(at).unwrap();
        let phone = Phone::lines(1);
        phone.connect(listener.local_addr().unwrap(), 7);
        assert_eq!(phone.next(), Seen::Connected(7));
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        phone.order(Do::Send(7, b"a question".to_vec()));
        assert_eq!(read_frame(&mut stream), b"a question");
        stream.write_all(&frame(b"an answer")).unwrap();
        assert_eq!(phone.next(), Seen::Frame(7, b"an answer".to_vec()));
        phone.order(Do::Close(7));
        assert_eq!(phone.next(), Seen::Closed(7, CloseReason::Closed));
        let (_, stats) = phone.server.stop();
        assert_eq!((stats.connected, stats.connects_failed, stats.closed), (1, 0, 1));
    }
}

#[test]
fn where_nobody_listens_it_is_refused_and_the_place_is_free_again() {
    let (gone, address) = listener();
    drop(gone);
    let phone = Phone::lines(1);
    for token in 0..200 {
        phone.connect(address, token);
        let mut seen = phone.next();
        // Until the kernel has let go of the attempt before.
        while seen == Seen::Refused(token, ConnectError::Full) {
            phone.connect(address, token);
            seen = phone.next();
        }
        assert_eq!(seen, Seen::Failed(token, ConnectError::Failed(ErrorKind::ConnectionRefused)));
    }
    phone.server.stop();
}

#[test]
fn who_does_not_answer_in_time_is_given_up() {
    let (_listener, address, _waiting) = deaf();
    let phone = Phone::lines(1);
    let begin = Instant::now();
    phone.order(Do::Connect { address, timeout: Duration::from_millis(50), token: 1 });
    assert_eq!(phone.next(), Seen::Failed(1, ConnectError::TimedOut));
    assert!(begin.elapsed() >= Duration::from_millis(50));
    phone.server.stop();
}

#[test]
fn an_attempt_that_was_given_up_leaves_the_next_one_in_its_place_alone() {
    let (_listener, silent, _waiting) = deaf();
    let answering = Server::start(Echo::default());
    let phone = Phone::lines(1);
    for token in 0..100 {
        phone.connect(silent, token);
        phone.order(if token % 2 == 0 { Do::Abort(token) } else { Do::Close(token) });
        assert_eq!(phone.next(), Seen::Failed(token, ConnectError::Aborted));
        let next = 1000 + token;
        phone.connect(answering.address, next);
        let mut seen = phone.next();
        while seen == Seen::Refused(next, ConnectError::Full) {
            phone.connect(answering.address, next);
            seen = phone.next();
        }
        assert_eq!(seen, Seen::Connected(next));
        phone.order(Do::Send(next, token.to_le_bytes().to_vec()));
        assert_eq!(phone.next(), Seen::Frame(next, token.to_le_bytes().to_vec()));
        phone.order(Do::Abort(next));
        assert_eq!(phone.next(), Seen::Closed(next, CloseReason::Aborted));
    }
    phone.server.stop();
    answering.stop();
}

#[test]
fn a_reactor_that_stops_gives_up_its_attempts() {
    let (_listener, silent, _waiting) = deaf();
    let phone = Phone::lines(3);
    (0..3).for_each(|token| phone.connect(silent, token));
    phone.connect(silent, 3);
    assert_eq!(phone.next(), Seen::Refused(3, ConnectError::Full));
    let (caller, stats) = phone.server.stop();
    let mut failed: Vec<_> = phone.seen.try_iter().map(|seen| format!("{seen:?}")).collect();
    failed.sort();
    assert_eq!(failed, [0, 1, 2].map(|token| format!("Failed({token}, Stopped)")));
    assert!(caller.conns.is_empty());
    assert_eq!((stats.connected, stats.connects_failed), (0, 4));
}

#[test]
fn connections_in_and_out_do_not_take_each_others_places() {
    const OUT: u64 = 32;
    let config =
        ReactorConfig { connections_max: 2, connections_out_max: OUT as usize, ..ReactorConfig::default() };
    let phone = Phone::with(config);
    let answering = Server::start(Echo::default());
    let mut clients = [phone.server.connect(), phone.server.connect()];
    clients.iter_mut().for_each(|client| exchange(client, b"in"));
    (0..=OUT).for_each(|token| phone.connect(answering.address, token));
    // The refusal comes at once, between those that are connected.
    let mut seen: Vec<_> = (0..=OUT).map(|_| phone.next()).collect();
    seen.sort_by_key(|seen| if let Seen::Connected(token) = seen { *token } else { OUT });
    assert_eq!(seen.pop(), Some(Seen::Refused(OUT, ConnectError::Full)));
    assert_eq!(seen, (0..OUT).map(Seen::Connected).collect::<Vec<_>>());
    let mut third = String::new();
    phone.server.connect().read_to_string(&mut third).unwrap();
    assert_eq!(third, "full\n");
    for token in 0..OUT {
        phone.order(Do::Send(token, token.to_le_bytes().to_vec()));
        assert_eq!(phone.next(), Seen::Frame(token, token.to_le_bytes().to_vec()));
    }
    clients.iter_mut().for_each(|client| exchange(client, b"still in"));
    let (_, stats) = phone.server.stop();
    assert_eq!((stats.accepted, stats.connected, stats.closed), (2, OUT, 2 + OUT));
    answering.stop();
}

#[test]
fn who_hangs_up_at_once_was_connected_and_is_closed() {
    let (listener, address) = listener();
    let phone = Phone::lines(4);
    for token in 0..50 {
        phone.connect(address, token);
        drop(listener.accept().unwrap());
        assert_eq!(phone.next(), Seen::Connected(token));
        assert_eq!(phone.next(), Seen::Closed(token, CloseReason::Finished));
    }
    phone.server.stop();
}
