//! Commands on many keys.

use crate::common::{Server, json};
use serde_json::json;

/// Ten keys, `k0` to `k9`, with their numbers as values, and `other`.
fn with_keys() -> Server {
    let server = Server::start();
    let pairs = (0..10).flat_map(|at| [format!("k{at}"), at.to_string()]);
    assert_eq!(server.kv(["mput".to_owned()].into_iter().chain(pairs)).ok(), "10 keys written\n");
    assert_eq!(server.line("mput other x").ok(), "1 key written\n");
    server
}

fn keys(server: &Server, options: &str) -> String {
    let line = format!("keys {options}");
    server.line(line.trim_end()).ok().lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn ranges_are_cut_at_prefix_from_to_and_limit() {
    let server = with_keys();
    assert_eq!(keys(&server, ""), "k0 k1 k2 k3 k4 k5 k6 k7 k8 k9 other");
    assert_eq!(keys(&server, "--prefix o"), "other");
    assert_eq!(keys(&server, "--prefix k --limit 3"), "k0 k1 k2");
    assert_eq!(keys(&server, "--from k3 --to k6"), "k3 k4 k5");
    assert_eq!(keys(&server, "--from k8"), "k8 k9 other");
    assert_eq!(keys(&server, "--to k2"), "k0 k1");
    assert_eq!(keys(&server, "--prefix k --from k4 --limit 2"), "k4 k5");
    assert_eq!(keys(&server, "--from k6 --to k3"), "");
    assert_eq!(keys(&server, "--limit 0"), "");
    assert_eq!(keys(&server, "--prefix nobody"), "");
}

#[test]
fn counting_takes_the_same_bounds() {
    let server = with_keys();
    assert_eq!(server.line("count").ok(), "11\n");
    assert_eq!(server.line("count --prefix k").ok(), "10\n");
    assert_eq!(server.line("count --from k3 --to k6 --json").json(), [json!({"count": 3})]);
}

#[test]
fn a_scan_is_an_aligned_table_or_json_lines() {
    let server = with_keys();
    server.kv(["put", "a longer key", "tab\tand \\"]).ok();
    let table = server.line("scan --limit 3").ok();
    let lines: Vec<&str> = table.lines().collect();
    let at = |line: &str, column: &str| line.find(column).unwrap();
    assert_eq!(lines.len(), 4);
    assert_eq!(at(lines[0], "VALUE"), at(lines[1], "tab\\tand \\\\"));
    assert!(lines[2].starts_with("k0            "), "{table}");
    let items = server.line("scan --prefix k --limit 2 --json").json();
    let found: Vec<_> = items.iter().map(|item| (&item["key"], &item["value"])).collect();
    assert_eq!(found, [(&json!("k0"), &json!("0")), (&json!("k1"), &json!("1"))]);
    assert!(items.iter().all(|item| item["version"].is_u64()));
    assert_eq!(server.line("keys --limit 1 --json").json()[0]["key"], "a longer key");
}

#[test]
fn a_long_scan_has_everything_in_order() {
    let server = Server::start();
    let mut lines = String::new();
    for number in 0..5_000 {
        lines.push_str(&format!("key{number:05}\tvalue {number}\n"));
    }
    assert_eq!(server.kv_reading(["mput", "-"], lines.as_bytes()).ok(), "5000 keys written\n");
    let items = server.line("scan --json").json();
    assert_eq!(items.len(), 5_000);
    for (number, item) in items.iter().enumerate() {
        assert_eq!(item["key"], format!("key{number:05}"));
        assert_eq!(item["value"], format!("value {number}"));
    }
    let table = server.line("scan").ok();
    assert_eq!(table.lines().filter(|line| line.starts_with("KEY ")).count(), 1, "one head");
    assert_eq!(table.lines().count(), 5_001);
}

#[test]
fn several_keys_are_read_in_the_order_asked_for() {
    let server = with_keys();
    let run = server.line("mget k7 nobody k2 neither");
    let table = String::from_utf8(run.out.clone()).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[1][0], rows[1][2], rows[3][0], rows[3][2]), ("k7", "7", "k2", "2"));
    assert_eq!(rows[2], ["nobody", "-", "(not", "found)"]);
    assert_eq!(run.fails(1), "kv: not found: nobody, neither\n");
    let run = server.line("mget k7 nobody --json");
    assert_eq!(json(str::from_utf8(&run.out).unwrap())[1], json!({"key": "nobody", "found": false}));
    assert_eq!(server.line("mget k1 k2").code, 0);
}

#[test]
fn pairs_come_from_lines_that_are_any_bytes() {
    let server = Server::start();
    let input = b"a\tone\n\xff\t\xfe\0\ttabs are the value's\nlast\t";
    assert_eq!(
        server.kv_reading(["mput", "-", "--ttl", "1h", "--json"], input).json(),
        [json!({"written": 3})]
    );
    let items = server.line("scan --json").json();
    assert_eq!((&items[0]["key"], &items[0]["value"]), (&json!("a"), &json!("one")));
    assert_eq!((&items[1]["key"], &items[1]["value"]), (&json!("last"), &json!("")));
    assert_eq!((&items[2]["key_base64"], items[2]["value_base64"].is_string()), (&json!("/w=="), true));
    assert!(items.iter().all(|item| item["expires_at_ms"].is_u64()));
}

#[test]
fn a_line_without_a_tab_is_named_and_what_was_written_is_counted() {
    let server = Server::start();
    let mut input = String::new();
    (0..1_500).for_each(|number| input.push_str(&format!("k{number}\tv\n")));
    input.push_str("no tab\n");
    let complaint = server.kv_reading(["mput", "-"], input.as_bytes()).fails(2);
    assert!(complaint.contains("line 1501 has no tab"), "{complaint}");
    assert!(complaint.contains("; 1000 keys were written before"), "{complaint}");
    assert_eq!(server.line("count").ok(), "1000\n");
}

#[test]
fn a_key_without_a_value_is_wrong_usage_and_writes_nothing() {
    let server = Server::start();
    let complaint = server.line("mput a 1 b").fails(2);
    assert!(complaint.contains("the last key has none"), "{complaint}");
    assert_eq!(server.line("count").ok(), "0\n");
}

#[test]
fn clearing_needs_a_yes_where_nobody_can_be_asked() {
    let server = with_keys();
    let complaint = server.line("clear").fails(2);
    assert!(complaint.contains("add --yes"), "{complaint}");
    assert_eq!(server.line("count").ok(), "11\n");
    assert_eq!(server.line("clear --yes").ok(), "cleared\n");
    assert_eq!(server.line("count").ok(), "0\n");
    assert_eq!(server.line("clear -y --json").json(), [json!({"cleared": true})]);
}
