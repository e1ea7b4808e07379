use super::call::Call;
use super::frame::{Hello, Message, Round};
use super::guest::Guest;
use super::*;
use rand::rngs::SmallRng;
use std::net::SocketAddr;

const ME: Id = [1; 16];
const OTHER: Id = [2; 16];
const CLUSTER: Id = [9; 16];
/// Cores of a peer.
const CORES: usize = 32;

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], 7600))
}

fn settings(node: Id, other: Id) -> PeerSettings {
    let peers = vec![Peer { node: other, addresses: vec![address(); CORES] }];
    PeerSettings { cluster: CLUSTER, node, peers }
}

fn frames(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((message, len)) = Message::read(bytes).unwrap() {
        messages.push(message);
        bytes = &bytes[len..];
    }
    messages
}

fn said(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.write(&mut bytes));
    bytes
}

fn hello() -> Hello {
    Hello { cluster: CLUSTER, from: ME, to: OTHER, connection: 7, core: 3 }
}

/// What a guest of node `OTHER` answers, and what becomes of it.
fn answer(messages: &[Message]) -> (Vec<Message>, Verdict) {
    let mut guest = Guest::new(ConnId::from_u64(1), 0);
    let (mut out, bytes) = (Vec::new(), said(messages));
    let (_, verdict) = guest.received(&bytes, &settings(OTHER, ME), 1, &mut out);
    (frames(&out), verdict)
}

#[test]
fn a_guest_is_welcomed_and_its_pings_are_answered_once_in_order() {
    let ping = |connection, number| Message::Ping(Round { connection, number });
    let (answers, verdict) =
        answer(&[Message::Hello(hello()), ping(7, 1), ping(6, 2), ping(7, 1), ping(7, 2)]);
    let pong = |number| Message::Pong(Round { connection: 7, number });
    assert_eq!(answers, [Message::Welcome { connection: 7 }, pong(1), pong(2)]);
    assert_eq!(verdict, Verdict::Goes);
    assert_eq!(answer(&[Message::Hello(hello()), ping(7, 2)]).1, Verdict::Abort, "one is missing");
}

#[test]
fn who_is_no_peer_is_refused_with_a_reason() {
    for (hello, word) in [
        (Hello { cluster: [8; 16], ..hello() }, "another cluster"),
        (Hello { to: [3; 16], ..hello() }, "another node"),
        (Hello { from: [3; 16], ..hello() }, "no such peer"),
        (Hello { core: CORES as u16, ..hello() }, "no such core"),
    ] {
        let (answers, verdict) = answer(&[Message::Hello(hello)]);
        assert!(
            matches!(&answers[..], [Message::Refused { reason }] if reason.contains(word)),
            "{answers:?}"
        );
        assert_eq!(verdict, Verdict::Close);
    }
    let mut guest = Guest::new(ConnId::from_u64(1), 0);
    let mut out = Vec::new();
    let (_, verdict) = guest.received(&[0, 0, 0, 0, 0, 0, 1, 2], &settings(OTHER, ME), 1, &mut out);
    assert!(matches!(&frames(&out)[..], [Message::Refused { reason }] if reason.contains("version 2")));
    assert_eq!(verdict, Verdict::Close);
    assert_eq!(answer(&[Message::Ping(Round { connection: 7, number: 1 })]).1, Verdict::Abort);
}

/// A call that is connected and welcome, and the number of its connection.
fn welcome(io: &mut Line) -> (Call, u64) {
    let (mut call, settings, mut chance) =
        (Call::new(OTHER, address(), 3), settings(ME, OTHER), SmallRng::seed_from_u64(1));
    call.tick(io, 0, &mut chance);
    let connection = io.asked.expect("it begins a connection");
    assert!(!call.connected(connection + 1, &settings, 5, &mut io.output));
    assert!(call.connected(connection, &settings, 5, &mut io.output));
    let hello = Hello { connection, ..hello() };
    assert_eq!(frames(&std::mem::take(&mut io.output)), [Message::Hello(hello)]);
    call.received(&said(&[Message::Welcome { connection }]), 10);
    assert_eq!(call.status().connection, Some(connection));
    (call, connection)
}

#[test]
fn a_pong_counts_only_as_the_next_one_of_its_connection() {
    let mut io = Line::default();
    let (mut call, connection) = welcome(&mut io);
    let mut chance = SmallRng::seed_from_u64(1);
    call.tick(&mut io, 20, &mut chance);
    call.tick(&mut io, call.due_us(), &mut chance);
    assert_eq!(frames(&io.output).len(), 2);
    let pong = |connection, number| Message::Pong(Round { connection, number });
    let strange = [pong(connection + 1, 1), pong(connection, 2), pong(connection, 0), pong(connection, 3)];
    call.received(&said(&strange), 300_000);
    assert_eq!((call.status().answered, call.status().strays), (0, 4));
    call.received(&said(&[pong(connection, 1)]), 300_020);
    assert_eq!((call.status().answered, call.status().round_us), (1, Some(300_000)));
}

#[test]
fn a_silent_peer_is_given_up_in_time_and_few_pings_are_remembered() {
    let mut io = Line::default();
    let (mut call, _) = welcome(&mut io);
    let mut chance = SmallRng::seed_from_u64(1);
    let mut now_us = 10;
    while io.aborted.is_empty() {
        now_us = call.due_us();
        assert!(now_us <= 10 + DEAD_US);
        call.tick(&mut io, now_us, &mut chance);
        assert!(call.status().unanswered <= PINGS_MAX);
    }
    assert_eq!((now_us, call.status().connection), (10 + DEAD_US, None));
    assert!(call.due_us() > now_us, "it waits before it calls again");
}

