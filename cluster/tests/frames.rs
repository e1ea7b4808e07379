//! The binary protocol frame by frame: what a server does with what a careful client doesn't send.

mod common;

use common::{DEADLINE, Kvd, store_dir};
use pinion_net::wire::{
    Command, Condition, ErrorCode, Expiry, Features, Hello, Level, Limits, Once, Parsed, Range, Reply,
    Request, Response, ServerHello, VERSION, parse,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU128;
use std::time::{Duration, Instant};

/// A connection that sends what it is told to.
struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A response, kept.
struct Got(Vec<u8>);

impl Got {
    fn with<T>(&self, look: impl FnOnce(Response<'_>) -> T) -> T {
        let Parsed::Frame(frame, _) = parse(&self.0, &Limits::default()) else { panic!("no frame") };
        look(Response::decode(&frame).expect("a response"))
    }

    fn id(&self) -> u64 {
        self.with(|response| response.id)
    }

    /// The error's number, if the request was refused.
    fn refusal(&self) -> Option<ErrorCode> {
        self.with(|response| match response.reply {
            Reply::Refused { code, .. } => Some(code),
            _ => None,
        })
    }
}

fn request(id: u64, command: Command<'_>) -> Request<'_> {
    Request { id, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command }
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    Command::Put { key, value, expiry: Expiry::Never, condition: Condition::None, want_old: false }
}

fn hello() -> Hello<'static> {
    Hello::new("test", Features::NONE, b"")
}

impl Wire {
    fn connect(kvd: &Kvd) -> Wire {
        Wire::to(&kvd.kv)
    }

    fn to(address: &str) -> Wire {
        let stream = TcpStream::connect(address).expect("kvd listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        Wire { stream, received: Vec::new() }
    }

    /// A connection that agreed on HELLO.
    fn greeted(kvd: &Kvd) -> Wire {
        let mut wire = Wire::connect(kvd);
        wire.send(&[request(1, Command::Hello(hello()))]);
        assert!(wire.next().expect("an answer").with(|response| matches!(response.reply, Reply::Hello(_))));
        wire
    }

    /// A connection to a core of its own, of a client that wants its writes done once; and what the server said of itself.
    fn numbered(address: &str, client: u128) -> (Wire, ServerHello) {
        let mut wire = Wire::to(address);
        let client = NonZeroU128::new(client).expect("no client is zero");
        let hello = Hello::new("test", Features::ONCE.required(), b"").with_client(client);
        wire.send(&[request(1, Command::Hello(hello))]);
        let server = wire.next().expect("an answer").with(|response| match response.reply {
            Reply::Hello(server) => *server,
            other => panic!("HELLO is answered {other:?}"),
        });
        (wire, server)
    }

    /// Sends a request, and waits for its answer, as text.
    fn ask(&mut self, request: Request<'_>) -> String {
        self.send(&[request]);
        self.next().expect("an answer").with(|response| format!("{:?}", response.reply))
    }

    /// Sends requests in one piece.
    fn send(&mut self, requests: &[Request<'_>]) {
        let mut bytes = Vec::new();
        for request in requests {
            request.encode(&Limits::default(), false, &mut bytes).expect("requests within the limits");
        }
        self.stream.write_all(&bytes).expect("kvd reads");
    }

    /// The next response; `None` at the end of the stream.
    fn next(&mut self) -> Option<Got> {
        loop {
            if let Parsed::Frame(_, len) = parse(&self.received, &Limits::default()) {
                let rest = self.received.split_off(len);
                return Some(Got(std::mem::replace(&mut self.received, rest)));
            }
            let mut room = vec![0; 1 << 20];
            match self.stream.read(&mut room).expect("an answer or the end, in time") {
                0 => return None,
                bytes => self.received.extend_from_slice(&room[..bytes]),
            }
        }
    }

    /// All responses up to the end of the stream.
    fn rest(&mut self) -> Vec<Got> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

#[test]
fn a_connection_begins_with_hello_or_ends() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    let mut early = Wire::connect(&kvd);
    early.send(&[request(7, put(b"k", b"early")), request(8, Command::Hello(hello()))]);
    let answers = early.rest();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].id(), answers[0].refusal()), (7, Some(ErrorCode::HELLO_REQUIRED)));
    let refusals = [
        (Hello { version_min: VERSION + 1, version_max: 99, ..hello() }, ErrorCode::BAD_VERSION),
        (Hello { auth: b"secret", ..hello() }, ErrorCode::AUTH_NOT_CONFIGURED),
        (Hello { features: Features(1 << 31).required(), ..hello() }, ErrorCode::UNKNOWN_FEATURE),
    ];
    for (hello, code) in refusals {
        let mut wire = Wire::connect(&kvd);
        wire.send(&[request(1, Command::Hello(hello)), request(2, put(b"k", b"late"))]);
        let answers = wire.rest();
        assert_eq!(answers.len(), 1, "nothing behind a refused HELLO is done");
        assert_eq!((answers[0].id(), answers[0].refusal()), (1, Some(code)));
    }
    assert_eq!(kvd.client().get("k").unwrap(), None);
    // Later on, too, a HELLO without agreement is the end, behind what is due.
    let mut wire = Wire::greeted(&kvd);
    let newer = Hello { version_min: VERSION + 1, version_max: 99, ..hello() };
    wire.send(&[request(2, put(b"k", b"v")), request(3, Command::Hello(newer))]);
    assert_eq!(wire.rest().iter().map(Got::id).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn every_level_is_taken_and_a_number_that_is_none_is_refused() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    let mut wire = Wire::greeted(&kvd);
    for level in [Level::Default, Level::Eventual, Level::Session, Level::Strong, Level::All] {
        wire.send(&[Request { level, ..request(2, put(b"k", b"v")) }]);
        assert_eq!(wire.next().unwrap().refusal(), None, "{level}");
    }
    let mut bytes = Vec::new();
    request(3, Command::Get { key: b"k" }).encode(&Limits::default(), false, &mut bytes).unwrap();
    bytes[6] = 5;
    let checksum = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
    wire.stream.write_all(&bytes).unwrap();
    assert_eq!(wire.next().unwrap().refusal(), Some(ErrorCode::BAD_REQUEST));
    wire.send(&[request(4, Command::Get { key: b"k" })]);
    assert_eq!(wire.next().unwrap().refusal(), None, "the connection goes on");
}

#[test]
fn the_reason_for_the_end_comes_behind_every_answer() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    let mut wire = Wire::greeted(&kvd);
    let mut bytes = Vec::new();
    let requests = [request(2, Command::Count(Range::default())), request(3, put(b"k", b"v"))];
    for request in requests {
        request.encode(&Limits::default(), false, &mut bytes).unwrap();
    }
    bytes.extend_from_slice(b"and now for something else");
    wire.stream.write_all(&bytes).unwrap();
    let answers = wire.rest();
    let mut ids: Vec<u64> = answers.iter().map(Got::id).collect();
    assert_eq!(ids.pop(), Some(0), "the notice is the last word");
    ids.sort_unstable();
    assert_eq!(ids, [2, 3]);
    assert_eq!(answers[2].refusal(), Some(ErrorCode::BAD_FRAME));
}

#[test]
fn a_node_that_goes_down_answers_what_it_takes_in_and_says_so() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let (mut idle, mut busy) = (Wire::greeted(&kvd), Wire::greeted(&kvd));
    let keys: Vec<String> = (0..3000).map(|number| format!("key{number}")).collect();
    let requests: Vec<_> =
        keys.iter().zip(10..).map(|(key, id)| request(id, put(key.as_bytes(), b"v"))).collect();
    busy.send(&requests);
    // The first answer shows that the server is amid the others.
    let first = busy.next().unwrap();
    kvd.signal("TERM");
    let mut answers = busy.rest();
    let goodbye = answers.pop().unwrap();
    assert_eq!((goodbye.id(), goodbye.refusal()), (0, Some(ErrorCode::SHUTTING_DOWN)));
    let answered: BTreeSet<u64> = answers.iter().chain([&first]).map(Got::id).collect();
    let idle = idle.rest();
    assert_eq!(idle.len(), 1);
    assert_eq!(idle[0].refusal(), Some(ErrorCode::SHUTTING_DOWN));
    assert!(kvd.stop().success());
    let kvd = Kvd::start(&dir, &[]);
    let values = kvd.client().get_many(&keys).unwrap();
    for ((key, value), id) in keys.iter().zip(values).zip(10..) {
        assert_eq!(value.is_some(), answered.contains(&id), "{key} is there if it was answered, else not");
    }
}

