//! What becomes of requests for partitions that nobody can answer for.

use std::time::Duration;

use super::super::{Batch, Error, Options};
use super::server::{Asked, Conn, Server, soon};
use crate::slot::Slot;
use crate::wire::{ErrorCode, Opcode, ValueRef};

const NOBODY: ErrorCode = ErrorCode::UNAVAILABLE;

/// The next request that isn't for the map: that is answered.
pub(super) async fn next(conn: &mut Conn, server: &Server) -> Asked {
    loop {
        let asked = conn.next().await;
        if asked.opcode() != Opcode::Hello {
            return asked;
        }
        conn.greet(&asked, &server.hello).await;
    }
}

/// The next request, once the map was asked for, too.
async fn next_beside_the_map(conn: &mut Conn, server: &Server) -> Asked {
    let (mut request, mut map) = (None, None);
    while request.is_none() || map.is_none() {
        let asked = conn.next().await;
        if asked.opcode() == Opcode::Hello {
            conn.greet(&asked, &server.hello).await;
            map = Some(());
        } else {
            request = Some(asked);
        }
    }
    request.unwrap()
}

#[tokio::test]
async fn what_was_certainly_not_applied_is_tried_again_after_a_pause() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        for _ in 0..3 {
            let asked = next(&mut conn, &server).await;
            conn.answer(&asked, |to, out| to.refused(out, NOBODY, "no leader")).await;
        }
        let asked = next(&mut conn, &server).await;
        conn.answer(&asked, |to, out| to.written(out, 7, None)).await;
        let asked = next(&mut conn, &server).await;
        conn.answer(&asked, |to, out| to.refused(out, NOBODY, "no leader")).await;
        let asked = next(&mut conn, &server).await;
        conn.value(&asked, b"v").await;
    };
    let requests = async { (client.put("k", "v").await, client.get("k").await) };
    let ((put, get), ()) = soon(async { tokio::join!(requests, serve) }).await;
    assert_eq!((put, get.unwrap().unwrap().bytes), (Ok(7), b"v".to_vec()));
}

#[tokio::test]
async fn what_stays_refused_to_its_deadline_was_not_applied() {
    let server = Server::start().await;
    let options = Options { timeout: Duration::from_millis(100), ..Options::default() };
    let (client, mut conn) = server.client(options).await;
    let serve = async {
        loop {
            let asked = next(&mut conn, &server).await;
            conn.answer(&asked, |to, out| to.refused(out, NOBODY, "no leader")).await;
        }
    };
    let put = soon(async {
        tokio::select! { put = client.put("k", "v") => put, () = serve => unreachable!("it serves for ever") }
    });
    assert_eq!(put.await, Err(Error::refused(NOBODY, "no leader")));
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_told_so_and_never_sent_again() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let asked = next(&mut conn, &server).await;
        conn.answer(&asked, |to, out| to.unknown(out, NOBODY, "the leader is gone")).await;
        next(&mut conn, &server).await.opcode()
    };
    let requests = async {
        let put = client.put("k", "v").await;
        let _ = client.with_timeout(Duration::from_millis(20)).get("k").await;
        put
    };
    let (put, then) = soon(async { tokio::join!(requests, serve) }).await;
    assert_eq!(put, Err(Error::unknown(NOBODY, "the leader is gone")));
    assert_eq!(then, Opcode::Get);
}

#[tokio::test]
async fn of_a_batch_only_what_was_certainly_not_applied_is_sent_again() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let keys: Vec<String> = (0..20).map(|number| format!("key{number}")).collect();
    let partition_of = |key: &String| Slot::of(key.as_bytes()).partition(4);
    let mut batch = Batch::new();
    keys.iter().for_each(|key| {
        batch.put(key, "value").unwrap();
    });
    let refused = keys.iter().filter(|key| partition_of(key) == 1).count();
    let serve = async {
        let asked = next(&mut conn, &server).await;
        conn.answer(&asked, |to, out| {
            let mut outcomes = to.outcomes(out);
            outcomes.done(out, 0, 11);
            outcomes.refused(out, 1, NOBODY, "no leader");
            outcomes.unknown(out, 2, NOBODY, "the leader is gone");
            outcomes.done(out, 3, 13);
            outcomes.finish(out);
        })
        .await;
        let asked = next_beside_the_map(&mut conn, &server).await;
        conn.answer(&asked, |to, out| {
            let mut outcomes = to.outcomes(out);
            outcomes.done(out, 1, 12);
            outcomes.finish(out);
        })
        .await;
        asked.header.argument.get() as usize
    };
    let (each, sent_again) = soon(async { tokio::join!(client.write_each(&batch), serve) }).await;
    assert_eq!(sent_again, refused);
    for (key, result) in keys.iter().zip(each.unwrap()) {
        match partition_of(key) {
            0 => assert_eq!(result, Ok(11)),
            1 => assert_eq!(result, Ok(12)),
            2 => assert_eq!(result, Err(Error::unknown(NOBODY, "the leader is gone"))),
            _ => assert_eq!(result, Ok(13)),
        }
    }
}

#[tokio::test]
async fn of_many_keys_those_that_nobody_could_answer_for_are_asked_for_again() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        for expected in [2, 1] {
            let asked = match expected {
                2 => next(&mut conn, &server).await,
                _ => next_beside_the_map(&mut conn, &server).await,
            };
            assert_eq!(asked.header.argument.get(), expected);
            conn.answer(&asked, |to, out| {
                let mut results = to.results(out, expected as usize, 1);
                if expected == 2 {
                    results.push_refused(out, NOBODY, "no leader");
                }
                let bytes = expected.to_string();
                results.push(out, Some(ValueRef { bytes: bytes.as_bytes(), version: 1, expiry: 0 }));
                results.finish(out);
            })
            .await;
        }
    };
    let (values, ()) = soon(async { tokio::join!(client.get_many(&["a", "b"]), serve) }).await;
    let values: Vec<_> = values.unwrap().into_iter().map(|value| value.unwrap().bytes).collect();
    assert_eq!(values, [b"1", b"2"]);
}
