//! Strangers who make the server keep things: its memory stays within `--memory`, and who behaves is served all along.

mod common;

use common::resp::{Reply, Resp, encode};
use common::{DEADLINE, Kvd, store_dir};
use pinion_net::wire::{Command, Condition, Expiry, Features, Hello, Level, Limits, Request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One at a time: each measures a process that is pinned to the same CPUs.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

const MIB: usize = 1 << 20;

/// A server, an honest client that is never refused, and somebody who looks at the memory all along.
struct Siege {
    kvd: Kvd,
    memory: usize,
    is_over: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    served: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
    _root: tempfile::TempDir,
}

impl Siege {
    fn begin(memory_mib: usize) -> Siege {
        let (root, dir) = store_dir();
        let memory = format!("{memory_mib}MiB");
        let kvd = Kvd::start(&dir, &["--shards", "2", "--memory", &memory, "--durability", "none"]);
        let mut siege = Siege {
            kvd,
            memory: memory_mib * MIB,
            is_over: Arc::default(),
            most: Arc::default(),
            served: Arc::default(),
            threads: Vec::new(),
            _root: root,
        };
        let (is_over, most, pid) = (siege.is_over.clone(), siege.most.clone(), siege.kvd.pid());
        siege.threads.push(std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                most.fetch_max(common::anonymous_bytes(pid), Ordering::SeqCst);
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }));
        let (is_over, served, mut resp) = (siege.is_over.clone(), siege.served.clone(), siege.kvd.resp());
        siege.threads.push(std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                let number = served.load(Ordering::SeqCst);
                let (key, value) = (format!("honest{}", number % 100), format!("value{number}"));
                assert_eq!(resp.call(&["SET", &key, &value]), Reply::ok());
                assert_eq!(resp.call(&["GET", &key]), Reply::bulk(&value));
                served.store(number + 1, Ordering::SeqCst);
            }
        }));
        siege
    }

    /// Somebody who sends as much of `bytes` as is taken, reads nothing, and stays as long as it may.
    fn attack(&mut self, address: &str, bytes: Vec<u8>) {
        let stream = TcpStream::connect(address).expect("kvd listens");
        let is_over = self.is_over.clone();
        self.threads.push(std::thread::spawn(move || {
            let _ = send(&stream, &bytes, &is_over);
            while !is_over.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }));
    }

    /// Waits until something is so.
    fn wait(&self, what: &str, mut is_so: impl FnMut(&Siege) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is_so(self) {
            assert!(Instant::now() < until, "{what}: not in time; kvd says: {}", self.kvd.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until the honest client has been served so often from now on.
    fn serve(&self, count: usize) {
        let goal = self.served.load(Ordering::SeqCst) + count;
        self.wait("the honest client is served", |siege| siege.served.load(Ordering::SeqCst) >= goal);
    }

    /// The attackers leave: the memory was within its bound, and what they held is given back.
    fn end(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().expect("an honest client is content");
        }
        let most = self.most.load(Ordering::SeqCst);
        let bound = self.memory / 10 * 11;
        assert!(most <= bound, "{} MiB were in memory of {} MiB", most / MIB, self.memory / MIB);
        self.wait("what connections take goes back", |siege| used_by_clients(&siege.kvd) < siege.memory / 16);
    }
}

fn dismissed(kvd: &Kvd) -> u64 {
    let page = kvd.http("/metrics");
    let lines = page.lines().filter_map(|line| line.strip_prefix("pinion_connections_dismissed_total{"));
    lines.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)).sum()
}

fn used_by_clients(kvd: &Kvd) -> usize {
    let info = String::from_utf8(kvd.resp().call(&["INFO", "memory"]).bytes()).expect("INFO is text");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory_clients:")).expect("it is told");
    line.trim().parse().expect("a number")
}

/// Sends until all is sent, the other side has closed, or it is over.
fn send(mut stream: &TcpStream, mut bytes: &[u8], is_over: &AtomicBool) -> std::io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_millis(50)))?;
    while !bytes.is_empty() && !is_over.load(Ordering::SeqCst) {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A SET of so many bytes, all but the last thousand.
fn partial_set(bytes: usize) -> Vec<u8> {
    let mut command = encode(&[b"SET".to_vec(), b"big".to_vec(), vec![b'v'; bytes]]);
    command.truncate(command.len() - 1000);
    command
}

#[test]
fn long_commands_that_never_end_stay_within_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (memory_mib, value) in [(64, 4 * MIB), (256, 16 * MIB)] {
        let mut siege = Siege::begin(memory_mib);
        let address = siege.kvd.resp.clone();
        for _ in 0..32 {
            siege.attack(&address, partial_set(value));
        }
        siege.serve(200);
        // Who holds what others wait for without going on is closed, one after the other.
        siege.wait("some are closed", |siege| dismissed(&siege.kvd) >= 4);
        siege.serve(200);
        siege.end();
    }
}

