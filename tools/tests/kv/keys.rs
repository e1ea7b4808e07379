//! Commands on one key.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::common::{Server, command, json, run, wait_until};
use serde_json::json;

fn version(text: &str) -> u64 {
    text.trim_end().strip_prefix("version ").unwrap().parse().unwrap()
}

#[test]
fn what_was_put_is_got_as_text_and_as_json() {
    let server = Server::start();
    let version = version(&server.line("put greeting hello").ok());
    assert_eq!(server.line("get greeting").ok(), "hello\n");
    let expected = [json!({"key": "greeting", "value": "hello", "version": version})];
    assert_eq!(server.line("--json get greeting").json(), expected);
    assert_eq!(server.line("get greeting --json").json(), expected);
    let put = server.line("put greeting again --json").json();
    assert!(put[0]["version"].as_u64().unwrap() > version);
}

#[test]
fn a_command_line_takes_commands_in_any_case_and_by_their_other_names() {
    let server = Server::start();
    server.line("SET Greeting HELLO").ok();
    assert_eq!(server.line("--json GET Greeting").json()[0]["value"], "HELLO");
    assert_eq!(server.kv(["--keyspace", "default", "Get", "Greeting"]).ok(), "HELLO\n");
    assert_eq!(server.line("DELETE Greeting").ok(), "deleted\n");
    assert!(server.line("HELP Get").ok().contains("Usage: kv get"));
}

#[test]
fn leaving_needs_no_server() {
    for word in ["quit", "EXIT"] {
        // Nobody listens on port 1.
        assert_eq!(run(command("127.0.0.1:1").arg(word), b"").ok(), "");
    }
}

#[test]
fn a_key_that_is_not_there_is_named_with_exit_code_1() {
    let server = Server::start();
    for line in ["get nobody", "exists nobody", "del nobody", "mget nobody"] {
        assert_eq!(server.line(line).fails(1), "kv: not found: nobody\n", "{line}");
    }
    let failed = server.line("get nobody --json").fails(1);
    assert_eq!(json(&failed), [json!({"error": "not found: nobody", "exit_code": 1})]);
}

#[test]
fn any_bytes_are_keys_and_values() {
    let server = Server::start();
    let key = OsStr::from_bytes(b"\xff\n\xfe");
    let value = b"a\0b\n\xff";
    server.kv_reading([OsStr::new("put"), key, OsStr::new("-")], value).ok();
    let raw = server.kv([OsStr::new("get"), OsStr::new("--raw"), key]);
    assert_eq!((raw.code, raw.out), (0, value.to_vec()));
    assert_eq!(server.kv([OsStr::new("get"), key]).out, b"a\0b\n\xff\n");
    let found = server.kv([OsStr::new("get"), OsStr::new("--json"), key]).json();
    assert_eq!((&found[0]["key_base64"], &found[0]["value_base64"]), (&json!("/wr+"), &json!("YQBiCv8=")));
    assert_eq!(server.line("keys").ok(), "\\xff\\n\\xfe\n");
    let gone = server.kv([OsStr::new("del"), OsStr::new("--json"), key]).json();
    assert_eq!(gone, [json!({"key_base64": "/wr+", "deleted": true})]);
}

#[test]
fn values_may_be_empty_and_keys_may_not() {
    let server = Server::start();
    server.kv(["put", "k", ""]).ok();
    assert_eq!(server.line("get k").ok(), "\n");
    let refused = server.kv(["put", "", "v"]).fails(3);
    assert!(refused.contains("the key has 0 bytes, keys have 1 to 65535"), "{refused}");
}

#[test]
fn a_value_from_standard_input_keeps_to_the_limit() {
    let server = Server::start();
    let most = vec![b'x'; 16 << 20];
    server.kv_reading(["put", "big", "-"], &most).ok();
    assert_eq!(server.line("get --raw big").out, most);
    let more = vec![b'x'; (16 << 20) + 1];
    let refused = server.kv_reading(["put", "big", "-"], &more).fails(3);
    assert!(refused.contains("over 16777216 bytes"), "{refused}");
}

