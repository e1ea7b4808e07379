//! The Redis protocol over several cores: every command finds its key, replies keep their order.

mod common;

use common::resp::{Reply, Resp, encode};
use common::{Kvd, store_dir};
use std::collections::{BTreeSet, HashMap};

const SHARDS: [&str; 2] = ["--shards", "3"];

fn text(text: &str) -> Reply {
    Reply::bulk(text)
}

#[test]
fn commands_on_one_key_answer_as_redis_does() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    // Several times, so that the keys lie on different cores.
    for round in 0..8 {
        let key = &format!("key{round}");
        let cases: Vec<(Vec<&str>, Reply)> = vec![
            (vec!["GET", key], Reply::Null),
            (vec!["SET", key, "one"], Reply::ok()),
            (vec!["GET", key], text("one")),
            (vec!["SET", key, "two", "NX"], Reply::Null),
            (vec!["SETNX", key, "two"], Reply::Integer(0)),
            (vec!["SET", key, "two", "XX", "GET"], text("one")),
            (vec!["GETSET", key, "three"], text("two")),
            (vec!["STRLEN", key], Reply::Integer(5)),
            (vec!["APPEND", key, "!!"], Reply::Integer(7)),
            (vec!["GETRANGE", key, "0", "4"], text("three")),
            (vec!["TYPE", key], Reply::Simple("string".to_owned())),
            (vec!["EXISTS", key, key], Reply::Integer(2)),
            (vec!["TTL", key], Reply::Integer(-1)),
            (vec!["EXPIRE", key, "100"], Reply::Integer(1)),
            (vec!["TTL", key], Reply::Integer(100)),
            (vec!["PERSIST", key], Reply::Integer(1)),
            (vec!["PERSIST", key], Reply::Integer(0)),
            (vec!["GETEX", key, "EX", "50"], text("three!!")),
            (vec!["TTL", key], Reply::Integer(50)),
            (vec!["SET", key, "four", "KEEPTTL"], Reply::ok()),
            (vec!["TTL", key], Reply::Integer(50)),
            (vec!["INCR", key], Reply::Error("ERR value is not an integer or out of range".to_owned())),
            (vec!["GETDEL", key], text("four")),
            (vec!["GETDEL", key], Reply::Null),
            (vec!["TTL", key], Reply::Integer(-2)),
            (vec!["TYPE", key], Reply::Simple("none".to_owned())),
            (vec!["INCRBY", key, "5"], Reply::Integer(5)),
            (vec!["DECR", key], Reply::Integer(4)),
            (vec!["DEL", key], Reply::Integer(1)),
            (vec!["DEL", key], Reply::Integer(0)),
            (vec!["EXPIRE", key, "100"], Reply::Integer(0)),
            (vec!["SET", key, "gone", "PXAT", "1"], Reply::ok()),
            (vec!["GET", key], Reply::Null),
        ];
        for (args, expected) in cases {
            assert_eq!(resp.call(&args), expected, "{args:?}");
        }
    }
}

#[test]
fn commands_on_many_keys_cross_the_cores() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let keys: Vec<String> = (0..200).map(|n| format!("key{n}")).collect();
    let pairs: Vec<&str> = keys.iter().flat_map(|key| [key.as_str(), key.as_str()]).collect();
    assert_eq!(resp.call(&[&["MSET"], &pairs[..]].concat()), Reply::ok());
    let mut wanted = vec!["MGET", "absent"];
    wanted.extend(keys.iter().map(String::as_str));
    let mut expected = vec![Reply::Null];
    expected.extend(keys.iter().map(Reply::bulk));
    assert_eq!(resp.call(&wanted), Reply::Array(expected));
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer(200));
    wanted[0] = "EXISTS";
    assert_eq!(resp.call(&wanted), Reply::Integer(200));
    assert_eq!(resp.call(&[&["DEL"], &wanted[1..102]].concat()), Reply::Integer(100));
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer(100));
    assert_eq!(resp.call(&["FLUSHALL"]), Reply::ok());
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer(0));
    assert_eq!(resp.call(&["RANDOMKEY"]), Reply::Null);
}

