//! Requests that ask for much: their answers are made as there is room for them, and others go on meanwhile.

mod common;

use common::resp::{Reply, Resp, encode};
use common::{DEADLINE, Kvd, store_dir};
use pinion_net::wire::{
    Command, ErrorCode, Features, Hello, KeyListBuilder, KeyResult, Level, Limits, Parsed, Request, Response,
    parse,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

fn value(len: usize, fill: u8) -> Vec<u8> {
    vec![fill; len]
}

/// One core, so that the deaf and the honest are on the same; and two, so that values come from another.
const NODES: [&str; 2] = ["1", "2"];

/// Waits until the memory stays the same for a while: what was asked for and fits has been made.
fn settled_kib(kvd: &Kvd) -> u64 {
    let (mut last, mut same, until) = (0, 0, Instant::now() + DEADLINE);
    while same < 10 && Instant::now() < until {
        let now = kvd.memory_anonymous_kib();
        same = if now.abs_diff(last) < 512 { same + 1 } else { 0 };
        last = now;
        std::thread::park_timeout(Duration::from_millis(20));
    }
    last
}

#[test]
fn one_key_named_many_times_costs_no_more_than_the_client_reads() {
    for shards in NODES {
        let (_root, dir) = store_dir();
        let kvd = Kvd::start(&dir, &["--shards", shards]);
        let mut resp = kvd.resp();
        assert_eq!(resp.call(&[b"SET", &b"large"[..], &value(MIB, b'v')]), Reply::ok());
        let before = settled_kib(&kvd);
        let mut deaf: Vec<Resp> = (0..4).map(|_| kvd.resp()).collect();
        let mget = encode(&[vec!["MGET"], vec!["large"; 20_000]].concat());
        deaf.iter_mut().for_each(|resp| resp.send_bytes(&mget));
        let after = settled_kib(&kvd);
        assert!(after < before + (24 << 10), "{after} KiB, {before} before, with {shards} shards");
        assert_eq!(resp.call(&["GET", "small"]), Reply::Null);
        // Whoever starts to read gets one value after the other.
        let stream = &mut deaf[0];
        assert_eq!(stream.line(), "*20000");
        for _ in 0..50 {
            assert_eq!(stream.reply(), Reply::Bulk(value(MIB, b'v')));
        }
    }
}

#[test]
fn values_that_nobody_reads_stay_within_the_memory() {
    for shards in NODES {
        let (_root, dir) = store_dir();
        let kvd = Kvd::start(&dir, &["--shards", shards, "--memory", "256MB"]);
        let mut resp = kvd.resp();
        for key in ["a", "b", "c", "d"] {
            assert_eq!(
                resp.call(&[b"SET", key.as_bytes(), &value(15 * MIB, key.as_bytes()[0])]),
                Reply::ok()
            );
        }
        let mut deaf: Vec<Resp> = (0..40).map(|_| kvd.resp()).collect();
        deaf.iter_mut().for_each(|resp| resp.send(&["MGET", "a", "b", "c", "d"]));
        let kib = settled_kib(&kvd);
        assert!(kib < 256 * 1024 * 11 / 10, "2.4 GB were asked for, {kib} KiB are in memory");
        assert_eq!(resp.call(&["SET", "small", "x"]), Reply::ok());
        assert_eq!(resp.call(&["GET", "small"]), Reply::bulk("x"));
        // Once they are gone there is room again, and who reads gets all of it.
        drop(deaf);
        let items = kvd.resp().call(&["MGET", "a", "b", "c", "d"]).items();
        let first: Vec<u8> = items.into_iter().map(|item| item.bytes()[0]).collect();
        assert_eq!(first, b"abcd");
    }
}

#[test]
fn a_read_that_waits_for_room_sees_what_was_there_when_it_came() {
    for shards in NODES {
        let (_root, dir) = store_dir();
        let kvd = Kvd::start(&dir, &["--shards", shards]);
        let mut resp = kvd.resp();
        let (old, new) = (value(MIB, b'o'), value(MIB, b'n'));
        for key in ["a", "b", "c"] {
            resp.call(&[b"SET", key.as_bytes(), &old]);
        }
        // Small answers let a connection have many requests under way.
        (0..2000).for_each(|_| resp.send(&["GET", "nothing"]));
        (0..2000).for_each(|_| assert_eq!(resp.reply(), Reply::Null));
        let mut pipeline = Vec::new();
        for _ in 0..20 {
            pipeline.extend(encode(&["GET", "a"]));
            pipeline.extend(encode(&["MGET", "c", "a", "b", "a"]));
        }
        for key in ["a", "b", "c"] {
            pipeline.extend(encode(&[b"SET", key.as_bytes(), &new]));
        }
        pipeline.extend(encode(&["MGET", "a", "b", "c"]));
        let (mut sender, bytes) = (resp.try_clone(), pipeline);
        let sends = std::thread::spawn(move || sender.send_bytes(&bytes));
        for _ in 0..20 {
            assert!(resp.reply() == Reply::Bulk(old.clone()));
            assert!(resp.reply().items().into_iter().all(|item| item == Reply::Bulk(old.clone())));
        }
        (0..3).for_each(|_| assert_eq!(resp.reply(), Reply::ok()));
        assert!(resp.reply().items().into_iter().all(|item| item == Reply::Bulk(new.clone())));
        sends.join().expect("it is sent");
    }
}

/// Figures of core 0: its turns so far, and the bytes that it has received.
fn turns(kvd: &Kvd) -> (f64, f64) {
    let page = kvd.http("/metrics");
    let figure = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).expect("the node tells it");
        line.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect("a number")
    };
    (figure("pinion_turn_seconds_count{shard=\"0\"}"), figure("pinion_received_bytes_total{shard=\"0\"}"))
}

