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
    /// Of these, before this turn.
    answered_before: usize,
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
        let (old, fresh) = self.answered.split_at(self.answered_before);
        assert!(old.iter().all(|&conn| !io.holding(conn).has_news));
        assert!(
            fresh.iter().all(|&conn| io.holding(conn).has_news),
            "the kernel wasn't offered the answer yet"
        );
        self.answered_before = self.answered.len();
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

/// Answers more than a socket takes.
#[derive(Default)]
struct Talkative {
    conn: Option<ConnId>,
    /// Turns that ended before the kernel was offered the answer, and whether it was seen to be unread.
    fresh: Arc<AtomicUsize>,
    unread: Arc<AtomicUsize>,
}

impl Handler for Talkative {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        self.conn = Some(conn);
        io.output(conn).resize(ANSWER_BYTES, b'!');
        bytes.len()
    }

    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        if let Some(holding) =
            self.conn.map(|conn| io.holding(conn)).filter(|_| self.unread.load(Ordering::SeqCst) == 0)
        {
            let is_first = self.fresh.load(Ordering::SeqCst) == 0;
            assert_eq!((holding.unread == 0, holding.has_news), (is_first, is_first), "{holding:?}");
            let seen = if is_first { &self.fresh } else { &self.unread };
            seen.fetch_add(1, Ordering::SeqCst);
        }
        Next::Sleep(None)
    }
}

const ANSWER_BYTES: usize = 32 << 20;

#[test]
fn an_answer_is_unread_only_when_the_kernel_was_offered_it() {
    let handler = Talkative::default();
    let (fresh, unread) = (handler.fresh.clone(), handler.unread.clone());
    let server = Server::start(handler);
    let mut client = server.connect();
    client.write_all(b"?").unwrap();
    wait_until("a turn has ended with the answer", || fresh.load(Ordering::SeqCst) == 1);
    wait_until("it is seen to be unread", || {
        server.waker.wake();
        unread.load(Ordering::SeqCst) == 1
    });
    let mut answer = vec![0; ANSWER_BYTES];
    client.read_exact(&mut answer).unwrap();
    assert!(answer.iter().all(|&byte| byte == b'!'));
    server.stop();
}
