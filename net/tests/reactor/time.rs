//! Turns that have no time for all that comes.

use crate::common::{Server, wait_until};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CLIENTS: usize = 40;

/// Has time for one presentation a turn. Pauses everybody who sends, resumes all of them when it is woken, and then answers.
#[derive(Default)]
struct Hurried {
    paused: Vec<ConnId>,
    paused_count: Arc<AtomicUsize>,
    /// Who was resumed and not yet presented.
    resumed: Vec<ConnId>,
    answered: Vec<ConnId>,
    in_turn: usize,
    in_turn_max: usize,
}

impl Handler for Hurried {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        self.in_turn += 1;
        assert_eq!(bytes, b"?");
        if self.answered.is_empty() && self.resumed.is_empty() {
            io.pause(conn);
            self.paused.push(conn);
            self.paused_count.fetch_add(1, Ordering::SeqCst);
            return 0;
        }
        assert_eq!(self.resumed.remove(0), conn, "in the order in which they were resumed");
        self.answered.push(conn);
        io.output(conn).push(b'!');
        1
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}

    fn woken(&mut self, io: &mut Io<Vec<u8>>) {
        if self.paused.len() == CLIENTS {
            self.resumed = std::mem::take(&mut self.paused);
            self.resumed.iter().for_each(|&conn| io.resume(conn));
        }
    }

    fn has_time(&self) -> bool {
        self.in_turn == 0
    }

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        self.in_turn_max = self.in_turn_max.max(std::mem::take(&mut self.in_turn));
        assert!(self.resumed.iter().all(|&conn| io.holding(conn).has_news), "they aren't idle");
        assert!(self.answered.iter().all(|&conn| !io.holding(conn).has_news));
        Next::Sleep(None)
    }
}

#[test]
fn who_was_resumed_waits_for_a_turn_with_time_and_is_not_taken_for_idle() {
    let handler = Hurried::default();
    let paused = handler.paused_count.clone();
    let server = Server::start(handler);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"?").unwrap());
    wait_until("all have sent something", || paused.load(Ordering::SeqCst) == CLIENTS);
    server.waker.wake();
    for client in &mut clients {
        let mut answer = [0];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"!");
    }
    let (handler, stats) = server.stop();
    assert_eq!(handler.answered.len(), CLIENTS);
    assert!(handler.in_turn_max <= 2, "{} presentations in a turn", handler.in_turn_max);
    assert!(stats.turns as usize >= CLIENTS);
}