/// Runs a long command, and returns its reply. From its last byte to its reply the core must have had as many turns as there
/// are runs: one that does it at once has a handful.
fn in_slices(kvd: &Kvd, command: &[u8]) -> Reply {
    let (_, before) = turns(kvd);
    let (last, rest) = command.split_last().expect("a command has bytes");
    let mut long = kvd.resp();
    long.send_bytes(rest);
    let until = Instant::now() + DEADLINE;
    let all_but_one = before + rest.len() as f64;
    while turns(kvd).1 < all_but_one {
        assert!(Instant::now() < until, "the core doesn't take the command in");
    }
    let (before, _) = turns(kvd);
    long.send_bytes(&[*last]);
    let reply = long.reply();
    let (after, _) = turns(kvd);
    let least = (KEYS / 4096) as f64;
    assert!(after - before >= least, "{} turns, {least} at least", after - before);
    reply
}

const KEYS: usize = 200_000;

fn named(command: &str, each: impl Fn(usize, &mut Vec<String>)) -> Vec<u8> {
    let mut args = vec![command.to_owned()];
    (0..KEYS).for_each(|number| each(number, &mut args));
    encode(&args)
}

#[test]
fn commands_of_very_many_keys_are_done_in_runs_and_others_go_on_between() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--durability", "none"]);
    let key = |number: usize| format!("key{number}");
    let keys = |number: usize, args: &mut Vec<String>| args.push(key(number));
    let pairs = |number: usize, args: &mut Vec<String>| args.extend([key(number), number.to_string()]);
    assert_eq!(in_slices(&kvd, &named("MSET", pairs)), Reply::ok());
    let items = in_slices(&kvd, &named("MGET", keys)).items();
    assert_eq!(items.len(), KEYS);
    assert!(items.iter().enumerate().all(|(number, item)| *item == Reply::bulk(number.to_string())));
    for (command, sum) in [("EXISTS", KEYS), ("TOUCH", KEYS), ("DEL", KEYS), ("UNLINK", 0)] {
        assert_eq!(in_slices(&kvd, &named(command, keys)), Reply::Integer(sum as i64), "{command}");
    }
    assert_eq!(kvd.resp().call(&["DBSIZE"]), Reply::Integer(0));
    let infos = |number: usize, args: &mut Vec<String>| {
        args.push(if number == 0 { "INFO" } else { "client" }.to_owned());
    };
    assert_eq!(in_slices(&kvd, &named("COMMAND", infos)).items().len(), KEYS - 1);
    // Some hundred names are already too much for one turn.
    let (before, _) = turns(&kvd);
    let few = kvd.resp().call(&[vec!["command", "info"], vec!["client"; 4000]].concat()).items();
    assert_eq!((few.len(), few.iter().all(|info| *info == few[0])), (4000, true));
    let (after, _) = turns(&kvd);
    assert!(after - before >= 4000.0 / 256.0, "{} turns", after - before);
    for subcommand in ["DOCS", "GETKEYS", "GETKEYSANDFLAGS"] {
        let query = |names: usize| {
            kvd.resp().call(&[vec!["COMMAND", subcommand, "mget"], vec!["get"; names]].concat())
        };
        assert!(matches!(query(255), Reply::Array(_)), "{subcommand}");
        let refused = query(256);
        assert!(matches!(&refused, Reply::Error(text) if text.contains("at most 256")), "{refused:?}");
    }
    let mut resp = kvd.resp();
    resp.send_bytes(format!("COMMAND INFO{}\r\n", " get".repeat(300)).as_bytes());
    assert!(matches!(resp.reply(), Reply::Error(text) if text.contains("in an array")));
    // What others can't be done in runs is refused.
    let refused = kvd.resp().call(&[vec!["CONFIG", "GET"], vec!["*"; 5000]].concat());
    assert!(matches!(refused, Reply::Error(text) if text.contains("4096")));
}