#[test]
fn a_long_command_comes_through_while_others_hold_the_room_for_it() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut siege = Siege::begin(64);
    let address = siege.kvd.resp.clone();
    for _ in 0..6 {
        siege.attack(&address, partial_set(4 * MIB));
    }
    siege.serve(50);
    let value = vec![b'w'; 4 * MIB];
    assert_eq!(siege.kvd.resp().call(&[b"SET", &b"large"[..], &value]), Reply::ok());
    assert_eq!(siege.kvd.resp().call(&["GET", "large"]), Reply::bulk(&value));
    siege.end();
}

#[test]
fn long_frames_that_never_end_stay_within_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut siege = Siege::begin(64);
    let address = siege.kvd.kv.clone();
    let value = vec![b'v'; 4 * MIB];
    let put = Command::Put {
        key: b"big",
        value: &value,
        expiry: Expiry::Never,
        condition: Condition::None,
        want_old: false,
    };
    let mut frames = Vec::new();
    for (id, command) in [(1, Command::Hello(Hello::new("test", Features::NONE, b""))), (2, put)] {
        let request = Request { id, command, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None };
        request.encode(&Limits::default(), false, &mut frames).expect("it is within the limits");
    }
    frames.truncate(frames.len() - 1000);
    for _ in 0..32 {
        siege.attack(&address, frames.clone());
    }
    siege.serve(200);
    siege.wait("some are closed", |siege| dismissed(&siege.kvd) >= 4);
    siege.end();
}

#[test]
fn many_short_commands_that_never_end_stay_within_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for bytes in [1_000, 15_000] {
        let siege = Siege::begin(64);
        let mut command = encode(&[b"SET".to_vec(), b"small".to_vec(), vec![b'v'; bytes]]);
        command.truncate(command.len() - 3);
        // Fewer than the limit on connections of one core, so that none is refused for that.
        let streams: Vec<TcpStream> =
            (0..2000).map_while(|_| TcpStream::connect(&siege.kvd.resp).ok()).collect();
        assert!(streams.len() > 400, "{} connections can be opened", streams.len());
        for mut stream in &streams {
            // It may have been closed.
            let _ = stream.write_all(&command);
        }
        siege.serve(200);
        drop(streams);
        siege.end();
    }
}

#[test]
fn names_of_clients_are_short() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let siege = Siege::begin(256);
    let name = vec![b'n'; 15 * MIB];
    for _ in 0..60 {
        let Reply::Error(error) = siege.kvd.resp().call(&[b"CLIENT", &b"SETNAME"[..], &name]) else {
            panic!("a name of 15 MiB was taken")
        };
        assert_eq!(error, "ERR names of clients and libraries are at most 256 bytes long");
    }
    siege.serve(50);
    siege.end();
}

#[test]
fn values_that_nobody_reads_stay_within_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut siege = Siege::begin(128);
    let (value, address) = (vec![b'v'; 8 * MIB], siege.kvd.resp.clone());
    let mut resp = siege.kvd.resp();
    for key in ["one", "two", "three", "four"] {
        assert_eq!(resp.call(&["SET".as_bytes(), key.as_bytes(), &value]), Reply::ok());
    }
    // Each has its turn, and 3 s in which it doesn't go on.
    for _ in 0..16 {
        siege.attack(&address, ["one", "two", "three", "four"].map(|key| encode(&["GET", key])).concat());
    }
    siege.serve(200);
    // Who reads gets everything, if not at once: those who don't are closed for it.
    for key in ["one", "two", "three", "four"] {
        siege.wait("a value is read", |_| match resp.call(&["GET", key]) {
            Reply::Bulk(bytes) => bytes == value,
            Reply::Error(error) => !error.contains("busy") && panic!("{error}"),
            other => panic!("{other:?}"),
        });
    }
    siege.serve(200);
    siege.end();
}

#[test]
fn who_is_closed_for_the_sake_of_others_is_told_why() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut siege = Siege::begin(64);
    let address = siege.kvd.resp.clone();
    let mut first = TcpStream::connect(&address).expect("kvd listens");
    first.write_all(&partial_set(4 * MIB)).expect("there is room for one");
    for _ in 0..8 {
        siege.attack(&address, partial_set(4 * MIB));
    }
    first.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let mut said = String::new();
    let _ = first.read_to_string(&mut said);
    assert!(said.starts_with("-TRYAGAIN the memory for connections is used up"), "{said:?}");
    siege.end();
}

#[test]
fn idle_connections_are_small_and_counted() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let siege = Siege::begin(64);
    let before = (used_by_clients(&siege.kvd), common::anonymous_bytes(siege.kvd.pid()));
    let mut clients: Vec<Resp> = Vec::new();
    for _ in 0..1000 {
        let Ok(stream) = TcpStream::connect(&siege.kvd.resp) else { break };
        clients.push(Resp::over(stream));
        assert_eq!(clients.last_mut().expect("it was pushed").call(&["PING"]), Reply::Simple("PONG".into()));
    }
    assert!(clients.len() > 300, "{} connections can be opened", clients.len());
    siege.wait("they are counted", |siege| used_by_clients(&siege.kvd) >= before.0 + clients.len() * 1000);
    let each = common::anonymous_bytes(siege.kvd.pid()).saturating_sub(before.1) / clients.len();
    assert!(each <= 4096, "{each} bytes for each idle connection");
    drop(clients);
    siege.end();
}