#[test]
fn a_pipeline_over_all_cores_is_answered_in_its_order() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let (mut bytes, mut expected, mut counts) = (Vec::new(), Vec::new(), HashMap::new());
    for number in 0..5000 {
        let key = format!("key{}", number % 37);
        match number % 5 {
            0 => {
                bytes.extend(encode(&["ECHO", &number.to_string()]));
                expected.push(text(&number.to_string()));
            }
            1 => {
                bytes.extend(encode(&["GET", &key]));
                let count: Option<&i64> = counts.get(&key);
                expected.push(count.map_or(Reply::Null, |count| text(&count.to_string())));
            }
            2 => {
                bytes.extend(encode(&["NOPE"]));
                expected
                    .push(Reply::Error("ERR unknown command 'NOPE', with args beginning with: ".to_owned()));
            }
            _ => {
                bytes.extend(encode(&["INCR", &key]));
                let count = counts.entry(key).or_insert(0);
                *count += 1;
                expected.push(Reply::Integer(*count));
            }
        }
    }
    bytes.extend(encode(&["DBSIZE"]));
    expected.push(Reply::Integer(counts.len() as i64));
    let mut writer = Resp::connect(&kvd.resp);
    std::mem::swap(&mut writer, &mut resp);
    resp.send_bytes(&bytes);
    for (place, expected) in expected.into_iter().enumerate() {
        let reply = resp.reply();
        let fits = match (&reply, &expected) {
            (Reply::Error(reply), Reply::Error(expected)) => reply.trim() == expected.trim(),
            (reply, expected) => reply == expected,
        };
        assert!(fits, "reply {place} is {reply:?} instead of {expected:?}");
    }
}

fn scan_all(resp: &mut Resp, options: &[&str]) -> Vec<Vec<u8>> {
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    loop {
        let page = resp.call(&[&["SCAN", cursor.as_str()], options].concat()).items();
        let [next, items] = page.try_into().expect("a cursor and keys");
        keys.extend(items.items().into_iter().map(Reply::bytes));
        cursor = String::from_utf8(next.bytes()).expect("a number");
        if cursor == "0" {
            return keys;
        }
    }
}

#[test]
fn a_scan_sees_every_key_once_whichever_connection_goes_on_with_it() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let keys: BTreeSet<Vec<u8>> = (0..500).map(|n| format!("key{n}").into_bytes()).collect();
    for key in &keys {
        resp.send(&[b"SET", key.as_slice(), b"x"]);
    }
    keys.iter().for_each(|_| assert_eq!(resp.reply(), Reply::ok()));
    let found = scan_all(&mut resp, &["COUNT", "7"]);
    assert_eq!(found.len(), keys.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), keys);
    assert_eq!(scan_all(&mut resp, &["MATCH", "key1?", "COUNT", "100"]).len(), 10);
    assert_eq!(resp.call(&["KEYS", "*9*"]).items().len(), 95);
    // Every page from another connection: cursors are handles of the core that made them.
    let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
    loop {
        let page = kvd.resp().call(&["SCAN", &cursor, "COUNT", "50"]).items();
        let [next, items] = page.try_into().unwrap();
        found.extend(items.items().into_iter().map(Reply::bytes));
        cursor = String::from_utf8(next.bytes()).unwrap();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, keys);
    let Reply::Error(error) = resp.call(&["SCAN", "4503599627370497"]) else {
        panic!("an old cursor was taken")
    };
    assert!(error.contains("start again"), "{error}");
}

#[test]
fn cluster_clients_find_the_core_of_a_key_and_its_keys_there() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    for number in 0..300 {
        resp.call(&["SET", &format!("key{number}"), "x"]);
    }
    let (mut next, mut ports) = (0, BTreeSet::new());
    for run in resp.call(&["CLUSTER", "SLOTS"]).items() {
        let run = run.items();
        assert_eq!(run[0], Reply::Integer(next));
        next = run[1].clone().integer() + 1;
        let node = run[2].clone().items();
        assert_eq!(node[0], text("127.0.0.1"));
        ports.insert(node[1].clone().integer());
    }
    assert_eq!(next, 16384);
    assert_eq!(ports.len(), 3);
    let sizes =
        ports.iter().map(|port| Resp::connect(&format!("127.0.0.1:{port}")).call(&["DBSIZE"]).integer());
    let sizes: Vec<i64> = sizes.collect();
    assert_eq!(sizes.iter().sum::<i64>(), 300);
    assert!(sizes.iter().all(|&size| size > 0), "{sizes:?}");
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer(300), "the shared port counts the node");
    let listed = ports
        .iter()
        .map(|port| Resp::connect(&format!("127.0.0.1:{port}")).call(&["KEYS", "*"]).items().len());
    assert_eq!(listed.sum::<usize>(), 300, "keys of all cores together");
    for port in ports {
        let mut core = Resp::connect(&format!("127.0.0.1:{port}"));
        assert_eq!(core.call(&["GET", "key7"]), text("x"), "every core answers for every key");
    }
    assert_eq!(resp.call(&["CLUSTER", "KEYSLOT", "foo"]), Reply::Integer(12182));
}

