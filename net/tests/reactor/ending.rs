use crate::common::{DEADLINE, Echo, Server, exchange, frame, read_frame, wait_until};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, ReactorConfig};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_client_that_finished_sending_gets_all_its_answers_and_then_the_end() {
    let server = Server::start(Echo::default());
    let mut stream = server.connect();
    let payload = vec![7; 10_000];
    let mut sender = stream.try_clone().unwrap();
    let request = frame(&payload);
    let thread = std::thread::spawn(move || {
        for _ in 0..1000 {
            sender.write_all(&request).unwrap();
        }
        // Half a frame, which is never answered.
        sender.write_all(&request[..500]).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    for _ in 0..1000 {
        assert_eq!(read_frame(&mut stream), payload);
    }
    thread.join().unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    let (echo, _) = server.stop();
    assert_eq!(echo.closed, [(echo.accepted[0], CloseReason::Finished)]);
}

/// Owes its answers until later turns, as a server that waits for its log does.
#[derive(Default)]
struct Procrastinator {
    owed: VecDeque<(ConnId, u8)>,
    finished: Vec<ConnId>,
    closed: Vec<CloseReason>,
}

impl Handler for Procrastinator {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, _: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        self.owed.extend(bytes.iter().map(|&byte| (conn, byte)));
        bytes.len()
    }

    fn half_closed(&mut self, _: &mut Io<Vec<u8>>, conn: ConnId) {
        self.finished.push(conn);
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}

    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, reason: CloseReason) {
        self.closed.push(reason);
    }

    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        if let Some((conn, byte)) = self.owed.pop_front() {
            io.output(conn).push(byte);
            return Next::Now;
        }
        for conn in self.finished.drain(..) {
            io.close(conn);
        }
        Next::Sleep(None)
    }
}

#[test]
fn answers_that_come_turns_after_the_clients_end_still_reach_it() {
    let server = Server::start(Procrastinator::default());
    let mut stream = server.connect();
    let request: Vec<u8> = (0..=255).collect();
    stream.write_all(&request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, request);
    let (handler, _) = server.stop();
    assert_eq!(handler.closed, [CloseReason::Finished]);
}

/// Closes such that the other side sees a reset: with input unread.
fn reset(mut stream: TcpStream) {
    // Two answers arrive; one is left unread, which turns the close into a reset.
    stream.write_all(&[frame(b"one"), frame(b"two")].concat()).unwrap();
    assert_eq!(read_frame(&mut stream), b"one");
    stream.peek(&mut [0; 4]).unwrap();
}

#[test]
fn a_reset_is_reported_once_and_harms_nobody() {
    let echo = Echo::default();
    let closed = echo.closed_count.clone();
    let server = Server::start(echo);
    let mut bystander = server.connect();
    exchange(&mut bystander, b"before");
    for _ in 0..20 {
        reset(server.connect());
    }
    wait_until("all resets are seen", || closed.load(Ordering::SeqCst) == 20);
    exchange(&mut bystander, b"after");
    let (mut echo, _) = server.stop();
    let lost = CloseReason::Lost(ErrorKind::ConnectionReset);
    assert_eq!(echo.closed.iter().filter(|(_, why)| *why == lost).count(), 20);
    assert_eq!(echo.closed.len(), 21);
    echo.closed.sort_by_key(|(id, _)| *id);
    echo.closed.dedup_by_key(|(id, _)| *id);
    assert_eq!(echo.closed.len(), 21);
}

/// Answers the first byte with a lot, and closes; 'a' aborts, 's' stops the reactor.
#[derive(Default)]
struct Closer {
    closed: Vec<CloseReason>,
}

const FAREWELL: usize = 20 << 20;

impl Handler for Closer {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        match bytes[0] {
            b'a' => io.abort(conn),
            b's' => io.stop(),
            _ => {
                io.output(conn).resize(FAREWELL, 1);
                io.close(conn);
            }
        }
        assert!(bytes[0] == b's' || !io.is_open(conn));
        io.output(conn).extend_from_slice(b"to nobody");
        bytes.len()
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}

    fn closed(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, reason: CloseReason) {
        assert!(!io.is_open(conn));
        self.closed.push(reason);
    }

    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }
}

#[test]
fn close_sends_everything_first_even_if_input_goes_unread() {
    let server = Server::start(Closer::default());
    let mut stream = server.connect();
    let mut sender = stream.try_clone().unwrap();
    sender.write_all(b"x").unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    let chatter = std::thread::spawn(move || {
        // Nobody reads this; a plain close would answer it with a reset.
        for _ in 0..1000 {
            if sender.write_all(&[0; 1000]).is_err() {
                break;
            }
        }
    });
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    chatter.join().unwrap();
    assert_eq!(1 + rest.len(), FAREWELL);
    drop(stream);
    let (handler, _) = server.stop();
    assert_eq!(handler.closed, [CloseReason::Closed]);
}

#[test]
fn abort_closes_at_once_and_throws_output_away() {
    let server = Server::start(Closer::default());
    let mut stream = server.connect();
    stream.write_all(b"a").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    let (handler, _) = server.stop();
    assert_eq!(handler.closed, [CloseReason::Aborted]);
}

#[test]
fn a_client_that_never_closes_is_closed_on_when_it_lingered_long_enough() {
    let config = ReactorConfig { linger: Duration::from_millis(1), ..ReactorConfig::default() };
    let server = Server::start_with(config, Closer::default());
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), FAREWELL);
    // Our side is still open: only the server's patience ends this.
    wait_until("writing fails", || stream.write_all(&[0; 100]).is_err());
    server.stop();
}

#[test]
fn stop_closes_connections_and_listeners() {
    let server = Server::start(Closer::default());
    let mut idle = server.connect();
    let mut stopper = server.connect();
    stopper.write_all(b"s").unwrap();
    let mut answer = Vec::new();
    stopper.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"to nobody");
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    let address = server.address;
    let (handler, stats) = server.join();
    assert_eq!(handler.closed, [CloseReason::Stopped; 2]);
    assert_eq!(stats.closed, 2);
    let refused = TcpStream::connect_timeout(&address, DEADLINE).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}
