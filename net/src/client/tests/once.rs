//! Writes that are sent again, because their server does them once however often they come.

use std::time::Duration;

use super::super::{Error, Options, Put, Written};
use super::server::{Asked, Conn, Server, soon};
use super::unavailable::next;
use crate::wire::{ErrorCode, Features, Flags, Level, Once, Opcode, Responder, ServerHello};

pub(super) const SERVER_US: u64 = 1_790_000_000_000_000;

/// A server that does writes once.
pub(super) async fn start() -> Server {
    let mut server = Server::start().await;
    server.hello = ServerHello { features: Features::ONCE, server_us: SERVER_US, ..server.hello };
    server
}

/// The same options for less time.
pub(super) fn within(ms: u64) -> Options {
    Options { timeout: Duration::from_millis(ms), ..Options::default() }
}

pub(super) async fn done(conn: &mut Conn, asked: &Asked, version: u64) {
    conn.answer(asked, |to, out| to.written(out, version, None)).await;
}

pub(super) async fn unknown(conn: &mut Conn, asked: &Asked, code: ErrorCode) {
    conn.answer(asked, |to, out| to.unknown(out, code, "perhaps")).await;
}

pub(super) async fn refused(conn: &mut Conn, asked: &Asked, code: ErrorCode) {
    conn.answer(asked, |to, out| to.refused(out, code, "no")).await;
}

/// What it should carry when it is sent again.
fn again(first: &Asked) -> Option<Once> {
    first.once.map(|once| Once { is_again: true, ..once })
}

fn perhaps(code: ErrorCode) -> Error {
    Error::unknown(code, "perhaps")
}

#[tokio::test]
async fn after_a_broken_connection_a_write_is_sent_again_as_the_same() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let first = conn.next().await;
        drop(conn);
        let mut conn = server.accept().await;
        let second = conn.next().await;
        done(&mut conn, &second, 7).await;
        (first, second)
    };
    let (put, (first, second)) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert_eq!(put, Ok(7));
    let once = first.once.unwrap();
    assert_eq!((once.number, once.lowest, once.is_again), (1, 1, false));
    assert!((SERVER_US..SERVER_US + 20_000_000).contains(&once.first_sent_us), "{once:?}");
    assert_eq!(second.once, again(&first));
    assert_eq!(second.value, first.value);
}

#[tokio::test]
async fn a_client_says_the_same_id_on_every_connection_and_another_client_another() {
    let server = start().await;
    let said = async || {
        let mut conn = server.accept_silently().await;
        let asked = conn.next().await;
        conn.greet(&asked, &server.hello).await;
        assert!(Features(asked.header.argument.get()).has(Features::ONCE));
        (asked.value[asked.value.len() - 16..].to_vec(), conn)
    };
    let connect = || super::super::Client::connect([server.address()], Options::default());
    let (client, (id, mut conn)) = soon(async { tokio::join!(connect(), said()) }).await;
    let serve = async {
        conn.next().await;
        drop(conn);
        let (id, mut conn) = said().await;
        let asked = conn.next().await;
        conn.value(&asked, b"v").await;
        id
    };
    let client = client.unwrap();
    let (_, same) = soon(async { tokio::join!(client.get("k"), serve) }).await;
    assert_eq!(id, same);
    let (_other, (other, _conn)) = soon(async { tokio::join!(connect(), said()) }).await;
    assert_ne!(id, other);
}

#[tokio::test]
async fn the_lowest_open_number_rises_with_the_outcomes_that_are_known() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let (a, b) = (tokio::spawn(put(&client, "a")), conn.next().await);
    assert_eq!(numbers(&b), (1, 1));
    let c = tokio::spawn(put(&client, "c"));
    let d = conn.next().await;
    assert_eq!(numbers(&d), (2, 1));
    done(&mut conn, &b, 1).await;
    assert_eq!(soon(a).await.unwrap(), Ok(1));
    let e = tokio::spawn(put(&client, "e"));
    let f = conn.next().await;
    assert_eq!(numbers(&f), (3, 2));
    done(&mut conn, &d, 2).await;
    done(&mut conn, &f, 3).await;
    assert_eq!((soon(c).await.unwrap(), soon(e).await.unwrap()), (Ok(2), Ok(3)));
}

fn put(client: &super::super::Client, key: &'static str) -> impl Future<Output = Result<u64, Error>> + use<> {
    let client = client.clone();
    async move { client.put(key, "v").await }
}

fn numbers(asked: &Asked) -> (u64, u64) {
    let once = asked.once.unwrap();
    (once.number, once.lowest)
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_closes_its_number() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    tokio::select! {
        _ = client.put("dropped", "v") => unreachable!("nobody answers it"),
        asked = conn.next() => assert_eq!(numbers(&asked), (1, 1)),
    }
    let serve = async {
        let asked = conn.next().await;
        done(&mut conn, &asked, 2).await;
        numbers(&asked)
    };
    let (_, numbers) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert_eq!(numbers, (2, 2));
}

