use std::time::Duration;

use super::super::{Options, Value};
use super::server::{Conn, Server, map, soon};
use crate::slot::Slot;
use crate::wire::Home;

/// A key of this core, of two.
pub(super) fn key_of_core(core: u16) -> String {
    let is_there = |key: &String| Slot::of(key.as_bytes()).partition(4) % 2 == core;
    (0..).map(|number| format!("key{number}")).find(is_there).unwrap()
}

/// Two cores; the first one also answers the common port.
pub(super) async fn two_cores() -> (Server, Server) {
    let (mut one, mut two) = (Server::start().await, Server::start().await);
    let map = map(&[one.port(), two.port()], 4);
    (one.hello.map, one.hello.home) = (map.clone(), Home { node: 0, core: 0 });
    (two.hello.map, two.hello.home) = (map, Home { node: 0, core: 1 });
    (one, two)
}

pub(super) async fn answer_one(conn: &mut Conn, text: &[u8]) {
    let asked = conn.next().await;
    conn.value(&asked, text).await;
}

pub(super) fn bytes(value: Result<Option<Value>, super::super::Error>) -> Vec<u8> {
    value.unwrap().unwrap().bytes
}

#[tokio::test]
async fn a_key_of_another_core_goes_over_a_connection_to_that_core() {
    let (one, two) = two_cores().await;
    let (client, mut conn) = one.client(Options::default()).await;
    let (value, ()) =
        soon(async { tokio::join!(client.get(key_of_core(0)), answer_one(&mut conn, b"one")) }).await;
    assert_eq!(bytes(value), b"one");
    let serve = async {
        let mut conn = two.accept().await;
        answer_one(&mut conn, b"two").await;
    };
    let (value, ()) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
    assert_eq!(bytes(value), b"two");
}

#[tokio::test]
async fn a_core_that_cannot_be_reached_is_asked_through_the_seed() {
    let (one, two) = two_cores().await;
    drop(two);
    let (client, mut conn) = one.client(Options::default()).await;
    for _ in 0..2 {
        let (value, ()) =
            soon(async { tokio::join!(client.get(key_of_core(1)), answer_one(&mut conn, b"through one")) })
                .await;
        assert_eq!(bytes(value), b"through one");
    }
}

#[tokio::test]
async fn without_the_map_everything_takes_the_seed() {
    let (one, _two) = two_cores().await;
    let (client, mut conn) = one.client(Options { follow_map: false, ..Options::default() }).await;
    let (value, ()) =
        soon(async { tokio::join!(client.get(key_of_core(1)), answer_one(&mut conn, b"one")) }).await;
    assert_eq!(bytes(value), b"one");
}

#[tokio::test]
async fn requests_over_the_bound_wait_their_turn() {
    let server = Server::start().await;
    let options = Options { in_flight_max: 8, timeout: Duration::from_secs(20), ..Options::default() };
    let (client, mut conn) = server.client(options).await;
    let serve = tokio::spawn(async move {
        let mut open = Vec::new();
        for count in 0..1000 {
            open.push(conn.next().await);
            assert!(open.len() <= 8, "more in flight than allowed");
            if open.len() == 8 || count == 999 {
                for asked in open.drain(..) {
                    conn.value(&asked, &asked.key).await;
                }
            }
        }
    });
    let gets = (0..1000).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { (number, client.get(number.to_string()).await) })
    });
    for get in gets.collect::<Vec<_>>() {
        let (number, value) = soon(get).await.unwrap();
        assert_eq!(bytes(value), number.to_string().into_bytes());
    }
    soon(serve).await.unwrap();
}

#[tokio::test]
async fn the_connection_ends_with_the_last_clone() {
    let server = Server::start().await;
    let (client, mut conn) = server.client(Options::default()).await;
    drop(client.clone());
    let (value, ()) = soon(async { tokio::join!(client.get("k"), answer_one(&mut conn, b"there")) }).await;
    assert_eq!(bytes(value), b"there");
    drop(client);
    assert!(conn.try_next().await.is_none());
}
