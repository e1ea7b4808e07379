use super::super::{Batch, Error, Item, Options, ScanOptions, Value};
use super::server::{Asked, Conn, Server, soon};
use crate::slot::Slot;
use crate::wire::{ErrorCode, Limits, Opcode, Responder, ValueRef};

const PLAIN: ValueRef<'static> = ValueRef { bytes: b"", version: 1, expiry: 0 };

fn value(bytes: &[u8]) -> Value {
    Value { bytes: bytes.to_vec(), version: 1, expires_at_ms: None }
}

#[tokio::test]
async fn keys_that_a_full_answer_left_out_are_asked_for_again() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        for expected in [3, 1] {
            let asked = conn.next().await;
            assert_eq!((asked.opcode(), asked.header.argument.get()), (Opcode::MultiGet, expected));
            conn.answer(&asked, |to, out| {
                let mut results = to.results(out, expected as usize, 1);
                if expected == 3 {
                    results.push_refused(out, ErrorCode::LIMIT, "");
                    results.push(out, None);
                }
                results.push(out, Some(ValueRef { bytes: expected.to_string().as_bytes(), ..PLAIN }));
                results.finish(out);
            })
            .await;
        }
    };
    let (values, ()) = soon(async { tokio::join!(client.get_many(&["a", "b", "c"]), serve) }).await;
    assert_eq!(values.unwrap(), [Some(value(b"1")), None, Some(value(b"3"))]);
}

#[tokio::test]
async fn more_keys_than_a_request_may_have_are_asked_for_in_several() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let keys = vec!["k"; Limits::KEYS_MAX + 1];
    let serve = async {
        for expected in [Limits::KEYS_MAX, 1] {
            let asked = conn.next().await;
            assert_eq!(asked.header.argument.get(), expected as u64);
            conn.answer(&asked, |to, out| {
                let mut results = to.results(out, expected, 0);
                (0..expected).for_each(|_| results.push(out, None));
                results.finish(out);
            })
            .await;
        }
    };
    let (values, ()) = soon(async { tokio::join!(client.get_many(&keys), serve) }).await;
    assert_eq!(values.unwrap().len(), keys.len());
}

#[tokio::test]
async fn one_key_that_cannot_be_read_fails_the_whole_multi_get() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let serve = async {
        let asked = conn.next().await;
        conn.answer(&asked, |to, out| {
            let mut results = to.results(out, 2, 0);
            results.push(out, None);
            results.push_refused(out, ErrorCode::DAMAGED, "");
            results.finish(out);
        })
        .await;
    };
    let (values, ()) = soon(async { tokio::join!(client.get_many(&["a", "b"]), serve) }).await;
    assert_eq!(values.unwrap_err().code(), Some(ErrorCode::DAMAGED));
}

#[tokio::test]
async fn each_operation_of_a_batch_gets_the_outcome_of_its_partition() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let keys: Vec<String> = (0..20).map(|number| format!("key{number}")).collect();
    let mut batch = Batch::new();
    for key in &keys {
        batch.put(key, "value").unwrap();
    }
    let serve = async {
        for _ in 0..2 {
            let asked = conn.next().await;
            conn.answer(&asked, |to, out| {
                let mut outcomes = to.outcomes(out);
                outcomes.done(out, 0, 11);
                outcomes.refused(out, 1, ErrorCode::READ_ONLY, "full");
                outcomes.unknown(out, 2, ErrorCode::LOG_FAILED, "torn");
                outcomes.finish(out);
            })
            .await;
        }
    };
    let requests = async { (client.write_each(&batch).await, client.write(&batch).await) };
    let ((each, whole), ()) = soon(async { tokio::join!(requests, serve) }).await;
    for (key, result) in keys.iter().zip(each.unwrap()) {
        match Slot::of(key.as_bytes()).partition(4) {
            0 => assert_eq!(result, Ok(11)),
            1 => assert_eq!(result, Err(Error::refused(ErrorCode::READ_ONLY, "full"))),
            2 => assert_eq!(result, Err(Error::unknown(ErrorCode::LOG_FAILED, "torn"))),
            _ => assert!(matches!(result, Err(Error::Unknown { .. })), "{result:?}"),
        }
    }
    assert!(matches!(whole, Err(Error::Unknown { .. })), "the worst outcome speaks for the batch: {whole:?}");
}

/// Answers pages of two items: 0 and 1, then 2 and 3, and so on up to 9, with an empty page in between.
async fn serve_pages(conn: &mut Conn) -> usize {
    let mut pages = 0;
    while let Some(asked) = conn.try_next().await {
        pages += 1;
        conn.answer(&asked, |to, out| page(&asked, to, out)).await;
    }
    pages
}

fn page(asked: &Asked, to: Responder, out: &mut Vec<u8>) {
    let cursor = &asked.value[16..];
    let first = cursor.first().copied().unwrap_or(0);
    let mut page = to.page(out);
    if cursor == b"\x04" {
        return page.finish(out, Some(b"\x04 after an empty page"));
    }
    let limit = asked.header.argument.get();
    for key in first..(first + 2).min(if limit == 0 { 255 } else { first + limit as u8 }) {
        page.push(out, &[key], PLAIN);
    }
    page.finish(out, (first < 8).then_some(&[first + 2][..]));
}

async fn collect(options: ScanOptions) -> (Vec<u8>, usize) {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let pages = tokio::spawn(async move { serve_pages(&mut conn).await });
    let mut scan = client.scan(options);
    let mut keys = Vec::new();
    while let Some(item) = soon(scan.next()).await {
        let Item { key, value } = item.unwrap();
        assert_eq!(value, self::value(b""));
        keys.extend(key);
    }
    drop((scan, client));
    (keys, soon(pages).await.unwrap())
}

#[tokio::test]
async fn a_scan_follows_cursors_to_the_end_over_empty_pages() {
    let (keys, pages) = collect(ScanOptions::default()).await;
    assert_eq!(keys, (0..10).collect::<Vec<u8>>());
    assert_eq!(pages, 6);
}

#[tokio::test]
async fn a_scan_ends_at_its_limit_and_asks_for_no_page_beyond() {
    let (keys, pages) = collect(ScanOptions { limit: Some(3), ..ScanOptions::default() }).await;
    assert_eq!(keys, [0, 1, 2]);
    assert_eq!(pages, 2);
    let (keys, pages) = collect(ScanOptions { limit: Some(0), ..ScanOptions::default() }).await;
    assert_eq!((keys, pages), (vec![], 0));
}

#[tokio::test]
async fn a_scan_hands_out_an_error_and_ends() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    let mut scan = client.scan(ScanOptions::default());
    let serve = async {
        let asked = conn.next().await;
        conn.answer(&asked, |to, out| to.refused(out, ErrorCode::BAD_CURSOR, "")).await;
    };
    let (item, ()) = soon(async { tokio::join!(scan.next(), serve) }).await;
    assert_eq!(item.unwrap().unwrap_err().code(), Some(ErrorCode::BAD_CURSOR));
    assert!(soon(scan.next()).await.is_none());
}
