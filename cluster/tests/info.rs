//! INFO over several cores.

mod common;

use common::resp::{Reply, Resp};
use common::{Kvd, store_dir};

const SHARDS: [&str; 2] = ["--shards", "3"];

#[test]
fn info_tells_of_the_node_on_the_common_port_and_of_the_core_on_its_own() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let clients: Vec<Resp> = (0..9)
        .map(|number| {
            let mut resp = kvd.resp();
            assert_eq!(resp.call(&["SET", &format!("key{number}"), &"v".repeat(1000)]), Reply::ok());
            resp
        })
        .collect();
    let figure = |resp: &mut Resp, name: &str| {
        let text = String::from_utf8(resp.call(&["INFO"]).bytes()).expect("INFO is text");
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name} isn't in {text}"))
    };
    let number = |resp: &mut Resp, name: &str| figure(resp, name).parse::<u64>().expect("a number");
    let mut resp = kvd.resp();
    assert_eq!(figure(&mut resp, "figures_of"), "node");
    assert_eq!(figure(&mut resp, "role"), "master");
    assert_eq!(figure(&mut resp, "run_id").len(), 40);
    // A core shows its figures at the end of its turn, which may come after its replies.
    let until = std::time::Instant::now() + common::DEADLINE;
    for (name, least) in [
        ("connected_clients", 10),
        ("total_commands_processed", 9),
        ("total_net_input_bytes", 9000),
        ("total_net_output_bytes", 45),
    ] {
        while number(&mut resp, name) < least {
            assert!(std::time::Instant::now() < until, "{name} stays below {least}");
        }
    }
    let run = resp.call(&["CLUSTER", "SLOTS"]).items().swap_remove(0).items();
    let port = run[2].clone().items()[1].clone().integer();
    let mut core = Resp::connect(&format!("127.0.0.1:{port}"));
    assert!(figure(&mut core, "figures_of").starts_with("core "));
    assert_eq!(figure(&mut core, "tcp_port"), port.to_string());
    assert_eq!(figure(&mut core, "run_id"), figure(&mut resp, "run_id"));
    drop(clients);
}

/// The value of a field of INFO.
fn value(resp: &mut Resp, section: &str, name: &str) -> Option<String> {
    let text = String::from_utf8(resp.call(&["INFO", section]).bytes()).expect("INFO is text");
    text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned))
}

/// Waits until a field has a value: a core shows its figures at the end of its turn.
fn wait_for(resp: &mut Resp, section: &str, name: &str, expected: &str) {
    let until = std::time::Instant::now() + common::DEADLINE;
    while value(resp, section, name).as_deref() != Some(expected) {
        assert!(std::time::Instant::now() < until, "{name} is {:?}", value(resp, section, name));
    }
}

#[test]
fn commands_errors_and_keys_are_counted_and_resetstat_begins_anew() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    // Over several connections, hence cores.
    for number in 0..12 {
        let mut resp = kvd.resp();
        let key = format!("key{number}");
        resp.call(&["SET", &key, "x"]);
        resp.call(&["GET", &key]);
        resp.call(&["GET", "absent"]);
        resp.call(&["MGET", &key, "absent"]);
        resp.call(&["INCR", &key]);
        resp.call(&["GET"]);
        resp.call(&["NOPE"]);
        resp.call(&["CLIENT", "ID"]);
    }
    let mut resp = kvd.resp();
    let starts = |value: Option<String>, with: &str| {
        assert!(value.as_deref().unwrap_or("").starts_with(with), "{value:?}")
    };
    starts(value(&mut resp, "commandstats", "cmdstat_set"), "calls=12,usec=");
    let get = value(&mut resp, "commandstats", "cmdstat_get").expect("GET was called");
    assert!(get.starts_with("calls=24,") && get.ends_with("rejected_calls=12,failed_calls=0"), "{get}");
    let incr = value(&mut resp, "commandstats", "cmdstat_incr").expect("INCR was called");
    assert!(incr.starts_with("calls=12,") && incr.ends_with("rejected_calls=0,failed_calls=12"), "{incr}");
    starts(value(&mut resp, "commandstats", "cmdstat_client|id"), "calls=12,");
    assert_eq!(value(&mut resp, "errorstats", "errorstat_ERR").as_deref(), Some("count=36"));
    assert_eq!(value(&mut resp, "stats", "keyspace_hits").as_deref(), Some("24"));
    assert_eq!(value(&mut resp, "stats", "keyspace_misses").as_deref(), Some("24"));
    assert_eq!(value(&mut resp, "stats", "total_error_replies").as_deref(), Some("36"));
    for name in ["used_cpu_user", "used_cpu_sys"] {
        let seconds: f64 = value(&mut resp, "cpu", name).expect("it is told").parse().expect("a number");
        assert!(seconds >= 0.0);
    }
    assert!(value(&mut resp, "all", "cmdstat_set").is_some());
    assert!(value(&mut resp, "default", "cmdstat_set").is_none(), "Redis leaves it out unasked");
    assert!(value(&mut resp, "stats", "expired_keys").is_some());

    assert_eq!(resp.call(&["CONFIG", "RESETSTAT"]), Reply::ok());
    assert_eq!(value(&mut resp, "commandstats", "cmdstat_get"), None);
    assert_eq!(value(&mut resp, "errorstats", "errorstat_ERR"), None);
    assert_eq!(value(&mut resp, "stats", "keyspace_hits").as_deref(), Some("0"));
    let commands = value(&mut resp, "stats", "total_commands_processed").expect("it is told");
    assert!(commands.parse::<u64>().expect("a number") < 12, "{commands}");
}

