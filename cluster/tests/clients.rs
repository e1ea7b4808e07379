//! Connections as others see them: CLIENT LIST and KILL over all cores, and the ports they came to.

mod common;

use common::resp::{Reply, Resp};
use common::{DEADLINE, Kvd, store_dir};
use std::collections::BTreeSet;
use std::time::Instant;

const SHARDS: [&str; 2] = ["--shards", "3"];

fn text(reply: Reply) -> String {
    String::from_utf8(reply.bytes()).expect("it is text")
}

fn error(reply: Reply) -> String {
    match reply {
        Reply::Error(error) => error,
        other => panic!("{other:?} is no error"),
    }
}

/// A field of a line of CLIENT LIST.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let found = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn lines(resp: &mut Resp, args: &[&str]) -> Vec<String> {
    let list = text(resp.call(&[&["CLIENT", "LIST"], args].concat()));
    list.lines().map(str::to_owned).collect()
}

/// Connections until every core has one: the kernel spreads them.
fn spread(kvd: &Kvd) -> Vec<Resp> {
    let (mut all, mut cores) = (Vec::new(), BTreeSet::new());
    while cores.len() < 3 {
        let mut resp = kvd.resp();
        let id = resp.call(&["CLIENT", "ID"]).integer();
        assert_eq!(resp.call(&["CLIENT", "SETNAME", &format!("number-{id}")]), Reply::ok());
        cores.insert(id % 3);
        all.push(resp);
    }
    all
}

#[test]
fn a_list_has_the_connections_of_every_core_each_with_its_own_number() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut others = spread(&kvd);
    let mut resp = kvd.resp();
    let all = lines(&mut resp, &[]);
    assert_eq!(all.len(), others.len() + 1);
    let ids: BTreeSet<&str> = all.iter().map(|line| field(line, "id")).collect();
    assert_eq!(ids.len(), all.len());
    for line in &all {
        assert_eq!(field(line, "laddr"), kvd.resp);
        assert_eq!((field(line, "flags"), field(line, "user"), field(line, "multi")), ("N", "default", "-1"));
        let command = field(line, "cmd");
        assert_eq!(command, if field(line, "name").is_empty() { "client|list" } else { "client|setname" });
    }
    let names: Vec<&str> =
        ["id", "addr", "laddr", "fd", "name", "age", "idle", "flags", "db", "sub", "psub", "ssub"]
            .into_iter()
            .chain([
                "multi",
                "watch",
                "qbuf",
                "qbuf-free",
                "argv-mem",
                "multi-mem",
                "rbs",
                "rbp",
                "obl",
                "oll",
                "omem",
            ])
            .chain(["tot-mem", "events", "cmd", "user", "redir", "resp", "lib-name", "lib-ver"])
            .collect();
    let found: Vec<&str> = all[0].split(' ').filter_map(|field| field.split('=').next()).collect();
    assert_eq!(found, names, "the order of Redis 7");
    // Each finds itself, whichever core has it.
    for other in &mut others {
        let id = other.call(&["CLIENT", "ID"]).integer().to_string();
        let mine = text(other.call(&["CLIENT", "INFO"]));
        assert_eq!((field(&mine, "id"), field(&mine, "cmd")), (id.as_str(), "client|info"));
        let found = lines(&mut resp, &["ID", "999999", &id]);
        assert_eq!(found.len(), 1);
        assert_eq!(field(&found[0], "name"), format!("number-{id}"));
    }
    assert_eq!(lines(&mut resp, &["TYPE", "normal"]).len(), all.len());
    assert!(lines(&mut resp, &["TYPE", "pubsub"]).is_empty());
    assert_eq!(error(resp.call(&["CLIENT", "LIST", "NOPE"])), "ERR syntax error");
}

#[test]
fn more_connections_than_a_slice_are_all_listed_and_all_killed() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let mut others: Vec<Resp> = (0..700).map(|_| kvd.resp()).collect();
    for other in &mut others {
        assert_eq!(other.call(&["PING"]), Reply::Simple("PONG".to_owned()));
    }
    let mut resp = kvd.resp();
    assert_eq!(lines(&mut resp, &[]).len(), 701);
    assert_eq!(resp.call(&["CLIENT", "KILL", "MAXAGE", "100000", "SKIPME", "no"]), Reply::Integer(0));
    assert_eq!(resp.call(&["CLIENT", "KILL", "TYPE", "normal"]), Reply::Integer(700));
    for mut other in others {
        assert!(other.is_at_end());
    }
    assert_eq!(lines(&mut resp, &[]).len(), 1, "the one that asked is still there");
}

