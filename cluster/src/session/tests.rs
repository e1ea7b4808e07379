//! Sessions over a backend that notes what they ask.

use super::dialogue::Moment;
use super::sockets::Sockets;
use super::testing::Noted;
use super::{Hold, Taken};
use crate::node::listeners::Speaks;
use crate::route::origin::Origin;
use crate::topology::Topology;
use pinion_engine::shard::request::Answer;
use pinion_net::wire::{
    Command, Features, Hello, Level, Limits, Parsed, Reply, Request, Response, ServerHello, parse,
};
use smallvec::smallvec;

const MOMENT: Moment = Moment { now_us: 0, wall_ms: 0 };

#[test]
fn a_command_on_one_key_asks_its_owner_and_its_reply_waits_for_earlier_ones() {
    let (mut backend, _) = Noted::new();
    let conn = backend.connect(Speaks::Resp);
    let keys = ["a", "b", "c", "d"];
    let pipeline: String = keys.iter().map(|key| format!("GET {key}\r\n")).collect();
    assert_eq!(backend.receive(conn, pipeline.as_bytes()).consumed, pipeline.len());
    let asked = std::mem::take(&mut backend.asked);
    assert_eq!(asked.len(), keys.len());
    for (key, (owner, ticket, op)) in keys.iter().zip(&asked) {
        assert_eq!(*owner, backend.route.home(key.as_bytes()).1);
        assert_eq!(Origin::of(*ticket), Some(Origin::connection(conn)));
        assert!(op.starts_with("Get"), "{op}");
    }
    let session = backend.sessions.get(conn).unwrap();
    let out = backend.outputs.output(conn);
    for (_, ticket, _) in asked.iter().rev() {
        assert!(out.is_empty(), "the first isn't answered");
        assert!(session.dialogue.answer(ticket.request, &Answer::NotFound, MOMENT, out).is_some());
    }
    assert_eq!(*out, b"$-1\r\n".repeat(keys.len()));
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn nothing_is_taken_in_while_its_owner_has_no_room() {
    let (mut backend, _) = Noted::new();
    let conn = backend.connect(Speaks::Resp);
    backend.is_full = true;
    assert_eq!(backend.receive(conn, b"GET a\r\n"), Taken { consumed: 0, need: 0 });
    assert!(backend.asked.is_empty() && backend.sessions.get(conn).unwrap().has(Hold::Credit));
    backend.is_full = false;
    backend.sessions.get(conn).unwrap().lift(Hold::Credit);
    assert_eq!(backend.receive(conn, b"GET a\r\n").consumed, 7);
    assert_eq!(backend.asked.len(), 1);
}

/// What HELLO is answered now.
fn told(backend: &mut Noted) -> ServerHello {
    let conn = backend.connect(Speaks::Wire);
    let command = Command::Hello(Hello::new("test", Features::NONE, b""));
    let mut bytes = Vec::new();
    let request = Request { id: 1, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command };
    request.encode(&Limits::default(), false, &mut bytes).unwrap();
    assert_eq!(backend.receive(conn, &bytes).consumed, bytes.len());
    let out = std::mem::take(backend.outputs.output(conn));
    backend.sessions.remove(conn);
    let Parsed::Frame(frame, _) = parse(&out, &Limits::default()) else { panic!("no frame") };
    let Reply::Hello(hello) = Response::decode(&frame).unwrap().reply else { panic!("no HELLO") };
    *hello
}

#[test]
fn hello_tells_the_topology_of_the_turn() {
    let (mut backend, current) = Noted::new();
    let first = told(&mut backend);
    assert_eq!((first.map.epoch, first.home), (1, backend.route.topology.home_at(0)));
    let (own, partitions) = (backend.route.topology.me().clone(), backend.route.topology.partitions());
    assert!(current.replace(Topology::new(2, vec![own], 0, partitions, |_| smallvec![0])));
    assert_eq!(told(&mut backend).map.epoch, 1, "the turn goes on");
    backend.route.topology.look();
    let second = told(&mut backend);
    assert_eq!((second.map.epoch, second.map.homes), (2, first.map.homes));
}
