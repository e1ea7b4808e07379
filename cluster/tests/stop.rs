//! A stop answers what was taken in, to clients that take their answers, and ends in any case.

mod common;

use common::resp::{Reply, encode};
use common::{Kvd, store_dir, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const BIG: usize = 16 << 20;

/// A server that has a large value.
fn serve(arguments: &[&str]) -> (tempfile::TempDir, Kvd) {
    let (root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &[&["--shards", "2", "--memory", "512MB"], arguments].concat());
    let value = vec![b'v'; BIG];
    assert_eq!(kvd.resp().call(&[b"SET", b"big", value.as_slice()]), Reply::ok());
    (root, kvd)
}

/// A connection that has asked, and has got the first bytes of the answer.
fn ask(kvd: &Kvd, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&kvd.resp).expect("kvd answers");
    stream.set_read_timeout(Some(common::DEADLINE)).expect("kvd answers");
    stream.write_all(request).expect("kvd answers");
    stream.read_exact(&mut [0; 11]).expect("kvd answers");
    stream
}

/// Takes what comes, slowly, until the server has closed the connection. How many bytes that were.
fn read_slowly(mut stream: TcpStream) -> usize {
    let mut piece = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return bytes,
            Ok(count) => bytes += count,
            Err(error) => panic!("{error} after {bytes} bytes"),
        }
        std::thread::park_timeout(Duration::from_millis(3));
    }
}

/// Bytes of an answer to GET of the large value, behind its first eleven.
const REST: usize = BIG + 2;

#[test]
fn a_client_that_reads_slowly_gets_its_whole_answer_although_the_node_stops() {
    let (_root, mut kvd) = serve(&["--drain-timeout", "60"]);
    let stream = ask(&kvd, b"GET big\r\n");
    kvd.signal("TERM");
    wait_until("nobody listens any more", || TcpStream::connect(&kvd.resp).is_err());
    assert_eq!(read_slowly(stream), REST);
    wait_until("it ends", || kvd.ended().is_some());
    assert_eq!(kvd.ended().and_then(|status| status.code()), Some(0), "{}", kvd.log());
}

#[test]
fn requests_that_were_not_taken_in_cost_no_answer_that_was_under_way() {
    let (_root, kvd) = serve(&["--drain-timeout", "60"]);
    // More than are taken in at once: the rest is unread when the node stops.
    let mut request = b"GET big\r\n".to_vec();
    request.extend(b"ECHO a\r\n".repeat(20_000));
    let stream = ask(&kvd, &request);
    kvd.signal("TERM");
    wait_until("nobody listens any more", || TcpStream::connect(&kvd.resp).is_err());
    let bytes = read_slowly(stream);
    assert!(bytes >= REST && (bytes - REST).is_multiple_of(7), "{bytes} bytes: a part of an answer");
    assert_eq!(kvd.stop().code(), Some(0));
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_when_its_time_is_over() {
    let (_root, kvd) = serve(&["--drain-timeout", "1"]);
    let mut stream = ask(&kvd, b"GET big\r\n");
    let log = kvd.log_path();
    assert_eq!(kvd.stop().code(), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(
        log.contains("haven't taken their answers within --drain-timeout are cut off, 1 of them"),
        "{log}"
    );
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => assert!(rest.len() < REST),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_stop_waits_for_no_client_that_asks_nothing() {
    let (_root, kvd) = serve(&["--drain-timeout", "3600"]);
    let mut idle = kvd.resp();
    assert_eq!(idle.call(&["PING"]), Reply::Simple("PONG".to_owned()));
    assert_eq!(kvd.stop().code(), Some(0));
    assert!(idle.is_at_end());
}

#[test]
fn a_long_command_ends_between_two_runs_and_says_how_far_it_came() {
    const ARGS: usize = 200_000;
    let (_root, dir) = store_dir();
    let mut kvd = Kvd::start(&dir, &["--shards", "2", "--drain-timeout", "3600"]);
    let mut resp = kvd.resp();
    let (mut sender, exists) = (resp.try_clone(), encode(&[vec!["EXISTS"], vec!["k"; ARGS]].concat()));
    // One after the other, until the node goes: one of them is under way when it is told to.
    let sends = std::thread::spawn(move || while sender.try_send(&exists).is_ok() {});
    assert_eq!(resp.reply(), Reply::Integer(0));
    kvd.signal("TERM");
    let last = std::iter::from_fn(|| resp.try_reply().ok()).find(|reply| *reply != Reply::Integer(0));
    let Some(Reply::Error(text)) = last else { panic!("{last:?}") };
    let told = text.strip_prefix(&format!("ERR the server is shutting down; of {ARGS} arguments the first "));
    let done = told.and_then(|told| told.strip_suffix(" are done")).expect("it says how far it came");
    assert_eq!(done.parse::<usize>().expect("a number") % 4096, 0, "whole runs are done");
    assert!(resp.is_at_end());
    sends.join().expect("the node has closed the connection");
    wait_until("it ends", || kvd.ended().is_some());
}

#[test]
fn a_long_reply_that_nobody_reads_on_keeps_no_node_from_its_end() {
    let (_root, mut kvd) = serve(&["--drain-timeout", "3600"]);
    assert_eq!(kvd.resp().call(&["SET", "large", &"v".repeat(100 << 10)]), Reply::ok());
    let stream = ask(&kvd, &encode(&[vec!["MGET"], vec!["large"; 10_000]].concat()));
    kvd.signal("TERM");
    wait_until("nobody listens any more", || TcpStream::connect(&kvd.resp).is_err());
    // What had been asked for comes to its end; what hadn't, doesn't.
    assert!(read_slowly(stream) < 5000 * (100 << 10));
    wait_until("it ends", || kvd.ended().is_some());
    assert!(!kvd.log().contains("are cut off"), "{}", kvd.log());
}
