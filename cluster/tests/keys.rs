//! Which keys there are and may be: by chance, by slot, and by their length.

mod common;

use common::resp::{Reply, Resp};
use common::{Kvd, store_dir};
use std::collections::{BTreeSet, HashMap};

const SHARDS: [&str; 2] = ["--shards", "3"];

#[test]
fn a_random_key_may_be_any_of_them_and_is_never_a_deleted_one() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    for number in 0..60 {
        resp.call(&["SET", &format!("{{one}}key{number}"), "x"]);
        resp.call(&["SET", &format!("gone{number}"), "x"]);
    }
    for number in 0..60 {
        resp.call(&["DEL", &format!("gone{number}")]);
    }
    // All live keys lie in one partition: nothing but chance within it tells them apart. Any one is missed by 1,500 draws
    // with a probability of 1e-9.
    let mut counts: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..1500 {
        *counts.entry(resp.call(&["RANDOMKEY"]).bytes()).or_default() += 1;
    }
    assert!(counts.keys().all(|key| key.starts_with(b"{one}")));
    assert_eq!(counts.len(), 60);
    assert!(counts.values().all(|&count| count < 100), "{counts:?}");
    for (key, _) in counts {
        resp.call(&[b"DEL", key.as_slice()]);
    }
    assert_eq!(resp.call(&["RANDOMKEY"]), Reply::Null);
}

#[test]
fn a_slot_has_its_keys_and_no_others() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    for number in 0..600 {
        resp.call(&["SET", &format!("{{one}}{number}"), "x"]);
        resp.call(&["SET", &format!("other{number}"), "x"]);
    }
    let slot = resp.call(&["CLUSTER", "KEYSLOT", "{one}"]).integer().to_string();
    let keys = |resp: &mut Resp, count: &str| -> BTreeSet<Vec<u8>> {
        let keys = resp.call(&["CLUSTER", "GETKEYSINSLOT", &slot, count]).items();
        keys.into_iter().map(Reply::bytes).collect()
    };
    let all = keys(&mut resp, "1000");
    assert_eq!(all.len() as i64, resp.call(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).integer());
    assert!(all.iter().filter(|key| key.starts_with(b"{one}")).count() == 600);
    assert_eq!(keys(&mut resp, "7").len(), 7);
    assert_eq!(keys(&mut resp, "0").len(), 0);
    let error = |args: &[&str], resp: &mut Resp| match resp.call(args) {
        Reply::Error(error) => error,
        other => panic!("{other:?}"),
    };
    let wrong = error(&["CLUSTER", "GETKEYSINSLOT", "16384", "1"], &mut resp);
    assert_eq!(wrong, "ERR Invalid slot or number of keys");
    let id = String::from_utf8(resp.call(&["CLUSTER", "MYID"]).bytes()).unwrap();
    assert_eq!(resp.call(&["CLUSTER", "REPLICAS", &id]), Reply::Array(vec![]));
    assert_eq!(error(&["CLUSTER", "SLAVES", "nobody"], &mut resp), "ERR Unknown node nobody");
    assert_eq!(resp.call(&["CLUSTER", "LINKS"]), Reply::Array(vec![]));
    assert_eq!(resp.call(&["CLUSTER", "MYSHARDID"]).bytes().len(), 40);
}

#[test]
fn a_key_that_is_empty_or_too_long_gets_an_error_that_names_the_limit_and_nothing_else_happens() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let long = "k".repeat(65_536);
    for key in ["", long.as_str()] {
        for args in [&["SET", key, "v"][..], &["INCR", key], &["APPEND", key, "v"], &["SETNX", key, "v"]] {
            let Reply::Error(error) = resp.call(args) else { panic!("{} took it", args[0]) };
            assert!(error.contains("keys are 1 to 65,535 bytes long"), "{error}");
        }
        assert_eq!(resp.call(&["GET", key]), Reply::Null);
        assert_eq!(resp.call(&["EXISTS", key]), Reply::Integer(0));
    }
    let longest = "k".repeat(65_535);
    assert_eq!(resp.call(&["SET", &longest, "v"]), Reply::ok());
    assert_eq!(resp.call(&["GET", &longest]), Reply::bulk("v"));
}