#[test]
fn old_values_that_nobody_reads_stay_within_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut siege = Siege::begin(64);
    let mut resp = siege.kvd.resp();
    for number in 0..8_u8 {
        let key = format!("long{number}");
        assert_eq!(resp.call(&[b"SET", key.as_bytes(), &vec![number; 5 * MIB / 2]]), Reply::ok());
    }
    let address = siege.kvd.resp.clone();
    for number in 0..40 {
        let key = format!("long{}", number % 8);
        // What isn't set is answered, and so is what only gets another expiry.
        let set = encode(&["SET", &key, "other", "NX", "GET"]);
        let expire = encode(&["GETEX", &key, "EX", "10000"]);
        siege.attack(&address, if number % 2 == 0 { set } else { expire }.repeat(50));
    }
    siege.serve(300);
    // Who holds the memory makes way for somebody who reads.
    siege.wait("somebody who reads is answered", |siege| {
        let reply = siege.kvd.resp().call(&["SET", "long0", "other", "NX", "GET"]);
        assert!(matches!(reply, Reply::Bulk(_) | Reply::Error(_)), "{reply:?}");
        reply == Reply::bulk(vec![0; 5 * MIB / 2])
    });
    siege.end();
}

#[test]
fn long_values_on_their_way_to_the_disk_stay_within_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let siege = Siege::begin(64);
    let (mut ordinary, mut long) = (siege.kvd.resp(), siege.kvd.resp());
    for round in 0..12_usize {
        for number in 0..4000_usize {
            let value = vec![round as u8; 1 + number * 7 % 1024];
            ordinary.send(&[b"SET".to_vec(), format!("ordinary{number}").into_bytes(), value]);
        }
        // What doesn't compress is there in one form more.
        let mut state = round as u64 + 1;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            (state >> 56) as u8
        });
        let value: Vec<u8> = noise.take(15 * MIB / 4).collect();
        assert_eq!(long.call(&[b"SET", format!("long{}", round % 4).as_bytes(), &value]), Reply::ok());
        (0..4000).for_each(|_| assert_eq!(ordinary.reply(), Reply::ok()));
    }
    siege.end();
}

#[test]
fn who_takes_its_answers_goes_on_while_others_hold_nearly_all_of_the_memory() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--memory", "32MiB"]);
    let mut honest = kvd.resp();
    let value = vec![b'v'; 60_000];
    assert_eq!(honest.call(&[b"SET", &b"large"[..], &value]), Reply::ok());
    // A quarter of what there is to divide is for connections: nearly all of that.
    let most = (32 * MIB - 7 * MIB / 2) / 4 - 300_000;
    let line = [&b"GET "[..], &[b'k'; 60_000]].concat();
    let mut others = Vec::new();
    while used_by_clients(&kvd) < most {
        assert!(others.len() < 1000, "what they send isn't kept");
        let mut other = TcpStream::connect(&kvd.resp).expect("kvd listens");
        other.write_all(&line).expect("the beginning of a command is taken");
        others.push(other);
    }
    const ROUNDS: usize = 8;
    honest.send_bytes(&[encode(&["GET", "large"]), encode(&["GET", "none"])].concat().repeat(ROUNDS));
    for _ in 0..ROUNDS {
        assert_eq!(honest.reply(), Reply::bulk(&value));
        assert_eq!(honest.reply(), Reply::Null);
    }
    assert_eq!(dismissed(&kvd), 0, "nobody had to go for it");
}

#[test]
fn who_reads_gets_long_values_although_their_responses_hold_more_than_one() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--memory", "160MB"]);
    let (client, mut resp) = (kvd.client(), kvd.resp());
    let value = vec![b'v'; 10_000_000];
    for key in ["a", "b", "c"] {
        assert_eq!(resp.call(&[b"SET", key.as_bytes(), &value]), Reply::ok());
    }
    for _ in 0..3 {
        // The second doesn't fit beside the first, which its response says behind that.
        let values = client.get_many(&["a", "b", "c"]).expect("they are read");
        assert!(values.iter().all(|found| found.as_ref().is_some_and(|found| found.bytes == value)));
        // What is answered behind a long value has the same buffer.
        resp.send_bytes(&[encode(&["GET", "a"]), encode(&["INCR", "n"]).repeat(200)].concat());
        assert_eq!(resp.reply(), Reply::bulk(&value));
        (0..200).for_each(|_| assert!(matches!(resp.reply(), Reply::Integer(_))));
    }
    assert_eq!(dismissed(&kvd), 0, "nobody had to go for them");
}
