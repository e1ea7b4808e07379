use std::time::Duration;

use super::super::raw::Connection;
use super::super::{BlockingClient, Error, Options, ScanOptions};
use super::server::{Conn, Server};
use crate::wire::{Command, Condition, ErrorCode, Expiry, Opcode, Reply, Responder, ValueRef, WireError};

/// Runs a server on a thread of its own, for clients that block.
fn served<T: Send + 'static, F: Future<Output = T>>(
    script: impl FnOnce(Server) -> F + Send + 'static,
) -> (String, std::thread::JoinHandle<T>) {
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::start().await;
            send.send(server.address()).unwrap();
            script(server).await
        })
    });
    (receive.recv().unwrap(), thread)
}

/// Answers a key's own bytes to GET, a page of two to SCAN.
async fn echo(mut conn: Conn) {
    while let Some(asked) = conn.try_next().await {
        match asked.opcode() {
            Opcode::Get => conn.value(&asked, &asked.key).await,
            Opcode::Put => {
                conn.answer(&asked, |to, out| to.written(out, asked.value.len() as u64, None)).await
            }
            _ => {
                conn.answer(&asked, |to, out| {
                    let mut page = to.page(out);
                    page.push(out, b"a", ValueRef { bytes: b"1", version: 1, expiry: 0 });
                    page.push(out, b"b", ValueRef { bytes: b"2", version: 2, expiry: 3 });
                    page.finish(out, None);
                })
                .await;
            }
        }
    }
}

#[test]
fn the_blocking_client_serves_many_threads_and_iterates_over_scans() {
    let (address, server) = served(|server| async move { echo(server.accept().await).await });
    let client = BlockingClient::connect([address], Options::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for number in 0..50 {
                    let key = format!("{thread}-{number}");
                    assert_eq!(client.get(&key).unwrap().unwrap().bytes, key.into_bytes());
                }
            });
        }
    });
    let items: Vec<_> = client.scan(ScanOptions::default()).map(Result::unwrap).collect();
    let items: Vec<_> = items.iter().map(|item| (item.key.as_slice(), item.value.expires_at_ms)).collect();
    assert_eq!(items, [(&b"a"[..], None), (b"b", Some(3))]);
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_raw_connection_keeps_many_requests_in_flight() {
    let (address, server) = served(|server| async move { echo(server.accept().await).await });
    let mut connection = Connection::connect(&address, &Options::default()).unwrap();
    let mut expected = std::collections::HashMap::new();
    for number in 0..1000 {
        let key = format!("key{number}");
        let id = connection.send(Command::Get { key: key.as_bytes() }).unwrap();
        expected.insert(id, key);
    }
    assert_eq!(connection.in_flight(), 1000);
    while connection.in_flight() > 0 {
        let response = connection.recv().unwrap();
        let Reply::Value(value) = response.reply else { panic!("{response:?}") };
        assert_eq!(value.bytes, expected.remove(&response.id).unwrap().as_bytes());
    }
    assert!(expected.is_empty());
    assert!(connection.recv_within(Duration::ZERO).unwrap().is_none());
    drop(connection);
    server.join().unwrap();
}

#[test]
fn a_deep_pipeline_of_large_requests_does_not_block_itself() {
    let (address, server) = served(|server| async move { echo(server.accept().await).await });
    let mut connection = Connection::connect(&address, &Options::default()).unwrap();
    let key = vec![b'k'; 60_000];
    for _ in 0..400 {
        connection.send(Command::Get { key: &key }).unwrap();
    }
    connection.flush().unwrap();
    for _ in 0..400 {
        let response = connection.recv().unwrap();
        assert!(matches!(response.reply, Reply::Value(value) if value.bytes == key));
    }
    drop(connection);
    server.join().unwrap();
}

#[test]
fn a_raw_connection_that_does_not_block_says_so() {
    let (address, server) = served(|server| async move { echo(server.accept().await).await });
    let mut connection = Connection::connect(&address, &Options::default()).unwrap();
    connection.set_nonblocking(true).unwrap();
    assert_eq!(connection.fill().unwrap(), 0);
    let put = Command::Put {
        key: b"k",
        value: &[0; 1000],
        expiry: Expiry::Never,
        condition: Condition::None,
        want_old: false,
    };
    connection.send(put).unwrap();
    while connection.flush().unwrap() > 0 {}
    loop {
        connection.fill().unwrap();
        if let Some(response) = connection.try_recv().unwrap() {
            assert_eq!(response.reply, Reply::Written { version: 1000, old: None });
            break;
        }
    }
    drop(connection);
    server.join().unwrap();
}

#[test]
fn a_raw_connection_names_garbage_notices_and_the_end() {
    let (address, server) = served(|server| async move {
        let mut garbage = server.accept().await;
        garbage.write(&[1; 64]).await;
        let mut notice = server.accept().await;
        let mut bytes = Vec::new();
        Responder::for_error(&WireError::Magic).refused(&mut bytes, ErrorCode::SHUTTING_DOWN, "");
        notice.write(&bytes).await;
        drop(server.accept().await);
        (garbage, notice)
    });
    let connect = || Connection::connect(&address, &Options::default()).unwrap();
    let (mut garbage, mut notice, mut end) = (connect(), connect(), connect());
    assert!(matches!(garbage.recv(), Err(Error::Protocol { .. })));
    assert_eq!(notice.recv().unwrap_err().code(), Some(ErrorCode::SHUTTING_DOWN));
    assert!(matches!(end.recv(), Err(Error::NotConnected { .. })));
    server.join().unwrap();
}