#[test]
fn conditions_that_do_not_hold_refuse_and_say_what_is_there() {
    let server = Server::start();
    let first = version(&server.line("put k one --if-absent").ok());
    let refused = server.line("put k two --if-absent").fails(3);
    assert_eq!(refused, format!("kv: refused: k is there at version {first}\n"));
    let second = version(&server.kv(["put", "k", "two", "--if-version", &first.to_string()]).ok());
    let refused = server.kv(["put", "k", "three", "--if-version", &first.to_string()]).fails(3);
    assert!(refused.contains(&format!("version {second}")), "{refused}");
    assert_eq!(server.line("put other x --if-version 7").fails(3), "kv: refused: other isn't there\n");
    assert_eq!(server.line("get k").ok(), "two\n");
}

#[test]
fn a_value_expires() {
    let server = Server::start();
    server.line("put session token --ttl 2h").ok();
    let told = server.line("exists session").ok();
    assert!(told.starts_with("version ") && told.contains(", expires in "), "{told}");
    let told = server.line("exists session --json").json();
    assert!(told[0]["expires_at_ms"].as_u64().is_some() && told[0]["exists"] == true, "{told:?}");
    let value = server.line("get session --json").json();
    assert_eq!(value[0]["expires_at_ms"], told[0]["expires_at_ms"]);
    server.line("put session token --ttl 1ms").ok();
    wait_until("the expiry", || server.line("get session").code == 1);
    assert_eq!(server.line("exists session").code, 1);
    assert!(!server.line("put session forever").ok().is_empty());
    assert!(!server.line("exists session").ok().contains("expires"));
}

#[test]
fn counters_add_and_only_integers_count() {
    let server = Server::start();
    assert_eq!(server.line("incr visits").ok(), "1\n");
    assert_eq!(server.line("incr visits 41").ok(), "42\n");
    assert_eq!(server.line("incr visits -50 --json").json(), [json!({"value": -8})]);
    server.line("put word hello").ok();
    let refused = server.line("incr word").fails(3);
    assert!(refused.contains("not an integer"), "{refused}");
    server.kv(["put", "most", &i64::MAX.to_string()]).ok();
    server.line("incr most").fails(3);
    assert_eq!(server.line("get most").ok().trim(), i64::MAX.to_string());
}

#[test]
fn deleting_says_what_was_there() {
    let server = Server::start();
    server.line("mput a 1 b 2").ok();
    assert_eq!(server.line("del a").ok(), "deleted\n");
    let run = server.line("del a b c");
    assert_eq!(String::from_utf8_lossy(&run.out), "deleted b\n");
    assert_eq!(run.fails(1), "kv: not found: a, c\n");
    let run = server.line("del a --json");
    assert_eq!(json(str::from_utf8(&run.out).unwrap()), [json!({"key": "a", "deleted": false})]);
}

#[test]
fn every_level_that_a_node_keeps_is_taken() {
    let server = Server::start();
    for level in ["eventual", "session", "strong", "all"] {
        server.kv(["--level", level, "put", "k", level]).ok();
        assert_eq!(server.kv(["--level", level, "get", "k"]).ok(), format!("{level}\n"));
    }
}

#[test]
fn ping_and_info_answer_as_text_and_as_json() {
    let server = Server::start();
    let pong = server.line("ping").ok();
    assert!(pong.starts_with("pong after ") && pong.ends_with(" ms\n"), "{pong}");
    assert!(server.line("ping --json").json()[0]["ms"].is_number());
    let info = server.line("info").ok();
    let values: Vec<usize> = info.lines().map(|line| line.rfind("  ").unwrap()).collect();
    assert!(values.iter().all(|at| *at == values[0]), "the values align:\n{info}");
    assert_eq!(server.line("info --json").json()[0]["shards"], 2);
}
