use crate::common::{DEADLINE, frame, parse};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, Reactor, ReactorConfig};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;

const BUDGET: usize = 64 << 10;
const FRAME: usize = 4000;
const FRAMES: u32 = 10_000;

/// Sends numbered frames over a connection out, as fast as its budget lets it, and expects them back.
struct Pump {
    to: SocketAddr,
    is_begun: bool,
    sent: u32,
    back: u32,
    queued_max: usize,
    drained: u32,
    closed: Vec<CloseReason>,
}

impl Pump {
    fn fill(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId) {
        while self.sent < FRAMES && !io.is_over_budget(conn) {
            let mut payload = vec![0; FRAME];
            payload[..4].copy_from_slice(&self.sent.to_le_bytes());
            io.output(conn).extend(frame(&payload));
            self.sent += 1;
        }
        self.queued_max = self.queued_max.max(io.queued(conn));
        io.tell_when_drained(conn);
    }
}

impl Handler for Pump {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}

    fn connected(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, _: u64) {
        self.fill(io, conn);
    }

    fn received(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId, bytes: &[u8]) -> usize {
        assert!(!io.is_over_budget(conn), "nothing is presented over budget");
        let mut consumed = 0;
        while let Ok((payload, len)) = parse(&bytes[consumed..]) {
            assert_eq!((payload.len(), &payload[..4]), (FRAME, &self.back.to_le_bytes()[..]));
            self.back += 1;
            consumed += len;
        }
        if self.back == FRAMES {
            io.close(conn);
        }
        consumed
    }

    fn drained(&mut self, io: &mut Io<Vec<u8>>, conn: ConnId) {
        self.drained += 1;
        self.fill(io, conn);
    }

    fn closed(&mut self, io: &mut Io<Vec<u8>>, _: ConnId, reason: CloseReason) {
        self.closed.push(reason);
        io.stop();
    }

    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}
    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        if !std::mem::replace(&mut self.is_begun, true) {
            io.connect(self.to, DEADLINE, 0).unwrap();
        }
        Next::Sleep(None)
    }
}

/// Sends back what it gets, and reads whether or not anybody takes that.
fn echo(mut stream: TcpStream) {
    let (pieces, arrived) = channel::<Vec<u8>>();
    let mut back = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || arrived.iter().for_each(|piece| back.write_all(&piece).unwrap()));
    let mut piece = vec![0; 100_000];
    loop {
        let count = stream.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        pieces.send(piece[..count].to_vec()).unwrap();
    }
    drop(pieces);
    sender.join().unwrap();
}

#[test]
fn a_stream_both_ways_over_a_connection_out_keeps_to_its_budget() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || echo(listener.accept().unwrap().0));
    let config = ReactorConfig { budget_bytes: BUDGET, ..ReactorConfig::default() };
    let mut pump =
        Pump { to, is_begun: false, sent: 0, back: 0, queued_max: 0, drained: 0, closed: Vec::new() };
    Reactor::new(config).unwrap().run(&mut pump).unwrap();
    peer.join().unwrap();
    assert_eq!((pump.sent, pump.back, &pump.closed[..]), (FRAMES, FRAMES, &[CloseReason::Closed][..]));
    assert!(pump.queued_max <= BUDGET + FRAME + 4, "{} bytes were queued", pump.queued_max);
    assert!(pump.drained > 0);
}