/// Waits until the core has nothing to do but tell that; says how many turns it has had.
fn turns_at_rest(kvd: &Kvd) -> f64 {
    let (mut last, mut same, until) = (0.0, 0, Instant::now() + DEADLINE);
    while same < 5 && Instant::now() < until {
        let (now, _) = turns(kvd);
        same = if now - last <= 4.0 { same + 1 } else { 0 };
        last = now;
        std::thread::park_timeout(Duration::from_millis(10));
    }
    last
}

#[test]
fn a_long_list_leaves_in_pieces_as_its_client_reads() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--durability", "none", "--memory", "512MB"]);
    let key = |number: usize| format!("key:{number:096}");
    let pairs = |number: usize, args: &mut Vec<String>| args.extend([key(number), String::new()]);
    let mut resp = kvd.resp();
    resp.send_bytes(&named("MSET", pairs));
    assert_eq!(resp.reply(), Reply::ok());
    for command in [vec!["KEYS", "*"], vec!["SCAN", "0", "COUNT", "10000"]] {
        let mut deaf = kvd.resp();
        deaf.send(&command);
        let before = turns_at_rest(&kvd);
        assert_eq!(resp.call(&["GET", &key(7)]), Reply::bulk(""));
        let mut keys = deaf.reply().items();
        if command[0] == "SCAN" {
            keys = keys.swap_remove(1).items();
            assert_eq!(keys.len(), 10_000);
            continue;
        }
        let (after, _) = turns(&kvd);
        // What the kernel holds for both ends has left already.
        let waited = (KEYS * 107 - (8 << 20)) / (256 << 10);
        assert!(after - before >= waited as f64, "{} turns, {waited} at least", after - before);
        let mut keys: Vec<Vec<u8>> = keys.into_iter().map(Reply::bytes).collect();
        keys.sort_unstable();
        assert!(keys.len() == KEYS && (0..KEYS).all(|number| keys[number] == key(number).as_bytes()));
        // The next command of this connection comes behind all of it.
        assert_eq!(deaf.call(&["GET", "nothing"]), Reply::Null);
    }
}

#[test]
fn commands_behind_one_of_very_many_keys_come_after_all_of_it() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let mut resp = kvd.resp();
    let last = format!("key{}", KEYS - 1);
    let mut pipeline = encode(&["SET", last.as_str(), "before"]);
    pipeline.extend(encode(&["GET", "nothing"]));
    pipeline.extend(named("MGET", |number, args| args.push(format!("key{number}"))));
    pipeline.extend(encode(&["SET", last.as_str(), "behind"]));
    pipeline.extend(encode(&["GET", last.as_str()]));
    let mut sender = resp.try_clone();
    let sends = std::thread::spawn(move || sender.send_bytes(&pipeline));
    assert_eq!((resp.reply(), resp.reply()), (Reply::ok(), Reply::Null));
    assert_eq!(resp.reply().items().last(), Some(&Reply::bulk("before")));
    assert_eq!((resp.reply(), resp.reply()), (Reply::ok(), Reply::bulk("behind")));
    sends.join().expect("it is sent");
}

#[test]
fn nothing_is_done_of_a_command_one_of_whose_arguments_is_not_fit() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--value-max", "100"]);
    let mut resp = kvd.resp();
    let long = "v".repeat(101);
    for (pairs, why) in [
        (["a", "1", "", "2", "b", "3"], "keys are 1 to 65,535 bytes"),
        (["a", "1", "b", "2", "c", &long], "longer than the limit"),
    ] {
        let reply = resp.call(&[&["MSET"][..], &pairs].concat());
        assert!(matches!(&reply, Reply::Error(text) if text.contains(why)), "{reply:?}");
        assert_eq!(resp.call(&["EXISTS", "a", "b"]), Reply::Integer(0));
    }
    assert_eq!(resp.call(&["MSET", "a", "1", "b", "2", "c", "3"]), Reply::ok());
    for command in ["DEL", "UNLINK"] {
        assert!(matches!(resp.call(&[command, "a", "b", "", "c"]), Reply::Error(_)));
        assert_eq!(resp.call(&["EXISTS", "a", "b", "c"]), Reply::Integer(3));
    }
    // Also where the bad one stands far behind.
    let many = [vec!["MSET".to_owned()], vec!["a".to_owned(); 20_000], vec![String::new(), "x".to_owned()]];
    assert!(matches!(resp.call(&many.concat()), Reply::Error(_)));
    assert_eq!(resp.call(&["GET", "a"]), Reply::bulk("1"));
}