/// What comes of a put that is answered so, one answer after the other, and what the last request carried beside the first.
async fn put_answered(options: Options, answers: &[(bool, ErrorCode)]) -> (Result<Written, Error>, bool) {
    let server = start().await;
    let (client, mut conn) = server.client(options).await;
    let serve = async {
        let mut first: Option<Asked> = None;
        let mut is_same = true;
        for (is_unknown, code) in answers {
            let asked = next(&mut conn, &server).await;
            is_same &= first.as_ref().is_none_or(|first| again(first) == asked.once);
            if *is_unknown {
                unknown(&mut conn, &asked, *code).await;
            } else {
                refused(&mut conn, &asked, *code).await;
            }
            first.get_or_insert(asked);
        }
        let last = next(&mut conn, &server).await;
        is_same &= again(&first.unwrap()) == last.once;
        // A read says that the put has ended before.
        match last.opcode() {
            Opcode::Get => conn.value(&last, b"v").await,
            _ => done(&mut conn, &last, 7).await,
        }
        is_same
    };
    let requests = async {
        let put = client.put_with("k", "v", Put::default()).await;
        if put.is_err() {
            client.get("k").await.unwrap();
        }
        put
    };
    soon(async { tokio::join!(requests, serve) }).await
}

const DONE: Result<Written, Error> = Ok(Written::Done { version: 7, old: None });

#[tokio::test]
async fn what_the_server_does_not_know_the_outcome_of_is_sent_again() {
    for code in [ErrorCode::LOG_FAILED, ErrorCode::TIMED_OUT, ErrorCode::UNAVAILABLE, ErrorCode::PARTIAL] {
        assert_eq!(put_answered(Options::default(), &[(true, code), (true, code)]).await, (DONE, true));
    }
}

#[tokio::test]
async fn a_refusal_after_an_unknown_outcome_leaves_it_unknown() {
    let answers = [(true, ErrorCode::LOG_FAILED), (true, ErrorCode::TIMED_OUT), (false, ErrorCode::LIMIT)];
    let (put, _) = put_answered(Options::default(), &answers).await;
    assert_eq!(put, Err(perhaps(ErrorCode::LOG_FAILED)));
}

#[tokio::test]
async fn a_refusal_for_a_moment_after_an_unknown_outcome_is_tried_again() {
    let answers = [(true, ErrorCode::LOG_FAILED), (false, ErrorCode::BUSY), (false, ErrorCode::CLOCK)];
    assert_eq!(put_answered(Options::default(), &answers).await, (DONE, true));
    // Without one before it comes at once.
    let (put, _) = put_answered(Options::default(), &[(false, ErrorCode::BUSY)]).await;
    assert_eq!(put, Err(Error::refused(ErrorCode::BUSY, "no")));
}

#[tokio::test]
async fn a_verdict_after_an_unknown_outcome_is_certain() {
    for code in [ErrorCode::NOT_AN_INTEGER, ErrorCode::OVERFLOW] {
        let answers = [(true, ErrorCode::LOG_FAILED), (false, code)];
        let (put, _) = put_answered(Options::default(), &answers).await;
        assert_eq!(put, Err(Error::refused(code, "no")));
    }
}

#[tokio::test]
async fn what_is_forgotten_is_not_sent_again() {
    let forgotten = (true, ErrorCode::FORGOTTEN);
    for answers in [&[forgotten][..], &[(true, ErrorCode::LOG_FAILED), forgotten]] {
        let (put, _) = put_answered(Options::default(), answers).await;
        assert_eq!(put, Err(perhaps(ErrorCode::FORGOTTEN)));
    }
}

#[tokio::test]
async fn what_nobody_answers_after_an_unknown_outcome_stays_unknown() {
    let server = start().await;
    let (client, mut conn) = server.client(within(200)).await;
    let serve = async {
        let asked = conn.next().await;
        unknown(&mut conn, &asked, ErrorCode::LOG_FAILED).await;
        conn.next().await;
    };
    let (put, ()) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert_eq!(put, Err(perhaps(ErrorCode::LOG_FAILED)));
    // And where nobody is there any more.
    let serve = async {
        let asked = loop {
            let asked = conn.next().await;
            if asked.once.is_some_and(|once| once.number == 2) {
                break asked;
            }
        };
        unknown(&mut conn, &asked, ErrorCode::LOG_FAILED).await;
        drop((conn, server));
    };
    let (put, ()) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert_eq!(put, Err(perhaps(ErrorCode::LOG_FAILED)));
}

