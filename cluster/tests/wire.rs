//! The binary protocol over several cores, through the client.

mod common;

use common::{Kvd, store_dir};
use pinion_net::client::{
    Batch, BlockingClient, Condition, Delete, Error, Expiry, Options, Put, ScanOptions, Written,
};
use pinion_net::wire::ErrorCode;
use std::collections::BTreeMap;

const SHARDS: [&str; 2] = ["--shards", "3"];

/// Both ways of a request: straight to the core of its key, and forwarded by another.
fn clients(kvd: &Kvd) -> [BlockingClient; 2] {
    [kvd.client(), kvd.client_with(Options { follow_map: false, checksums: true, ..Options::default() })]
}

#[test]
fn requests_on_one_key_do_what_they_say_on_their_core_and_through_others() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    for (way, client) in clients(&kvd).into_iter().enumerate() {
        for number in 0..10 {
            let key = format!("key{way}-{number}");
            assert_eq!(client.get(&key).unwrap(), None);
            let first = client.put(&key, "one").unwrap();
            assert_eq!(client.get(&key).unwrap().unwrap().bytes, b"one");
            assert_eq!(client.exists(&key).unwrap().unwrap().version, first);
            let absent = Put { condition: Condition::Absent, want_old: true, ..Put::default() };
            let Written::NotMet { current: Some(current) } = client.put_with(&key, "two", absent).unwrap()
            else {
                panic!("a key that is there was taken for absent");
            };
            assert_eq!((current.bytes.as_slice(), current.version), (&b"one"[..], first));
            let guarded = Put { condition: Condition::Version(first), want_old: true, ..Put::default() };
            let Written::Done { version, old: Some(old) } = client.put_with(&key, "two", guarded).unwrap()
            else {
                panic!("a put at the right version was refused");
            };
            assert!(version > first && old.bytes == b"one");
            assert!(matches!(client.put_with(&key, "three", guarded).unwrap(), Written::NotMet { .. }));
            assert!(client.expire(&key, Expiry::Never).unwrap(), "a key without an expiry is a key");
            assert!(client.expire(&key, Expiry::After(60_000)).unwrap());
            assert!(client.exists(&key).unwrap().unwrap().expires_at_ms.is_some());
            assert!(
                matches!(client.increment(&key, 1), Err(Error::Refused { code, .. }) if code == ErrorCode::NOT_AN_INTEGER)
            );
            let old = Delete { want_old: true, ..Delete::default() };
            assert!(matches!(client.delete_with(&key, old).unwrap(), Written::Done { old: Some(_), .. }));
            assert!(!client.delete(&key).unwrap());
            assert!(!client.expire(&key, Expiry::Never).unwrap());
            assert_eq!(client.increment(&key, 41).unwrap(), 41);
            assert_eq!(client.increment(&key, 1).unwrap(), 42);
        }
    }
}

