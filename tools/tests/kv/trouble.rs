//! Servers that aren't there, aren't Pinion, or go away in the middle; command lines that make no sense.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;

use crate::common::{Server, command, finished, run, wait_until};
use crate::relay::Relay;

/// An address where nobody listens.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let address = nowhere();
    let complaint = run(command(&address).arg("ping"), b"").fails(3);
    assert!(complaint.starts_with(&format!("kv: can't reach {address}: ")), "{complaint}");
    assert!(complaint.contains("is kvd running there? -a HOST:PORT"), "{complaint}");
    assert_eq!((complaint.lines().count(), complaint.matches("kvd").count()), (1, 1), "{complaint}");
}

#[test]
fn an_address_that_is_set_to_nothing_counts_as_unset() {
    let asked = run(command("").args(["--timeout", "1s", "ping"]), b"");
    // Whoever listens on the default port, if anybody does.
    assert!(asked.code == 0 || asked.err.contains("127.0.0.1:7400"), "{}", asked.err);
}

#[test]
fn the_first_address_that_answers_is_taken() {
    let server = Server::start();
    let addresses = format!("{},{}", nowhere(), server.address());
    server.kv(["-a", &addresses, "put", "k", "v"]).ok();
    assert_eq!(server.kv(["get", "k", "-a", &addresses]).ok(), "v\n");
    let (one, two) = (nowhere(), nowhere());
    let complaint = server.kv(["-a", &format!("{one},{two}"), "ping"]).fails(3);
    assert!(complaint.contains(&format!("any of {one}, {two}")), "{complaint}");
}

#[test]
fn the_port_of_another_protocol_is_recognized() {
    let server = Server::start();
    let complaint = run(command(&server.resp_address()).arg("ping"), b"").fails(3);
    assert!(
        complaint.contains("this port speaks RESP (Redis); the binary protocol is on port "),
        "{complaint}"
    );
}

#[test]
fn a_keyspace_that_is_not_there_is_refused() {
    let server = Server::start();
    let complaint = server.line("--keyspace other get k").fails(3);
    assert!(complaint.contains("the only one is \"default\""), "{complaint}");
}

#[test]
fn a_command_line_that_makes_no_sense_has_exit_code_2() {
    let server = Server::start();
    for line in [
        "gte k",
        "put k",
        "put k v --ttl 5",
        "put k v --ttl 0s",
        "put k v --if-absent --if-version 1",
        "scan --limit x",
        "get",
        "del",
        "mget",
        "incr k x",
        "--level weak get k",
        "--timeout 0s ping",
    ] {
        let complaint = server.line(line).fails(2);
        assert!(complaint.starts_with("error: "), "{line}: {complaint}");
    }
}

#[test]
fn a_number_that_will_not_do_is_answered_by_its_flag() {
    let server = Server::start();
    for (line, told) in [
        ("put k v --ttl 0", "more than 0"),
        ("put k v --ttl 30", "write it like 30s"),
        ("put k v --ttl -5s", "write it like 500ms"),
        ("put k v --if-version -1", "whole number"),
        ("scan --limit -1", "whole number"),
        ("scan --width -1", "whole number"),
        ("ping --timeout -1s", "write it like 500ms"),
    ] {
        let complaint = server.line(line).fails(2);
        assert!(complaint.starts_with("error: invalid value") && complaint.contains(told), "{complaint}");
    }
}

#[test]
fn help_has_examples_for_the_whole_and_for_commands() {
    let server = Server::start();
    assert!(server.line("--help").ok().contains("kv put session token --ttl 30m"));
    for command in ["put", "get", "mput", "scan", "keys", "count"] {
        let help = server.kv(["help", command]).ok();
        assert!(help.contains("Examples:\n  kv "), "{help}");
    }
    assert!(server.line("--version").ok().starts_with("kv "));
}

#[test]
fn a_write_that_is_lost_on_its_way_has_an_unknown_outcome() {
    let server = Server::start();
    let relay = Relay::to(server.address());
    relay.swallow_requests();
    let complaint = run(command(&relay.address).args(["put", "k", "v"]), b"").fails(4);
    assert!(
        complaint.starts_with("kv: outcome unknown: ") && complaint.contains("read the key"),
        "{complaint}"
    );
    let complaint = run(command(&relay.address).args(["incr", "k", "--json"]), b"").fails(4);
    assert!(complaint.contains("\"exit_code\":4"), "{complaint}");
}

#[test]
fn a_read_is_tried_again_until_its_time_is_up() {
    let server = Server::start();
    let relay = Relay::to(server.address());
    relay.swallow_requests();
    let complaint = run(command(&relay.address).args(["get", "k", "--timeout", "300ms"]), b"").fails(3);
    assert!(complaint.starts_with("kv: "), "{complaint}");
}

#[test]
fn a_server_that_goes_away_in_the_middle_of_many_keys_is_told_with_their_number() {
    let server = Server::start();
    let relay = Relay::to(server.address());
    let mut command = command(&relay.address);
    command.args(["mput", "-", "--timeout", "2s"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let pairs = |from: usize| (from..from + 1000).map(|at| format!("k{at}\tv\n")).collect::<String>();
    // A few more lines, so that the thousandth doesn't wait in a buffer on the way.
    stdin.write_all((pairs(0) + "more\tv\n").as_bytes()).unwrap();
    wait_until("the first batch", || server.line("count").ok() == "1000\n");
    relay.cut();
    stdin.write_all(pairs(1000).as_bytes()).unwrap();
    drop(stdin);
    let run = finished(child.wait_with_output().unwrap());
    assert!([3, 4].contains(&run.code), "{}", run.code);
    // The cut may come between the first batch's end and its answer: then nobody knows of it.
    let is_told = run.err.contains("; 1000 keys were written before");
    assert!(is_told || run.err.contains("outcome unknown"), "{}", run.err);
}

#[test]
fn a_shell_outlives_a_server_that_goes_away_and_comes_back() {
    let server = Server::start();
    let relay = Relay::to(server.address());
    let mut command = command(&relay.address);
    command.args(["--timeout", "2s"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    writeln!(stdin, "put k v").unwrap();
    assert!(stdout.next().unwrap().unwrap().starts_with("version "));
    relay.cut();
    writeln!(stdin, "get k").unwrap();
    assert!(stderr.next().unwrap().unwrap().starts_with("kv: line 2: "));
    relay.mend();
    // What the client learnt of the server's absence may outlast it for a moment.
    let mut line = 3;
    let found = loop {
        writeln!(stdin, "exists other\nput k{line} v\nget k{line}").unwrap();
        let complaint = stderr.next().unwrap().unwrap();
        assert!(complaint.starts_with(&format!("kv: line {line}: ")), "{complaint}");
        line += 3;
        if complaint.ends_with("not found: other") {
            assert!(stdout.next().unwrap().unwrap().starts_with("version "));
            break stdout.next().unwrap().unwrap();
        }
        for _ in 0..2 {
            stderr.next().unwrap().unwrap();
        }
        assert!(line < 300, "it never comes back: {complaint}");
    };
    assert_eq!(found, "v");
    drop(stdin);
    // That the last one to fail found no key hides nothing of those before.
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(3 | 4)), "{code:?} isn't the highest of all lines");
}