#[test]
fn a_connection_too_many_is_told_so() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--connections-max", "2"]);
    let taken = [Wire::greeted(&kvd), Wire::greeted(&kvd)];
    let answers = Wire::connect(&kvd).rest();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].id(), answers[0].refusal()), (0, Some(ErrorCode::TOO_MANY_CONNECTIONS)));
    drop(taken);
}

/// A value that no socket's buffers take whole.
const LARGE: usize = 16 << 20;

#[test]
fn a_request_that_waited_beyond_its_deadline_is_refused_and_one_that_has_time_is_done() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--memory", "256MB"]);
    let client = kvd.client();
    client.put("large", vec![7; LARGE]).unwrap();
    let mut wire = Wire::greeted(&kvd);
    // Behind an answer that the client doesn't read, requests wait.
    let deadline = |deadline_ms, request| Request { deadline_ms, ..request };
    wire.send(&[
        request(2, Command::Get { key: b"large" }),
        deadline(5, request(3, put(b"late", b"v"))),
        deadline(600_000, request(4, put(b"in time", b"v"))),
        request(5, put(b"whenever", b"v")),
        deadline(5, request(6, Command::Get { key: b"large" })),
    ]);
    let mut first = [0; 1];
    assert_eq!(wire.stream.peek(&mut first).unwrap(), 1);
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(20) {
        client.ping().unwrap();
    }
    let mut refusals = BTreeMap::new();
    for _ in 0..5 {
        let answer = wire.next().unwrap();
        refusals.insert(answer.id(), answer.refusal());
    }
    let late = Some(ErrorCode::DEADLINE);
    assert_eq!(refusals.into_values().collect::<Vec<_>>(), [None, late, None, None, late]);
    assert_eq!(client.get("late").unwrap(), None);
    assert!(client.get("in time").unwrap().is_some());
}