#[test]
fn a_client_that_stops_sending_still_gets_its_replies() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    for number in 0..3000 {
        resp.send(&["SET", &format!("key{number}"), "x"]);
    }
    resp.finish();
    for _ in 0..3000 {
        assert_eq!(resp.reply(), Reply::ok());
    }
    assert!(resp.is_at_end());
}

#[test]
fn bytes_that_are_no_command_get_an_error_and_the_end() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    for bytes in [&b"*1\r\n:3\r\n"[..], b"*-5x\r\n", b"*2\r\n$99999999999\r\n", b"GET \"a\r\n"] {
        let mut resp = kvd.resp();
        resp.send(&["SET", "before", "x"]);
        resp.send_bytes(bytes);
        assert_eq!(resp.reply(), Reply::ok());
        let Reply::Error(error) = resp.reply() else { panic!("{bytes:?} was taken") };
        assert!(error.contains("Protocol error"), "{error}");
        assert!(resp.is_at_end());
    }
    let mut resp = kvd.resp();
    assert_eq!(resp.call(&["QUIT"]), Reply::ok());
    assert!(resp.is_at_end());
}

#[test]
fn nothing_of_a_transaction_is_applied_and_its_replies_keep_their_order() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let pipeline: [&[&str]; 9] = [
        &["SET", "before", "1"],
        &["MULTI"],
        &["SET", "key1", "x"],
        &["INCR", "before"],
        &["FLUSHALL"],
        &["NOPE"],
        &["EXEC"],
        &["INCR", "before"],
        &["EXEC"],
    ];
    pipeline.iter().for_each(|args| resp.send(args));
    let expected = ["ERR MULTI", "EXECABORT", "EXECABORT", "EXECABORT", "EXECABORT", "EXECABORT Transaction"];
    assert_eq!(resp.reply(), Reply::ok());
    for start in expected {
        let Reply::Error(error) = resp.reply() else { panic!("{start} was run") };
        assert!(error.starts_with(start), "{error}");
    }
    assert_eq!(resp.reply(), Reply::Integer(2));
    assert_eq!(resp.reply(), Reply::Error("ERR EXEC without MULTI".to_owned()));
    assert_eq!(resp.call(&["EXISTS", "key1"]), Reply::Integer(0));
    // In two pieces, ended by DISCARD.
    resp.send(&["MULTI"]);
    assert!(matches!(resp.reply(), Reply::Error(_)));
    assert!(matches!(resp.call(&["SET", "key1", "x"]), Reply::Error(_)));
    assert_eq!(resp.call(&["DISCARD"]), Reply::ok());
    assert_eq!(resp.call(&["GET", "key1"]), Reply::Null);
}

#[test]
fn a_value_over_the_limit_is_refused_by_name() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &[&SHARDS[..], &["--memory", "512MB"]].concat());
    let mut resp = kvd.resp();
    resp.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$16777217\r\n");
    let Reply::Error(error) = resp.reply() else { panic!() };
    assert!(error.ends_with("value of 16777217 bytes is over the limit of 16 MiB"), "{error}");
    assert!(resp.is_at_end());
}

#[test]
fn large_values_go_through_every_core_and_over_the_limit_is_an_error() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &[&SHARDS[..], &["--value-max", "4MiB"]].concat());
    let mut resp = kvd.resp();
    let value = vec![b'v'; 4 << 20];
    for number in 0..4 {
        let key = format!("key{number}");
        assert_eq!(resp.call(&[b"SET", key.as_bytes(), &value]), Reply::ok());
        assert_eq!(resp.call(&["GET", &key]), Reply::Bulk(value.clone()));
    }
    let Reply::Error(error) = resp.call(&[b"SET", &b"key"[..], &[&value[..], b"!"].concat()]) else {
        panic!()
    };
    assert!(error.starts_with("ERR "), "{error}");
    assert_eq!(resp.call(&["GET", "key"]), Reply::Null);
}

#[test]
fn a_reader_that_does_not_read_costs_bounded_memory_and_holds_up_nobody() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let value = vec![b'v'; 1 << 20];
    let mut resp = kvd.resp();
    for number in 0..6 {
        resp.call(&[b"SET", format!("key{number}").as_bytes(), &value]);
    }
    let mut deaf: Vec<Resp> = (0..4).map(|_| kvd.resp()).collect();
    for reader in &mut deaf {
        for number in 0..600 {
            reader.send(&["GET", &format!("key{}", number % 6)]);
        }
    }
    for number in 0..200 {
        assert_eq!(resp.call(&["SET", &format!("other{number}"), "x"]), Reply::ok());
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", kvd.pid())).unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 600 << 10, "4 x 600 MiB were asked for, {kib} KiB are in memory");
    // Whoever starts to read gets everything.
    for _ in 0..600 {
        assert_eq!(deaf[0].reply(), Reply::Bulk(value.clone()));
    }
}