#[test]
fn scans_are_in_the_order_of_keys_over_all_cores() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let client = kvd.client();
    let model: BTreeMap<Vec<u8>, Vec<u8>> =
        (0..700).map(|n| (format!("key{n:04}").into_bytes(), format!("value{n}").into_bytes())).collect();
    let mut batch = Batch::new();
    for (key, value) in &model {
        batch.put(key, value).unwrap();
    }
    batch.put("other", "x").unwrap();
    batch.put("{tag}a", "x").unwrap();
    batch.put("{tag}b", "x").unwrap();
    client.write(&batch).unwrap();
    let all = |options: ScanOptions| -> Vec<(Vec<u8>, Vec<u8>)> {
        client.scan(options).map(|item| item.unwrap()).map(|item| (item.key, item.value.bytes)).collect()
    };
    let prefix = ScanOptions { prefix: b"key".to_vec(), ..ScanOptions::default() };
    let expected: Vec<_> = model.clone().into_iter().collect();
    assert_eq!(all(prefix.clone()), expected);
    assert_eq!(all(ScanOptions { page_items: 7, ..prefix.clone() }), expected);
    let range = ScanOptions { from: b"key0100".to_vec(), to: b"key0103".to_vec(), ..ScanOptions::default() };
    assert_eq!(all(range.clone()), expected[100..103]);
    let limited = ScanOptions { from: b"key0650".to_vec(), limit: Some(48), ..ScanOptions::default() };
    assert_eq!(all(limited), expected[650..698]);
    assert_eq!(all(ScanOptions { prefix: b"{tag}".to_vec(), ..ScanOptions::default() }).len(), 2);
    let page = client.scan_page(&ScanOptions { page_items: 5, ..prefix.clone() }, b"").unwrap();
    let mut cursor = page.next.unwrap();
    assert_eq!(client.scan_page(&prefix, &cursor).unwrap().items[0].key, b"key0005");
    let of_another_range = client.scan_page(&range, &cursor);
    cursor.push(0);
    for refused in
        [of_another_range, client.scan_page(&prefix, &cursor), client.scan_page(&prefix, b"key0005")]
    {
        assert_eq!(refused.unwrap_err().code(), Some(ErrorCode::BAD_CURSOR));
    }
    assert_eq!(client.count(&prefix).unwrap(), 700);
    assert_eq!(client.count(&range).unwrap(), 3);
    assert_eq!(client.count(&ScanOptions::default()).unwrap(), 703);
    client.clear().unwrap();
    assert_eq!(client.count(&ScanOptions::default()).unwrap(), 0);
}

#[test]
fn requests_on_many_keys_answer_for_each() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    for client in clients(&kvd) {
        let mut batch = Batch::new();
        for number in 0..300 {
            batch.put(format!("key{number}"), format!("value{number}")).unwrap();
        }
        for number in (0..300).step_by(3) {
            batch.delete(format!("key{number}")).unwrap();
        }
        assert!(client.write_each(&batch).unwrap().iter().all(Result::is_ok));
        let keys: Vec<String> = (0..300).map(|number| format!("key{number}")).collect();
        for (number, value) in client.get_many(&keys).unwrap().into_iter().enumerate() {
            let expected = (number % 3 != 0).then(|| format!("value{number}").into_bytes());
            assert_eq!(value.map(|value| value.bytes), expected, "key{number}");
        }
    }
}

#[test]
fn many_keys_and_large_values_are_read_in_answers_of_bounded_length() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let client = kvd.client_with(Options { follow_map: false, ..Options::default() });
    let absent: Vec<String> = (0..100_000).map(|number| format!("absent{number}")).collect();
    assert!(client.get_many(&absent).unwrap().iter().all(Option::is_none));
    let keys: Vec<String> = (0..7).map(|number| format!("large{number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        client.put(key, vec![number as u8; 5 << 20]).unwrap();
    }
    for (number, value) in client.get_many(&keys).unwrap().into_iter().enumerate() {
        assert_eq!(value.unwrap().bytes, vec![number as u8; 5 << 20], "large{number}");
    }
}

#[test]
fn what_is_no_frame_gets_a_reason_and_the_end() {
    use std::io::{Read, Write};
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xb1, b'P', 9, 1][..], &[0xff; 200]] {
        let mut stream = std::net::TcpStream::connect(&kvd.kv).unwrap();
        stream.set_read_timeout(Some(common::DEADLINE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is an end too.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(&[0xb1, b'P']), "{answer:?}");
    }
    kvd.client().ping().unwrap();
}

#[test]
fn a_node_in_this_process_serves_and_stops() {
    let root = tempfile::tempdir().unwrap();
    let config = pinion_cluster::Config {
        shards: Some(2),
        pin: false,
        memory_bytes: 64 << 20,
        ..pinion_cluster::Config::ephemeral(root.path().join("store"))
    };
    for round in 0..2 {
        let node = pinion_cluster::Node::start(config.clone()).unwrap();
        let options = Options { timeout: common::DEADLINE, ..Options::default() };
        let client = BlockingClient::connect([node.addresses().kv.to_string()], options).unwrap();
        assert_eq!(client.increment("counter", 1).unwrap(), round + 1);
        drop(client);
        node.stop().unwrap();
    }
}
