//! How a client follows maps.

use super::super::{Client, Options};
use super::routes::{answer_one, bytes, key_of_core, two_cores};
use super::server::{Asked, Conn, Server, map, soon};
use crate::wire::{Home, Map, NodePorts, Opcode, ServerHello, ValueRef};

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
    one.hello = ServerHello { cluster_id: [9; 16], ..alone(&one, 1) };
    let mut seed = one.accept().await;
    // The client has learnt the map before it sends anything over the connection that brought it.
    read_over(&client, key_of_core(0), &mut seed).await;
    read_over(&client, key_of_core(1), &mut seed).await;
}

/// Two nodes of one cluster with a core each; the first one is the seed.
async fn two_nodes() -> (Server, Server) {
    let (mut one, mut two) = two_cores().await;
    let node = |id, server: &Server| NodePorts {
        id,
        host: String::new(),
        port: server.port(),
        core_ports: vec![server.port()],
    };
    let nodes = vec![node(1, &one), node(2, &two)];
    let homes = (0..4).map(|partition| Home { node: partition % 2, core: 0 }).collect();
    one.hello.map = Map { epoch: 5, nodes, homes };
    two.hello.map = one.hello.map.clone();
    two.hello.home = Home { node: 1, core: 0 };
    (one, two)
}

#[tokio::test]
async fn another_node_of_the_cluster_brings_newer_maps() {
    let (one, two) = two_nodes().await;
    let (client, mut seed) = one.client(Options::default()).await;
    let mut newer = two.hello.clone();
    newer.map.epoch = 6;
    newer.map.homes = vec![Home { node: 0, core: 0 }; 4];
    let serve = async {
        let mut conn = two.accept().await;
        let asked = conn.next().await;
        forward(&mut conn, &asked, b"moved").await;
        let asked = conn.next().await;
        conn.greet(&asked, &newer).await;
        conn
    };
    let (value, mut conn) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
    assert_eq!(bytes(value), b"moved");
    // Whatever is asked before the map is there is asked here.
    let here = async {
        loop {
            let asked = conn.next().await;
            conn.value(&asked, b"passed on").await;
        }
    };
    let there = async {
        loop {
            let asked = seed.next().await;
            seed.value(&asked, b"home").await;
        }
    };
    let read = async { while bytes(client.get(key_of_core(1)).await) != b"home" {} };
    soon(async {
        tokio::select! { () = read => {}, () = there => {}, () = here => {} }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_where_another_node_answers_than_the_map_says() {
    let (one, mut two) = two_nodes().await;
    let strangers = [ServerHello { cluster_id: [9; 16], ..two.hello.clone() }, alone(&two, 5)];
    for stranger in strangers {
        two.hello = stranger;
        let (client, mut seed) = one.client(Options::default()).await;
        let meet = async {
            let mut conn = two.accept().await;
            assert!(conn.try_next().await.is_none(), "the connection is closed");
        };
        let serve = async { tokio::join!(meet, answer_one(&mut seed, b"through the seed")) };
        let (value, _) = soon(async { tokio::join!(client.get(key_of_core(1)), serve) }).await;
        assert_eq!(bytes(value), b"through the seed");
    }
}

#[tokio::test]
async fn what_a_core_was_asked_before_a_newer_map_lacks_it_is_waited_for() {
    let (one, two) = two_cores().await;
    let (client, _seed) = one.client(Options::default()).await;
    let serve = async {
        let mut conn = two.accept().await;
        let (first, second) = (conn.next().await, conn.next().await);
        let is_put = first.opcode() == Opcode::Put;
        let (read, put) = if is_put { (second, first) } else { (first, second) };
        forward(&mut conn, &read, b"moved").await;
        let asked = conn.next().await;
        conn.greet(&asked, &alone(&one, 2)).await;
        // The client has taken that map when it asks this connection nothing more.
        conn.answer(&put, |to, out| to.written(out, 7, None)).await;
        assert!(conn.try_next().await.is_none(), "it is closed when nobody waits");
    };
    let key = key_of_core(1);
    let ask = async { tokio::join!(client.get(&key), client.put(&key, "v")) };
    let ((value, put), ()) = soon(async { tokio::join!(ask, serve) }).await;
    assert_eq!((bytes(value), put), (b"moved".to_vec(), Ok(7)));
}
