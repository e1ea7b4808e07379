//! A topology takes another one's place while the node runs.

mod common;

use common::resp::{Reply, Resp, encode};
use common::store_dir;
use pinion_cluster::topology::Topology;
use pinion_cluster::topology::member::Member;
use pinion_cluster::{Config, Node};
use pinion_net::client::Options;
use pinion_net::client::raw::Connection;
use pinion_net::wire::{Command, Reply as WireReply};
use smallvec::smallvec;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Requests that a client has under way at a time, over keys of all cores.
const PIPELINE: usize = 200;
const KEYS: usize = 20;

/// How often the topology is replaced.
const CHANGES: u64 = 30;

fn node(dir: &std::path::Path) -> Node {
    let config = Config { shards: Some(2), pin: false, memory_bytes: 64 << 20, ..Config::ephemeral(dir) };
    Node::start(config).expect("a node starts")
}

/// A topology of this epoch: the node's own place in it, and in every other one a second node, which has a replica of all.
fn topology(own: &Member, partitions: usize, epoch: u64) -> Topology {
    if epoch.is_multiple_of(2) {
        return Topology::new(epoch, vec![own.clone()], 0, partitions, |_| smallvec![0]);
    }
    let other = Member { id: [7; 16], host: "elsewhere".to_owned(), ..own.clone() };
    Topology::new(epoch, vec![own.clone(), other], 0, partitions, |_| smallvec![0, 1])
}

/// Ends the clients, also when a check fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Counts keys up in pipelines until it is told to stop: each reply is the next number of its key, once.
fn count_up(address: &str, ends: &AtomicBool) -> usize {
    let (mut client, mut rounds) = (Resp::connect(address), 0);
    while !ends.load(Ordering::Acquire) {
        let key = |number: usize| format!("resp{}", number % KEYS);
        let pipeline: Vec<u8> =
            (0..PIPELINE).flat_map(|number| encode(&["INCR".to_owned(), key(number)])).collect();
        client.send_bytes(&pipeline);
        for number in 0..PIPELINE {
            let expected = rounds * PIPELINE / KEYS + number / KEYS + 1;
            assert_eq!(client.reply(), Reply::Integer(expected as i64));
        }
        rounds += 1;
        assert_eq!(client.call(&["ECHO", "next"]), Reply::bulk("next"), "nothing was answered twice");
    }
    rounds
}

/// The same by the binary protocol, whose responses come in any order.
fn count_up_by_wire(address: &str, ends: &AtomicBool) -> usize {
    let mut client = Connection::connect(address, &Options::default()).expect("the node listens");
    let (mut rounds, mut sums) = (0, 0);
    while !ends.load(Ordering::Acquire) {
        let mut asked = BTreeSet::new();
        for number in 0..PIPELINE {
            let key = format!("wire{}", number % KEYS);
            let id = client.send(Command::Increment { key: key.as_bytes(), by: 1 }).expect("it is sent");
            assert!(asked.insert(id));
        }
        client.flush().expect("it is sent");
        while client.in_flight() > 0 {
            let response = client.recv().expect("a response");
            assert!(asked.remove(&response.id), "each is answered once");
            let WireReply::Integer(number) = response.reply else { panic!("{:?}", response.reply) };
            sums += number;
        }
        assert!(asked.is_empty());
        rounds += 1;
    }
    // Each key has counted 1, 2, 3 and so on.
    let each = (rounds * PIPELINE / KEYS) as i64;
    assert_eq!(sums, KEYS as i64 * each * (each + 1) / 2);
    rounds
}

/// The epoch and the number of nodes that a client is told which comes now.
fn told(address: &str) -> (u64, usize) {
    let client = Connection::connect(address, &Options::default()).expect("the node listens");
    let map = &client.hello().map;
    (map.epoch, map.nodes.len())
}

#[test]
fn requests_under_way_are_answered_once_while_topologies_come_and_clients_are_told_of_each() {
    let (_root, dir) = store_dir();
    let node = node(&dir);
    let (kv, resp) =
        (node.addresses().kv.to_string(), node.addresses().resp.expect("RESP is served").to_string());
    let first = node.topology().newest();
    let (own, partitions) = (first.me(), first.partitions());
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let resp_client = scope.spawn(|| count_up(&resp, &ends));
        let wire_client = scope.spawn(|| count_up_by_wire(&kv, &ends));
        let (end, mut observer) = (End(&ends), Resp::connect(&resp));
        for epoch in 2..2 + CHANGES {
            assert!(node.topology().replace(topology(own, partitions, epoch)));
            assert!(!node.topology().replace(topology(own, partitions, epoch)), "the same is not newer");
            assert!(
                !node.topology().replace(topology(own, partitions, epoch - 1)),
                "an older one is never taken"
            );
            let nodes = 1 + (epoch % 2) as usize;
            assert_eq!(told(&kv), (epoch, nodes));
            let info = String::from_utf8(observer.call(&["CLUSTER", "INFO"]).bytes()).expect("a text");
            let lines =
                [format!("cluster_current_epoch:{epoch}"), format!("cluster_known_nodes:{}", 2 * nodes)];
            assert!(lines.iter().all(|line| info.contains(line)), "{info}");
            let text = String::from_utf8(observer.call(&["CLUSTER", "NODES"]).bytes()).expect("a text");
            assert_eq!((text.lines().count(), text.matches("myself").count()), (2 * nodes, 1), "{text}");
        }
        drop(end);
        assert!(resp_client.join().expect("every reply was right") > 0);
        assert!(wire_client.join().expect("every response was right") > 0);
    });
    node.stop().expect("it stops");
}