#[test]
fn large_values_asked_for_after_many_small_ones_cost_bounded_memory() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let value = vec![b'v'; 1 << 20];
    for number in 0..6 {
        resp.call(&[b"SET", format!("key{number}").as_bytes(), &value]);
    }
    // By its small answers the connection earns the right to have many requests under way.
    for _ in 0..2000 {
        resp.send(&["GET", "nothing"]);
    }
    (0..2000).for_each(|_| assert_eq!(resp.reply(), Reply::Null));
    for number in 0..900 {
        resp.send(&["GET", &format!("key{}", number % 6)]);
    }
    // Who reads gets all of them.
    for _ in 0..900 {
        assert!(resp.reply() == Reply::Bulk(value.clone()));
    }
    assert_eq!(resp.call(&["GET", "key0"]), Reply::Bulk(value));
    let kib = kvd.memory_peak_kib();
    assert!(kib < 160 << 10, "900 MiB were asked for at once, {kib} KiB were in memory");
}

#[test]
fn many_large_values_of_many_commands_cost_bounded_memory() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let value = vec![b'v'; 1 << 20];
    let keys: Vec<String> = (0..10).map(|number| format!("key{number}")).collect();
    for key in &keys {
        resp.call(&[b"SET", key.as_bytes(), &value]);
    }
    let mget: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
    for _ in 0..2000 {
        resp.send(&["GET", "nothing"]);
    }
    (0..2000).for_each(|_| assert_eq!(resp.reply(), Reply::Null));
    (0..90).for_each(|_| resp.send(&mget));
    for _ in 0..90 {
        assert!(resp.reply().items().into_iter().all(|item| item == Reply::Bulk(value.clone())));
    }
    assert_eq!(resp.call(&mget).items().len(), keys.len());
    // A count of keys needs no values.
    let exists: Vec<&str> = std::iter::once("EXISTS").chain(keys.iter().map(String::as_str)).collect();
    assert_eq!(resp.call(&exists), Reply::Integer(10));
    let long: Vec<&str> = std::iter::once("MGET").chain(std::iter::repeat_n("key1", 100)).collect();
    assert_eq!(resp.call(&long).items().len(), 100);
    let kib = kvd.memory_peak_kib();
    assert!(kib < 160 << 10, "1000 MiB were asked for, {kib} KiB were in memory");
}

#[test]
fn getex_answers_the_value_of_the_moment_at_which_it_changes_the_expiry() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    assert_eq!(resp.call(&["GETEX", "key", "EX", "50"]), Reply::Null);
    assert_eq!(resp.call(&["SET", "key", "one"]), Reply::ok());
    assert_eq!(resp.call(&["GETEX", "key", "PERSIST"]), Reply::bulk("one"));
    // In a pipeline each sees what was before it, and nothing behind it.
    for command in [&["SET", "key", "two"][..], &["GETEX", "key", "EX", "50"], &["SET", "key", "three"]] {
        resp.send(command);
    }
    assert_eq!([resp.reply(), resp.reply(), resp.reply()], [Reply::ok(), Reply::bulk("two"), Reply::ok()]);
    assert_eq!(resp.call(&["TTL", "key"]), Reply::Integer(-1));
    assert_eq!(resp.call(&["GETEX", "key", "EX", "50"]), Reply::bulk("three"));
    assert!((1..=50).contains(&resp.call(&["TTL", "key"]).integer()));
    assert_eq!(resp.call(&["GETEX", "key", "PXAT", "1"]), Reply::bulk("three"));
    assert_eq!(resp.call(&["EXISTS", "key"]), Reply::Integer(0));
}

#[test]
fn redis_cli_is_at_home() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let port = kvd.resp.rsplit(':').next().unwrap();
    let cli = |arguments: &[&str]| {
        std::process::Command::new("redis-cli").args(["-p", port]).args(arguments).output()
    };
    let Ok(output) = cli(&["SET", "greeting", "hello"]) else {
        println!("skipped: redis-cli isn't installed");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "OK\n");
    for protocol in ["-2", "-3"] {
        assert_eq!(String::from_utf8_lossy(&cli(&[protocol, "GET", "greeting"]).unwrap().stdout), "hello\n");
    }
    assert_eq!(String::from_utf8_lossy(&cli(&["-c", "GET", "greeting"]).unwrap().stdout), "hello\n");
    let info = cli(&["INFO", "server"]).unwrap();
    assert!(String::from_utf8_lossy(&info.stdout).contains("redis_version:"));
    assert!(String::from_utf8_lossy(&cli(&["--scan"]).unwrap().stdout).contains("greeting"));
}
