//! How a client follows maps.

use super::super::{Client, Options};
use super::routes::{answer_one, bytes, key_of_core, two_cores};
use super::server::{Asked, Conn, Server, map, soon};
use crate::wire::{Map, ServerHello, ValueRef};

/// Answers as whoever passed the request on.
async fn forward(conn: &mut Conn, asked: &Asked, text: &[u8]) {
    let value = ValueRef { bytes: text, version: 1, expiry: 0 };
    conn.answer(asked, |to, out| to.forwarded().value(out, value)).await;
}

/// The server's HELLO with everything on its own core, in a map of this epoch.
fn alone(server: &Server, epoch: u64) -> ServerHello {
    ServerHello { map: Map { epoch, ..map(&[server.port()], 4) }, ..server.hello.clone() }
}

/// A key is read, and served over this connection.
async fn read_over(client: &Client, key: String, conn: &mut Conn) {
    let (value, ()) = soon(async { tokio::join!(client.get(key), answer_one(conn, b"here")) }).await;
    assert_eq!(bytes(value), b"here");
}

#[tokio::test]
async fn a_core_that_forwards_is_asked_for_the_map() {
    let (one, two) = two_cores().await;
    let (client, mut seed) = one.client(Options::default()).await;
    let serve = async {
        let mut conn = two.accept().await;
        let asked = conn.next().await;
        forward(&mut conn, &asked, b"moved").await;
        // The map that comes now gives everything to the first core.
        let asked = conn.next().await;
        conn.greet(&asked, &alone(&one, 2)).await;
        // This connection isn't needed any more.
        assert!(conn.try_next().await.is_none());
    };
    let (value, ()) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
    assert_eq!(bytes(value), b"moved");
    read_over(&client, key_of_core(1), &mut seed).await;
}

#[tokio::test]
async fn a_seed_that_forwards_is_asked_for_the_map() {
    let (mut one, two) = two_cores().await;
    let newer = ServerHello { map: Map { epoch: 2, ..one.hello.map.clone() }, ..one.hello.clone() };
    one.hello = alone(&one, 1);
    let (client, mut seed) = one.client(Options::default()).await;
    let serve = async {
        let asked = seed.next().await;
        forward(&mut seed, &asked, b"moved").await;
        let asked = seed.next().await;
        seed.greet(&asked, &newer).await;
    };
    let (moved, ()) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
    assert_eq!(bytes(moved), b"moved");
    // The map is taken over beside what is read here.
    let serve = async {
        let mut conn = two.accept().await;
        answer_one(&mut conn, b"there").await;
        conn
    };
    let through_seed = async {
        loop {
            let asked = seed.next().await;
            seed.value(&asked, b"through the seed").await;
        }
    };
    let read = async { while bytes(client.get(key_of_core(1)).await) != b"there" {} };
    let both = async { tokio::join!(read, serve) };
    soon(async {
        tokio::select! { _ = both => {}, () = through_seed => {} }
    })
    .await;
}

#[tokio::test]
async fn without_the_map_nobody_is_asked_for_it() {
    let (one, _two) = two_cores().await;
    let (client, mut seed) = one.client(Options { follow_map: false, ..Options::default() }).await;
    for _ in 0..2 {
        let serve = async {
            let asked = seed.next().await;
            assert_eq!(asked.key, key_of_core(1).into_bytes());
            forward(&mut seed, &asked, b"passed on").await;
        };
        let (value, ()) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
        assert_eq!(bytes(value), b"passed on");
    }
}

#[tokio::test]
async fn a_seed_that_comes_back_with_an_older_map_does_not_change_the_clients() {
    let (mut one, two) = two_cores().await;
    one.hello.map.epoch = 5;
    let (client, seed) = one.client(Options::default()).await;
    drop(seed);
    one.hello = alone(&one, 4);
    let mut seed = one.accept().await;
    read_over(&client, key_of_core(0), &mut seed).await;
    let serve = async {
        let mut conn = two.accept().await;
        answer_one(&mut conn, b"still there").await;
    };
    let (value, ()) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
    assert_eq!(bytes(value), b"still there");
}

#[tokio::test]
async fn an_older_map_of_who_forwards_is_not_taken() {
    let (mut one, two) = two_cores().await;
    one.hello.map.epoch = 5;
    let (client, _seed) = one.client(Options::default()).await;
    let serve = async {
        let mut conn = two.accept().await;
        let asked = conn.next().await;
        forward(&mut conn, &asked, b"passed on").await;
        let asked = conn.next().await;
        conn.greet(&asked, &alone(&one, 4)).await;
        conn
    };
    let (value, mut conn) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
    assert_eq!(bytes(value), b"passed on");
    // The first of them may leave before the map is there, the second doesn't: its answer comes behind it.
    read_over(&client, key_of_core(1), &mut conn).await;
    read_over(&client, key_of_core(1), &mut conn).await;
}

#[tokio::test]
async fn another_store_behind_the_seed_has_maps_of_its_own() {
    let (mut one, _two) = two_cores().await;
    one.hello.map.epoch = 5;
    let (client, seed) = one.client(Options::default()).await;
    drop(seed);
    one.hello = ServerHello { server_id: [9; 16], ..alone(&one, 1) };
    let mut seed = one.accept().await;
    // The client has learnt the map before it sends anything over the connection that brought it.
    read_over(&client, key_of_core(0), &mut seed).await;
    read_over(&client, key_of_core(1), &mut seed).await;
}
