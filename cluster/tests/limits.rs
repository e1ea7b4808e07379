//! Strangers take no more than is theirs: connections, and with them open files.

mod common;

use common::resp::{Reply, Resp};
use common::{Kvd, command, store_dir, wait_until};
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

#[test]
fn idle_http_connections_leave_the_log_and_the_tables_their_files() {
    const FILES: usize = 1024;
    let (_root, dir) = store_dir();
    let plain = command(&dir);
    let mut limited = Command::new("sh");
    limited.env_clear().arg("-c").arg(format!("ulimit -n {FILES}; exec \"$@\"")).arg("sh");
    limited.arg(plain.get_program()).args(plain.get_args()).args(["--shards", "1"]);
    let kvd = Kvd::run(&mut limited, dir.with_extension("log"));
    let before = open_files(kvd.pid());
    let idle: Vec<TcpStream> = (0..FILES)
        .map(|_| {
            let mut stream = TcpStream::connect(&kvd.admin).unwrap();
            stream.write_all(b"GET /").unwrap();
            stream
        })
        .collect();
    // Behind all of them.
    assert!(kvd.http("/ready").starts_with("HTTP/1.1 200"));
    let now = open_files(kvd.pid());
    assert!(now < before + 100, "{now} files are open, {before} were");
    assert_eq!(kvd.resp().call(&["SET", "a", "1"]), Reply::ok());
    drop(idle);
    wait_until("they are given back", || open_files(kvd.pid()) <= before + 4);
    assert_eq!(kvd.stop().code(), Some(0));
}

/// A connection that was admitted, or what it was told instead.
fn admitted(address: &str) -> Result<Resp, Reply> {
    let mut resp = Resp::connect(address);
    // Who is turned away may be so before it has sent anything.
    let _ = resp.try_send(b"PING\r\n");
    match resp.reply() {
        Reply::Simple(_) => Ok(resp),
        other => Err(other),
    }
}

#[test]
fn the_limit_on_connections_is_the_nodes_however_they_spread_over_its_cores() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "3", "--connections-max", "4"]);
    let mut seated: Vec<Resp> =
        (0..4).map(|_| admitted(&kvd.resp).unwrap_or_else(|told| panic!("{told:?}"))).collect();
    for _ in 0..8 {
        let told = admitted(&kvd.resp).err();
        assert_eq!(told, Some(Reply::Error("ERR max number of clients reached".to_owned())));
    }
    seated.pop();
    wait_until("a seat that came free is taken", || {
        admitted(&kvd.resp).map(|resp| seated.push(resp)).is_ok()
    });
    assert!(admitted(&kvd.resp).is_err());
}
