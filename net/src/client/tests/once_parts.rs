//! Batches and clears that are sent again, because their server does them once in each partition.

use super::super::{Batch, Error, Options};
use super::once::{SERVER_US, done, refused, start, unknown};
use super::server::{Asked, Conn, soon};
use super::unavailable::next;
use crate::slot::Slot;
use crate::wire::{ErrorCode, Once, Opcode, OutcomesEncoder};

fn partition_of(key: &str) -> u16 {
    Slot::of(key.as_bytes()).partition(4)
}

fn keys() -> Vec<String> {
    (0..20).map(|number| format!("key{number}")).collect()
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    for key in keys() {
        batch.put(key, "value").unwrap();
    }
    batch
}

async fn outcomes(conn: &mut Conn, asked: &Asked, tell: impl FnOnce(&mut OutcomesEncoder, &mut Vec<u8>)) {
    conn.answer(asked, |to, out| {
        let mut outcomes = to.outcomes(out);
        tell(&mut outcomes, out);
        outcomes.finish(out);
    })
    .await;
}

/// How many keys lie in these partitions.
fn count(partitions: &[u16]) -> u64 {
    keys().iter().filter(|key| partitions.contains(&partition_of(key))).count() as u64
}

#[tokio::test]
async fn of_a_batch_what_may_have_been_done_is_sent_again_under_its_number() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let first = next(&mut conn, &server).await;
        outcomes(&mut conn, &first, |to, out| {
            to.done(out, 0, 10);
            to.refused(out, 1, ErrorCode::UNAVAILABLE, "no leader");
            to.unknown(out, 2, ErrorCode::LOG_FAILED, "torn");
            to.unknown(out, 3, ErrorCode::FORGOTTEN, "long ago");
        })
        .await;
        let second = next(&mut conn, &server).await;
        outcomes(&mut conn, &second, |to, out| {
            to.refused(out, 1, ErrorCode::LIMIT, "full");
            to.unknown(out, 2, ErrorCode::TIMED_OUT, "late");
        })
        .await;
        let third = next(&mut conn, &server).await;
        outcomes(&mut conn, &third, |to, out| to.done(out, 2, 12)).await;
        [first, second, third]
    };
    let batch = batch();
    let (each, asked) = soon(async { tokio::join!(client.write_each(&batch), serve) }).await;
    let sent = asked.clone().map(|asked| asked.header.argument.get());
    assert_eq!(sent, [count(&[0, 1, 2, 3]), count(&[1, 2]), count(&[2])]);
    let first = asked[0].once.unwrap();
    assert!(first.first_sent_us >= SERVER_US && !first.is_again);
    for again in &asked[1..] {
        assert_eq!(again.once, Some(Once { is_again: true, ..first }));
    }
    for (key, result) in keys().iter().zip(each.unwrap()) {
        match partition_of(key) {
            0 => assert_eq!(result, Ok(10)),
            1 => assert_eq!(result, Err(Error::refused(ErrorCode::LIMIT, "full"))),
            2 => assert_eq!(result, Ok(12)),
            _ => assert_eq!(result, Err(Error::unknown(ErrorCode::FORGOTTEN, "long ago"))),
        }
    }
}

#[tokio::test]
async fn of_a_batch_what_is_refused_after_it_may_have_been_done_stays_unknown() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let first = next(&mut conn, &server).await;
        outcomes(&mut conn, &first, |to, out| {
            to.done(out, 0, 10);
            to.refused(out, 1, ErrorCode::LIMIT, "full");
            to.unknown(out, 2, ErrorCode::LOG_FAILED, "torn");
            to.done(out, 3, 13);
        })
        .await;
        let second = next(&mut conn, &server).await;
        outcomes(&mut conn, &second, |to, out| to.refused(out, 2, ErrorCode::LIMIT, "full")).await;
    };
    let batch = batch();
    let (each, ()) = soon(async { tokio::join!(client.write_each(&batch), serve) }).await;
    for (key, result) in keys().iter().zip(each.unwrap()) {
        match partition_of(key) {
            1 => assert_eq!(result, Err(Error::refused(ErrorCode::LIMIT, "full"))),
            2 => assert_eq!(result, Err(Error::unknown(ErrorCode::LOG_FAILED, "torn"))),
            _ => assert!(result.is_ok(), "{result:?}"),
        }
    }
}

