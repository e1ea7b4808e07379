//! Times that clients name and are told, over several cores and a restart.

mod common;

use common::resp::{Reply, Resp};
use common::{Kvd, command, refused, stderr, store_dir};
use std::time::SystemTime;

const SHARDS: [&str; 2] = ["--shards", "3"];
const KEYS: u64 = 60;

/// An hour from now, by the wall clock.
fn in_an_hour_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    now.as_millis() as u64 + 3_600_000
}

fn number(resp: &mut Resp, command: &str, key: &str) -> u64 {
    u64::try_from(resp.call(&[command, key]).integer()).expect("the key is there, and expires")
}

#[test]
fn a_time_that_a_client_names_is_told_again_by_every_core_also_after_a_kill() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let first_ms = in_an_hour_ms();
    let named = |number: u64| (format!("key{number}"), first_ms + number);
    // Connections are spread over the cores, and so are the keys.
    let mut clients: Vec<Resp> = (0..9).map(|_| kvd.resp()).collect();
    for at in 0..KEYS {
        let (key, ms) = named(at);
        let client = &mut clients[at as usize % 9];
        assert_eq!(client.call(&["SET", &key, "v", "PXAT", &ms.to_string()]), Reply::ok());
    }
    for client in &mut clients {
        for (key, ms) in (0..KEYS).map(named) {
            assert_eq!(number(client, "PEXPIRETIME", &key), ms, "{key}");
            assert_eq!(number(client, "EXPIRETIME", &key), (ms + 500) / 1000, "{key}");
            let left_ms = number(client, "PTTL", &key);
            assert!((3_000_000..=3_600_000 + KEYS).contains(&left_ms), "{key}: {left_ms}");
        }
    }
    drop(clients);
    kvd.kill();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut client = kvd.resp();
    for (key, ms) in (0..KEYS).map(named) {
        let told_ms = number(&mut client, "PEXPIRETIME", &key);
        assert!(told_ms.abs_diff(ms) <= 1, "{key}: {told_ms} instead of {ms}, in the same boot");
    }
}

#[test]
fn a_word_that_is_no_way_to_take_a_jump_is_refused() {
    let (_root, dir) = store_dir();
    let output = refused(command(&dir).args(["--accept-time-jump", "maybe"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--accept-time-jump"), "{}", stderr(&output));
}