#[test]
fn pauses_grow_up_to_a_limit() {
    let (mut call, mut chance) = (Call::new(OTHER, address(), 0), SmallRng::seed_from_u64(1));
    let pauses: Vec<u64> = (0..10)
        .map(|_| {
            call.lost(0, &mut chance);
            call.due_us()
        })
        .collect();
    assert!(pauses[0] <= 50_000 && pauses[9] >= PAUSE_US_MAX / 2 && pauses[9] <= PAUSE_US_MAX, "{pauses:?}");
}

/// A connection comes in, and says hello as a core of a peer, unless it says nothing; what it is answered.
fn come(
    peers: &mut Peers,
    io: &mut Line,
    conn: u64,
    said_by: Option<(Id, u16)>,
    now_us: u64,
) -> Vec<Message> {
    let conn = ConnId::from_u64(conn);
    peers.accepted(io, conn, now_us);
    if let Some((from, core)) = said_by {
        let bytes = said(&[Message::Hello(Hello { from, core, to: ME, ..hello() })]);
        assert_eq!(peers.received(io, conn, &bytes, now_us), bytes.len());
    }
    frames(&std::mem::take(&mut io.output))
}

const WELCOME: [Message; 1] = [Message::Welcome { connection: 7 }];

#[test]
fn all_cores_of_all_peers_are_welcome_where_they_have_many_more_than_this_node() {
    let node = |number: u8| [number; 16];
    let peer = |number| Peer { node: node(number), addresses: vec![address(); CORES] };
    let peers = (2..11).map(peer).collect();
    let mut peers = Peers::new(PeerSettings { cluster: CLUSTER, node: ME, peers }, 1, 1);
    let (mut io, mut conn) = (Line::default(), 0);
    // As they call the second core of a node of two.
    for core in (1..CORES as u16).step_by(2) {
        for number in 2..11 {
            conn += 1;
            assert_eq!(come(&mut peers, &mut io, conn, Some((node(number), core)), 0), WELCOME);
        }
    }
    assert_eq!((peers.guests(), io.aborted.len()), ((144, 9 * CORES + NAMELESS_MAX), 0));
}

#[test]
fn a_crowd_that_says_nothing_keeps_no_peer_out_and_has_a_second() {
    let (mut peers, mut io) = (Peers::new(settings(ME, OTHER), 0, 1), Line::default());
    assert_eq!(come(&mut peers, &mut io, 1, Some((OTHER, 0)), 0), WELCOME);
    for stranger in 0..1000 {
        come(&mut peers, &mut io, 100 + stranger, None, stranger);
    }
    assert_eq!(peers.guests().0, 1 + NAMELESS_MAX, "they are bounded");
    assert_eq!(come(&mut peers, &mut io, 2, Some((OTHER, 1)), 1000), WELCOME);
    peers.calls.clear();
    assert_eq!(
        peers.due_us(),
        Some(1000 - NAMELESS_MAX as u64 + 1 + HELLO_US),
        "the oldest that is left goes first"
    );
    peers.tick(&mut io, 1000 + HELLO_US);
    assert_eq!(peers.guests().0, 2);
    assert!([1, 2].iter().all(|&conn| !io.aborted.contains(&ConnId::from_u64(conn))), "peers stay");
}

#[test]
fn a_new_connection_of_a_core_takes_the_place_of_the_one_before() {
    let (mut peers, mut io) = (Peers::new(settings(ME, OTHER), 0, 1), Line::default());
    for (conn, core, guests) in [(1, 0, 1), (2, 1, 2), (3, 0, 2), (4, 0, 2)] {
        assert_eq!(come(&mut peers, &mut io, conn, Some((OTHER, core)), 0), WELCOME);
        assert_eq!(peers.guests().0, guests);
    }
    assert_eq!(io.aborted, [1, 3].map(ConnId::from_u64));
}

/// Sockets of which only one at a time says anything.
#[derive(Default)]
struct Line {
    asked: Option<u64>,
    output: Vec<u8>,
    aborted: Vec<ConnId>,
}

impl super::Sockets for Line {
    fn connect(&mut self, _: SocketAddr, _: std::time::Duration, token: u64) -> Result<ConnId, ConnectError> {
        self.asked = Some(token);
        Ok(ConnId::from_u64(1))
    }
    fn output(&mut self, _: ConnId) -> &mut Vec<u8> {
        &mut self.output
    }
    fn abort(&mut self, conn: ConnId) {
        self.aborted.push(conn);
    }
    fn queued(&self, _: ConnId) -> usize {
        self.output.len()
    }
    fn is_over_budget(&self, _: ConnId) -> bool {
        false
    }
    fn tell_when_drained(&mut self, _: ConnId) {}
    fn pause(&mut self, _: ConnId) {}
    fn resume(&mut self, _: ConnId) {}
    fn wants(&mut self, _: ConnId, _: usize) {}
    fn held_bytes(&self) -> usize {
        self.output.len()
    }
    fn ending_bytes(&self) -> usize {
        0
    }
    fn kept(&self, _: ConnId) -> usize {
        0
    }
    fn holding(&self, _: ConnId) -> pinion_net::reactor::Holding {
        pinion_net::reactor::Holding::default()
    }
    fn close(&mut self, _: ConnId) {}
    fn stop_accepting(&mut self) {}
    fn stop(&mut self) {}
}
