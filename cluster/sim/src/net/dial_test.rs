use super::*;
use crate::net::NetOptions;
use crate::rng::stream;
use pinion_cluster::drive::Sockets;
use pinion_cluster::drive::Speaks;
use pinion_net::reactor::CloseReason;
use rand::Rng;
use rand::rngs::SmallRng;
use std::io::ErrorKind;

/// Greets who answers, and notes what comes of its attempts and connections.
#[derive(Debug, Default, PartialEq, Eq)]
struct Caller {
    connected: Vec<(u64, ConnId)>,
    failed: Vec<(u64, ConnectError)>,
    heard: Vec<u8>,
    closed: Vec<CloseReason>,
}

impl Handler for Caller {
    fn number(&self) -> u64 {
        0
    }
    fn accepted(&mut self, _: &mut Net, _: ConnId, _: (Speaks, bool), _: SocketAddr) {}
    fn connected(&mut self, net: &mut Net, conn: ConnId, token: u64) {
        net.output(conn).extend_from_slice(b"hello");
        self.connected.push((token, conn));
    }
    fn connect_failed(&mut self, _: &mut Net, token: u64, error: ConnectError) {
        self.failed.push((token, error));
    }
    fn received(&mut self, net: &mut Net, conn: ConnId, bytes: &[u8]) -> usize {
        self.heard.extend_from_slice(bytes);
        if self.heard == b"bye" {
            net.close(conn);
        }
        bytes.len()
    }
    fn half_closed(&mut self, _: &mut Net, _: ConnId) {}
    fn drained(&mut self, _: &mut Net, _: ConnId) {}
    fn closed(&mut self, _: ConnId, reason: CloseReason) {
        self.closed.push(reason);
    }
}

const TIMEOUT: Duration = Duration::from_millis(5);

fn net() -> Net {
    Net::new(NetOptions { budget_bytes: 100, in_transit_bytes: 10, input_bytes_max: 1000 })
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], port))
}

/// Where somebody listens nearly all connect; elsewhere most are refused. The others get no answer.
fn answer(address: SocketAddr, rng: &mut SmallRng) -> Option<(Result<(), ConnectError>, u64)> {
    let (result, answered) = match address.port() {
        1 => (Ok(()), rng.random_ratio(15, 16)),
        _ => (Err(ConnectError::Failed(ErrorKind::ConnectionRefused)), rng.random_ratio(3, 4)),
    };
    answered.then(|| (result, rng.random_range(0..2_000)))
}

/// Turns until no attempt is left.
fn settle(net: &mut Net, caller: &mut Caller, rng: &mut SmallRng, trace: &mut Trace) {
    while let Some(at_us) = net.next_dial_us() {
        net.decide_dials(|_, address, _| answer(address, rng));
        net.begin_turn(at_us);
        net.end_dials(caller, trace);
    }
}

/// What comes of forty attempts, every other of them where somebody listens, and the trace's hash.
fn attempts(seed: u64) -> (Caller, String) {
    let (mut net, mut caller, mut trace) = (net(), Caller::default(), Trace::default());
    let mut rng = stream(seed, "net");
    for token in 0..40 {
        net.connect(address(token as u16 % 2), TIMEOUT, token).unwrap();
    }
    settle(&mut net, &mut caller, &mut rng, &mut trace);
    (caller, format!("{trace:?}"))
}

#[test]
fn attempts_connect_are_refused_or_run_out_of_time_as_the_seed_says() {
    let refused = ConnectError::Failed(ErrorKind::ConnectionRefused);
    let mut seen = [0; 3];
    for seed in 0..20 {
        let first = attempts(seed);
        assert_eq!(attempts(seed), first);
        let (caller, _) = first;
        assert_eq!(caller.connected.len() + caller.failed.len(), 40);
        assert!(caller.connected.iter().all(|(token, _)| token % 2 == 1));
        seen[0] += caller.connected.len();
        seen[1] += caller.failed.iter().filter(|(_, error)| *error == refused).count();
        seen[2] += caller.failed.iter().filter(|(_, error)| *error == ConnectError::TimedOut).count();
    }
    assert_eq!(seen.iter().sum::<usize>(), 20 * 40);
    assert!(seen.iter().all(|&many| many > 10), "{seen:?}");
}

#[test]
fn an_attempt_that_is_cut_or_given_up_ends_once_and_nothing_else_may_be_done_with_it() {
    let (mut net, mut caller, mut trace) = (net(), Caller::default(), Trace::default());
    let mut rng = stream(1, "net");
    let cut = net.connect(address(1), TIMEOUT, 1).unwrap();
    let given_up = net.connect(address(1), TIMEOUT, 2).unwrap();
    net.output(cut).extend_from_slice(b"nobody hears this");
    assert_eq!(net.queued(cut), 0);
    net.reset(cut, &mut rng);
    net.abort(given_up);
    settle(&mut net, &mut caller, &mut rng, &mut trace);
    let reset = ConnectError::Failed(ErrorKind::ConnectionReset);
    assert_eq!(caller.failed, [(1, reset), (2, ConnectError::Aborted)]);
    assert_eq!((net.orphans, net.next_dial_us()), (0, None));
    let again = net.connect(address(1), TIMEOUT, 3).unwrap();
    assert_eq!((again.index(), again == cut), (cut.index(), false));
}

#[test]
fn there_are_no_more_than_a_reactor_would_have() {
    let mut net = net();
    for token in 0..CONNECTIONS_OUT_MAX as u64 {
        net.connect(address(1), TIMEOUT, token).unwrap();
    }
    assert_eq!(net.connect(address(1), TIMEOUT, 0), Err(ConnectError::Full));
}

#[test]
fn bytes_go_both_ways_and_the_last_ones_arrive() {
    let (mut net, mut caller, mut trace) = (net(), Caller::default(), Trace::default());
    let mut rng = stream(2, "net");
    // Some get no answer.
    while caller.connected.is_empty() {
        net.connect(address(1), TIMEOUT, 7).unwrap();
        settle(&mut net, &mut caller, &mut rng, &mut trace);
    }
    let conn = caller.connected[0].1;
    net.to_core(conn).unwrap().extend_from_slice(b"bye");
    while caller.closed.is_empty() {
        net.advance(&mut caller, conn.index() as usize, &mut rng, &mut trace);
        net.send(&mut rng);
    }
    assert_eq!(caller.closed, [CloseReason::Closed]);
    assert!(net.to_core(conn).is_none());
    let parted: Vec<_> = net.parted.iter().map(|parted| (parted.conn, &parted.bytes[..])).collect();
    assert_eq!(parted, [(conn, &b"hello"[..])]);
}