#[test]
fn kill_finds_its_client_on_any_core_and_answers_before_it_closes_its_own() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    for mut other in spread(&kvd) {
        let id = other.call(&["CLIENT", "ID"]).integer().to_string();
        let address = field(&text(other.call(&["CLIENT", "INFO"])), "addr").to_owned();
        let wrong = resp.call(&["CLIENT", "KILL", "ID", &id, "ADDR", "1.2.3.4:5"]);
        assert_eq!(wrong, Reply::Integer(0), "every condition must hold");
        let by_id = id.ends_with(['0', '2', '4', '6', '8']);
        if by_id {
            let killed = resp.call(&["CLIENT", "KILL", "ID", &id, "ADDR", &address, "USER", "default"]);
            assert_eq!(killed, Reply::Integer(1));
        } else {
            assert_eq!(resp.call(&["CLIENT", "KILL", &address]), Reply::ok());
        }
        assert!(other.is_at_end());
        assert_eq!(error(resp.call(&["CLIENT", "KILL", &address])), "ERR No such client");
    }
    assert_eq!(
        resp.call(&["CLIENT", "KILL", "LADDR", &kvd.resp]),
        Reply::Integer(0),
        "not the one that asks"
    );
    assert_eq!(resp.call(&["CLIENT", "KILL", "LADDR", &kvd.resp, "SKIPME", "no"]), Reply::Integer(1));
    assert!(resp.is_at_end());
}

#[test]
fn nothing_a_client_says_of_itself_forges_a_line_and_reset_forgets_it() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = kvd.resp();
    let forged = error(resp.call(&["CLIENT", "SETINFO", "LIB-NAME", "x\nid=1 addr=evil"]));
    assert_eq!(forged, "ERR LIB-NAME cannot contain spaces, newlines or special characters.");
    assert_eq!(resp.call(&["CLIENT", "SETINFO", "lib-name", "redis-py"]), Reply::ok());
    assert_eq!(resp.call(&["CLIENT", "SETINFO", "lib-ver", "5.0"]), Reply::ok());
    let line = text(resp.call(&["CLIENT", "INFO"]));
    assert_eq!((field(&line, "lib-name"), field(line.trim_end(), "lib-ver")), ("redis-py", "5.0"));
    assert_eq!(resp.call(&["RESET"]), Reply::Simple("RESET".to_owned()));
    let line = text(resp.call(&["CLIENT", "INFO"]));
    assert_eq!((field(&line, "lib-name"), field(line.trim_end(), "lib-ver")), ("", ""));
}

#[test]
fn a_client_at_the_wrong_port_is_told_so_in_its_own_protocol() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &SHARDS);
    let mut resp = Resp::connect(&kvd.kv);
    let port = |address: &str| address.rsplit(':').next().expect("it has a port").to_owned();
    let told = error(resp.call(&["GET", "key"]));
    let resp_port = port(&kvd.resp);
    assert_eq!(
        told,
        format!("ERR this port speaks Pinion's binary protocol; RESP (Redis) is on port {resp_port}")
    );
    assert!(resp.is_at_end());
    let options = pinion_net::client::Options {
        timeout: DEADLINE,
        connect_timeout: DEADLINE,
        ..pinion_net::client::Options::default()
    };
    let refused = pinion_net::client::BlockingClient::connect([kvd.resp.clone()], options);
    let told = refused.expect_err("RESP is spoken there").to_string();
    let kv_port = port(&kvd.kv);
    assert!(told.contains(&format!("the binary protocol is on port {kv_port}")), "{told}");
}

#[test]
fn http_gets_no_answer_on_either_port_and_the_log_says_why() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "PUT /x HTTP/1.1\r\n\r\n"]
    {
        for address in [&kvd.resp, &kvd.kv] {
            let mut resp = Resp::connect(address);
            resp.send_bytes(request.as_bytes());
            assert!(resp.is_at_end(), "{request:?} at {address}");
        }
    }
    let until = Instant::now() + DEADLINE;
    while !kvd.log().contains("Possible SECURITY ATTACK detected") {
        assert!(Instant::now() < until, "{}", kvd.log());
    }
    assert_eq!(kvd.log().matches("SECURITY ATTACK").count(), 1, "once a minute and core");
}

#[test]
fn a_node_on_every_address_tells_the_one_that_was_reached() {
    for (listen, hosts) in [("0.0.0.0:0", &["127.0.0.1", "127.0.0.9"][..]), ("[::]:0", &["::1"])] {
        let (_root, dir) = store_dir();
        let kvd = Kvd::start(&dir, &["--shards", "2", "--resp-listen", listen, "--insecure"]);
        let port = kvd.resp.rsplit(':').next().expect("it has a port").to_owned();
        for &host in hosts {
            let address =
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            let mut resp = Resp::connect(&address);
            for run in resp.call(&["CLUSTER", "SLOTS"]).items() {
                let node = run.items().swap_remove(2).items();
                assert_eq!(node[0], Reply::bulk(host), "{address}");
            }
            let nodes = text(resp.call(&["CLUSTER", "NODES"]));
            let is_told =
                |line: &str| line.split(' ').nth(1).is_some_and(|at| at.starts_with(&format!("{host}:")));
            assert!(nodes.lines().all(is_told), "{nodes}");
            assert!(text(resp.call(&["CLIENT", "INFO"])).contains(&format!(" laddr={address} ")));
        }
    }
}