#[tokio::test]
async fn what_a_goodbye_left_out_was_not_sent_before() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let first = conn.next().await;
        let mut notice = Vec::new();
        Responder::notice().refused(&mut notice, ErrorCode::SHUTTING_DOWN, "");
        conn.write(&notice).await;
        drop(conn);
        let mut conn = server.accept().await;
        let second = conn.next().await;
        done(&mut conn, &second, 7).await;
        (first.once.unwrap(), second.once.unwrap())
    };
    let (put, (first, second)) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert_eq!(put, Ok(7));
    assert_eq!((second.number, second.is_again), (first.number, false));
}

#[tokio::test]
async fn nothing_is_sent_again_to_a_server_that_would_do_it_again() {
    let mut server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    server.hello.features = Features::NONE;
    let serve = async {
        let first = conn.next().await;
        drop(conn);
        let mut conn = server.accept().await;
        let asked = conn.next().await;
        conn.value(&asked, b"v").await;
        // What comes now has no number, and isn't repeated even if the next server knew what to do with one.
        let third = conn.next().await;
        server.hello.features = Features::ONCE;
        drop(conn);
        let mut conn = server.accept().await;
        let fourth = conn.next().await;
        conn.value(&fourth, b"v").await;
        [first, asked, third, fourth].map(|asked| (asked.opcode(), asked.once.is_some()))
    };
    let requests = async {
        let mut puts = Vec::new();
        for _ in 0..2 {
            puts.push(client.put("k", "v").await);
            client.get("k").await.unwrap();
        }
        puts
    };
    let (puts, asked) = soon(async { tokio::join!(requests, serve) }).await;
    for put in puts {
        assert!(matches!(put, Err(Error::Unknown { code: ErrorCode::CONNECTION_LOST, .. })), "{put:?}");
    }
    let expected = [(Opcode::Put, true), (Opcode::Get, false), (Opcode::Put, false), (Opcode::Get, false)];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_time_ahead_of_the_servers_clock_is_taken_anew_from_another_hello() {
    for follow_map in [true, false] {
        let mut server = start().await;
        let (client, mut conn) = server.client(Options { follow_map, ..Options::default() }).await;
        server.hello.server_us = SERVER_US / 2;
        let serve = async {
            loop {
                let asked = next(&mut conn, &server).await;
                let once = asked.once.unwrap();
                assert_eq!((once.number, once.is_again), (1, false));
                if once.first_sent_us < SERVER_US {
                    done(&mut conn, &asked, 7).await;
                    return once.first_sent_us;
                }
                refused(&mut conn, &asked, ErrorCode::CLOCK).await;
            }
        };
        let (put, first_sent_us) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
        assert_eq!(put, Ok(7));
        assert!((SERVER_US / 2..SERVER_US / 2 + 20_000_000).contains(&first_sent_us), "{first_sent_us}");
    }
}

#[tokio::test]
async fn only_writes_at_levels_that_are_exactly_once_have_a_number() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let levels = [
        (Level::Eventual, false),
        (Level::Session, false),
        (Level::Default, true),
        (Level::Strong, true),
        (Level::All, true),
    ];
    for (level, is_numbered) in levels {
        let client = client.with_level(level);
        let serve = async {
            let read = conn.next().await;
            conn.value(&read, b"v").await;
            let write = conn.next().await;
            unknown(&mut conn, &write, ErrorCode::FORGOTTEN).await;
            (read, write)
        };
        let requests = async { (client.get("k").await, client.put("k", "v").await) };
        let ((_, put), (read, write)) = soon(async { tokio::join!(requests, serve) }).await;
        assert_eq!(put, Err(perhaps(ErrorCode::FORGOTTEN)));
        assert_eq!((read.once, write.once.is_some()), (None, is_numbered));
    }
    // And without one, nothing of unknown outcome is sent again.
    let client = client.with_level(Level::Eventual);
    let serve = async {
        let write = conn.next().await;
        unknown(&mut conn, &write, ErrorCode::LOG_FAILED).await;
    };
    let (put, ()) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
    assert_eq!(put, Err(perhaps(ErrorCode::LOG_FAILED)));
}

#[tokio::test]
async fn without_the_option_or_the_servers_time_writes_have_no_number() {
    for (once, server_us) in [(false, SERVER_US), (true, 0)] {
        let mut server = start().await;
        server.hello.server_us = server_us;
        let (client, mut conn) = server.client(Options { once, ..Options::default() }).await;
        let serve = async {
            let write = conn.next().await;
            unknown(&mut conn, &write, ErrorCode::LOG_FAILED).await;
            Flags(write.header.flags.get()).has(Flags::ONCE)
        };
        let (put, is_numbered) = soon(async { tokio::join!(client.put("k", "v"), serve) }).await;
        assert_eq!((put, is_numbered), (Err(perhaps(ErrorCode::LOG_FAILED)), false));
    }
}