#[tokio::test]
async fn after_a_broken_connection_a_batch_is_sent_again_and_a_refusal_of_a_part_says_nothing() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let first = next(&mut conn, &server).await;
        drop(conn);
        let mut conn = server.accept().await;
        let second = next(&mut conn, &server).await;
        outcomes(&mut conn, &second, |to, out| {
            (0..3).for_each(|partition| to.done(out, partition, 7));
            to.refused(out, 3, ErrorCode::LIMIT, "full");
        })
        .await;
        (first, second)
    };
    let batch = batch();
    let (each, (first, second)) = soon(async { tokio::join!(client.write_each(&batch), serve) }).await;
    assert_eq!(second.once, first.once.map(|once| Once { is_again: true, ..once }));
    assert_eq!(second.value, first.value);
    for (key, result) in keys().iter().zip(each.unwrap()) {
        match partition_of(key) {
            3 => {
                let is_lost = matches!(&result, Err(Error::Unknown { code: ErrorCode::CONNECTION_LOST, .. }));
                assert!(is_lost, "{result:?}");
            }
            _ => assert_eq!(result, Ok(7)),
        }
    }
}

#[tokio::test]
async fn a_part_that_was_only_refused_is_not_unknown_because_of_another() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        for code in [ErrorCode::UNAVAILABLE, ErrorCode::LIMIT] {
            let asked = next(&mut conn, &server).await;
            outcomes(&mut conn, &asked, |to, out| {
                [0, 2, 3]
                    .into_iter()
                    .for_each(|partition| to.unknown(out, partition, ErrorCode::LOG_FAILED, ""));
                to.refused(out, 1, code, "no");
            })
            .await;
        }
        let asked = next(&mut conn, &server).await;
        outcomes(&mut conn, &asked, |to, out| {
            [0, 2, 3].into_iter().for_each(|partition| to.done(out, partition, 7));
        })
        .await;
    };
    let batch = batch();
    let (each, ()) = soon(async { tokio::join!(client.write_each(&batch), serve) }).await;
    for (key, result) in keys().iter().zip(each.unwrap()) {
        match partition_of(key) {
            1 => assert_eq!(result, Err(Error::refused(ErrorCode::LIMIT, "no"))),
            _ => assert_eq!(result, Ok(7)),
        }
    }
}

#[tokio::test]
async fn a_clear_that_is_partly_done_is_sent_again() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let first = conn.next().await;
        unknown(&mut conn, &first, ErrorCode::PARTIAL).await;
        let second = conn.next().await;
        conn.answer(&second, |to, out| to.done(out)).await;
        assert_eq!(second.opcode(), Opcode::Clear);
        assert_eq!(second.once, first.once.map(|once| Once { is_again: true, ..once }));
        second.once.is_some()
    };
    let (cleared, is_numbered) = soon(async { tokio::join!(client.clear(), serve) }).await;
    assert_eq!((cleared, is_numbered), (Ok(()), true));
}

#[tokio::test]
async fn a_time_ahead_of_the_clock_of_a_partition_is_taken_anew() {
    let mut server = start().await;
    let (client, mut conn) = server.client(Options { follow_map: false, ..Options::default() }).await;
    server.hello.server_us = SERVER_US / 2;
    let serve = async {
        loop {
            let asked = next(&mut conn, &server).await;
            let is_ahead = asked.once.unwrap().first_sent_us >= SERVER_US;
            outcomes(&mut conn, &asked, |to, out| {
                (0..4).for_each(|partition| match is_ahead {
                    true => to.refused(out, partition, ErrorCode::CLOCK, "ahead"),
                    false => to.done(out, partition, 7),
                });
            })
            .await;
            if !is_ahead {
                return;
            }
        }
    };
    let batch = batch();
    let (written, ()) = soon(async { tokio::join!(client.write(&batch), serve) }).await;
    assert_eq!(written, Ok(()));
}

#[tokio::test]
async fn every_kind_of_write_has_a_number() {
    let server = start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        for number in 1..=4 {
            let asked = conn.next().await;
            assert_eq!(asked.once.unwrap().number, number);
            match asked.opcode() {
                Opcode::Increment => conn.answer(&asked, |to, out| to.integer(out, 1)).await,
                Opcode::Delete => done(&mut conn, &asked, 1).await,
                Opcode::Expire => refused(&mut conn, &asked, ErrorCode::LIMIT).await,
                _ => conn.answer(&asked, |to, out| to.done(out)).await,
            }
        }
    };
    let requests = async {
        client.increment("k", 1).await.unwrap();
        client.delete("k").await.unwrap();
        client.expire("k", super::super::Expiry::Never).await.unwrap_err();
        client.clear().await.unwrap();
    };
    soon(async { tokio::join!(requests, serve) }).await;
}