#[test]
fn the_keyspace_section_counts_live_keys_of_the_node_or_of_the_core() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    assert_eq!(resp.call(&["INFO", "keyspace"]), Reply::bulk("# Keyspace\r\n"));
    for number in 0..30 {
        resp.call(&["SET", &format!("key{number}"), "x"]);
        resp.call(&["SET", &format!("key{number}"), "y"]);
        resp.call(&["SET", &format!("gone{number}"), "x"]);
        resp.call(&["DEL", &format!("gone{number}")]);
    }
    resp.call(&["EXPIRE", "key7", "1000"]);
    resp.call(&["EXPIRE", "key8", "1000"]);
    assert_eq!(value(&mut resp, "keyspace", "db0").as_deref(), Some("keys=30,expires=2,avg_ttl=0"));
    wait_for(&mut resp, "default", "db0", "keys=30,expires=2,avg_ttl=0");
    // What redis-cli --cluster info does: it asks who is there, and adds up what each says that it has.
    let nodes = String::from_utf8(resp.call(&["CLUSTER", "NODES"]).bytes()).expect("text");
    let mut sizes = resp.call(&["DBSIZE"]).integer();
    let others = nodes.lines().filter(|line| !line.contains("myself"));
    let mut keys = value(&mut resp, "keyspace", "db0").expect("every core has keys");
    for line in others {
        let address = line.split(' ').nth(1).and_then(|at| at.split('@').next()).expect("an address");
        let mut core = Resp::connect(address);
        sizes += core.call(&["DBSIZE"]).integer();
        keys += &value(&mut core, "keyspace", "db0").expect("every core has keys");
    }
    assert_eq!(sizes, 30);
    // It goes on to see all that there is to list, and RESET ends the rest.
    assert_eq!(resp.call(&["KEYS", "*"]).items().len(), 30);
    assert_eq!(resp.call(&["SCAN", "0", "COUNT", "1000"]).items()[1].clone().items().len(), 30);
    let others: Vec<Resp> = (0..12)
        .map(|_| {
            let mut other = kvd.resp();
            other.call(&["PING"]);
            other
        })
        .collect();
    let listed = String::from_utf8(resp.call(&["CLIENT", "LIST"]).bytes()).expect("text");
    assert_eq!(listed.lines().count(), 1 + others.len());
    assert!(resp.call(&["DBSIZE"]).integer() < 30);
    resp.call(&["RESET"]);
    assert_eq!(resp.call(&["DBSIZE"]), Reply::Integer(30));
    assert_eq!(value(&mut resp, "server", "figures_of").as_deref(), Some("node"));
    assert_eq!(keys.matches("keys=").count(), 3);
    assert_eq!(
        kvd.resp().call(&["DBSIZE"]),
        Reply::Integer(30),
        "a connection that wasn't told so sees the node"
    );
}

#[test]
fn two_runs_of_one_node_have_different_names() {
    let (_root, dir) = store_dir();
    let name = || {
        let kvd = Kvd::start(&dir, &["--shards", "1"]);
        let name = value(&mut kvd.resp(), "server", "run_id");
        assert!(kvd.stop().success());
        name.expect("it is told")
    };
    let (first, second) = (name(), name());
    assert_ne!(first, second);
    assert_eq!((first.len(), second.len()), (40, 40));
}

#[test]
fn words_and_patterns_of_any_length_are_answered_or_refused() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let is_refused =
        |reply: Reply| matches!(reply, Reply::Error(text) if text.starts_with("ERR the pattern is too long"));
    let stars = "*".repeat(1 << 20);
    assert!(is_refused(resp.call(&["COMMAND", "LIST", "FILTERBY", "PATTERN", &stars])));
    assert!(is_refused(resp.call(&["CONFIG", "GET", &stars])));
    // Each is short enough, all of them take too long.
    let class = format!("*[{}]", "x".repeat(1000));
    let many = [vec!["CONFIG", "GET"], vec![class.as_str(); 1000]].concat();
    assert!(is_refused(resp.call(&many)));
    let items = resp.call(&["CONFIG", "GET", "MAX*", "nope", "save"]).items();
    assert_eq!(
        items.iter().step_by(2).cloned().collect::<Vec<_>>(),
        ["maxclients", "maxmemory", "maxmemory-policy", "save"].map(Reply::bulk)
    );
    assert_eq!(resp.call(&["INFO", &stars]), Reply::bulk(""));
    let clusters = resp.call(&["INFO", &stars, "CLUSTER"]);
    assert_eq!(clusters, Reply::bulk("# Cluster\r\ncluster_enabled:1\r\n"));
}

#[test]
fn as_many_clients_are_promised_as_there_is_memory_for() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--memory", "32MiB", "--connections-max", "5000"]);
    let mut resp = kvd.resp();
    let promised = resp.call(&["CONFIG", "GET", "maxclients"]).items();
    assert_eq!(promised, ["maxclients", "1792"].map(Reply::bulk));
    let Reply::Bulk(clients) = resp.call(&["INFO", "clients"]) else { panic!("INFO answers a text") };
    assert!(String::from_utf8_lossy(&clients).contains("maxclients:1792\r\n"));
}