#[test]
fn a_fresh_connection_may_ask_for_many_large_values_at_once() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    let client = kvd.client();
    let keys: Vec<String> = (0..160).map(|number| format!("key{number}")).collect();
    let mut bits = 1_u64;
    let mut value = vec![0; 1 << 20];
    for key in &keys {
        for byte in &mut value {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (bits >> 56) as u8;
        }
        client.put(key, &value).unwrap();
    }
    let mut wire = Wire::greeted(&kvd);
    let gets = keys.iter().zip(2..).map(|(key, id)| request(id, Command::Get { key: key.as_bytes() }));
    wire.send(&gets.collect::<Vec<_>>());
    let refused = keys.iter().filter(|_| wire.next().unwrap().refusal().is_some()).count();
    assert_eq!(refused, 0);
}

/// A connection to each core, of one client; and the server's clock.
fn to_both_cores(kvd: &Kvd, client: u128) -> ([Wire; 2], u64) {
    let (_, server) = Wire::numbered(&kvd.kv, client);
    let ports = &server.map.nodes[0].core_ports;
    let wires = [0, 1].map(|core: usize| {
        let (wire, server) = Wire::numbered(&format!("127.0.0.1:{}", ports[core]), client);
        assert_eq!(usize::from(server.home.core), core);
        wire
    });
    (wires, server.server_us)
}

/// The write of this number, all lower ones still open.
fn numbered<'a>(
    id: u64,
    number: u64,
    first_sent_us: u64,
    is_again: bool,
    command: Command<'a>,
) -> Request<'a> {
    let once = Once { number, lowest: 1, first_sent_us, is_again };
    Request { once: Some(once), ..request(id, command) }
}

#[test]
fn a_number_on_a_connection_that_didnt_agree_on_it_is_a_bad_request() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    let mut wire = Wire::greeted(&kvd);
    wire.send(&[numbered(2, 1, 1, false, put(b"k", b"v")), request(3, Command::Get { key: b"k" })]);
    assert_eq!(wire.next().unwrap().refusal(), Some(ErrorCode::BAD_REQUEST));
    let absent = wire.next().expect("the connection goes on");
    assert!(absent.with(|response| matches!(response.reply, Reply::NotFound)));
}

#[test]
fn copies_of_a_write_are_answered_the_same_whichever_core_they_come_to() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let (mut wires, now_us) = to_both_cores(&kvd, 7);
    let increment = Command::Increment { key: b"counter", by: 5 };
    for core in 0..2 {
        let number = core as u64 + 1;
        let first = wires[core].ask(numbered(2, number, now_us, false, increment));
        assert_eq!(first, format!("Integer({})", 5 * number));
        // A copy may have been late on its way, or be a repetition: of one of these two the request is forwarded.
        for is_again in [false, true] {
            for wire in &mut wires {
                assert_eq!(wire.ask(numbered(3, number, now_us, is_again, increment)), first);
            }
        }
    }
    let ([mut other, _], _) = to_both_cores(&kvd, 8);
    let of_another = other.ask(numbered(4, 1, now_us, false, increment));
    assert_eq!(of_another, "Integer(15)", "another client's number 1 is another write");
    assert_eq!(kvd.client().increment("counter", 0).unwrap(), 15);
}

#[test]
fn a_verdict_stands_where_the_write_was_sent_before_and_not_on_a_first_attempt() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let client = kvd.client();
    let (mut wires, now_us) = to_both_cores(&kvd, 7);
    let absent = Command::Put {
        key: b"lock",
        value: b"mine",
        expiry: Expiry::Never,
        condition: Condition::Absent,
        want_old: false,
    };
    client.put("lock", "another's").unwrap();
    let again = wires[0].ask(numbered(2, 1, now_us, true, absent));
    let first = wires[0].ask(numbered(3, 2, now_us, false, absent));
    assert!(again.starts_with("NotMet") && first.starts_with("NotMet"), "{again}, {first}");
    assert!(client.delete("lock").unwrap());
    assert_eq!(wires[1].ask(numbered(4, 1, now_us, true, absent)), again, "the verdict stands");
    let changed = wires[1].ask(numbered(5, 2, now_us, true, absent));
    assert!(
        changed.starts_with("Written"),
        "a first attempt that changed nothing isn't remembered: {changed}"
    );
    assert_eq!(wires[0].ask(numbered(6, 2, now_us, true, absent)), changed);
}