/// A connection of the binary protocol that agreed on HELLO.
fn greeted(kvd: &Kvd) -> TcpStream {
    let mut stream = TcpStream::connect(&kvd.kv).expect("kvd listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    send(&mut stream, Command::Hello(Hello::new("test", Features::NONE, b"")));
    response(&mut stream);
    stream
}

fn send(stream: &mut TcpStream, command: Command<'_>) {
    let mut bytes = Vec::new();
    let request = Request { id: 7, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command };
    request.encode(&Limits::default(), false, &mut bytes).expect("a request within the limits");
    stream.write_all(&bytes).expect("kvd reads");
}

fn response(stream: &mut TcpStream) -> Vec<u8> {
    let (mut received, mut room) = (Vec::new(), vec![0; MIB]);
    while !matches!(parse(&received, &Limits::default()), Parsed::Frame(..)) {
        let bytes = stream.read(&mut room).expect("an answer in time");
        assert!(bytes > 0, "the connection ended");
        received.extend_from_slice(&room[..bytes]);
    }
    received
}

#[test]
fn a_multi_get_answers_as_many_values_as_one_response_takes_and_the_memory_allows() {
    for shards in NODES {
        let (_root, dir) = store_dir();
        let kvd = Kvd::start(&dir, &["--shards", shards]);
        let client = kvd.client();
        client.put("large", value(MIB, b'v')).expect("it is written");
        let mut keys = KeyListBuilder::default();
        (0..Limits::KEYS_MAX).for_each(|_| keys.push(b"large").expect("a key within the limits"));
        let mut streams: Vec<TcpStream> = (0..4).map(|_| greeted(&kvd)).collect();
        for stream in &mut streams {
            send(stream, Command::MultiGet { keys: keys.list() });
        }
        let readers: Vec<_> = streams
            .into_iter()
            .map(|mut stream| {
                std::thread::spawn(move || {
                    let bytes = response(&mut stream);
                    let Parsed::Frame(frame, _) = parse(&bytes, &Limits::default()) else {
                        panic!("no frame")
                    };
                    let response = Response::decode(&frame).expect("a response");
                    let pinion_net::wire::Reply::Values(results) = response.reply else {
                        panic!("no values")
                    };
                    let is_left_out = |result: &KeyResult<'_>| {
                        matches!(result, KeyResult::Refused { code: ErrorCode::LIMIT, .. })
                    };
                    let values =
                        results.iter().filter(|result| matches!(result, KeyResult::Value(_))).count();
                    (values, results.iter().filter(is_left_out).count())
                })
            })
            .collect();
        for reader in readers {
            let (values, left_out) = reader.join().expect("a response");
            assert!((1..=18).contains(&values), "{values} values");
            assert_eq!(values + left_out, Limits::KEYS_MAX);
        }
        let peak = kvd.memory_peak_kib();
        assert!(peak < 220 << 10, "16 GiB were asked for, {peak} KiB were in memory");
        // A client that asks for what is left out gets all of it.
        let values = client.get_many(&vec!["large"; 100]).expect("they are read");
        assert!(values.iter().all(|found| found.as_ref().is_some_and(|found| found.bytes.len() == MIB)));
    }
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let client = kvd.client();
    let mut batch = pinion_net::client::Batch::new();
    (0..10_000).for_each(|number| assert!(batch.put(format!("key{number}"), "v").is_ok()));
    client.write(&batch).expect("the client sends several requests");
    assert_eq!(client.get_many(&["key0", "key9999"]).expect("they are read").iter().flatten().count(), 2);
    // The operations of one partition can't be torn apart.
    batch.clear();
    (0..5_000).for_each(|number| assert!(batch.put(format!("{{t}}{number}"), "v").is_ok()));
    let error = client.write(&batch).expect_err("too many for one partition");
    assert_eq!(error.code(), Some(ErrorCode::LIMIT));
    assert_eq!(client.get("{t}0").expect("it is read"), None);
}
