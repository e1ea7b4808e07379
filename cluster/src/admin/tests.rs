//! The admin interface over HTTP, with stand-ins for cores.

use super::ask::{CONTROL_QUEUE, Control};
use super::*;
use crate::stats::CoreStats;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::sync_channel;

/// A core that answers for its statistics until its handle is gone.
fn willing(core: usize) -> CoreHandle {
    with_storage(core, StorageStats::default())
}

fn with_storage(core: usize, storage: StorageStats) -> CoreHandle {
    let (messages, inbox) = sync_channel(CONTROL_QUEUE);
    std::thread::spawn(move || {
        for message in inbox {
            if let Control::Stats(reply) = message {
                let storage = storage.clone();
                let stats = CoreStats { core, connections: 3, storage, ..CoreStats::default() };
                let _ = reply.send(Box::new(stats));
            }
        }
    });
    CoreHandle::new(messages, Arc::new(|| ()))
}

fn get(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn start(cores: Vec<CoreHandle>) -> (Admin, NodeState, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let facts = NodeFacts {
        node_id: "n1".to_owned(),
        dir: "/data".to_owned(),
        kv: "127.0.0.1:1".to_owned(),
        resp: None,
        core_ports: vec![1],
        resp_core_ports: vec![2],
        partitions: 64,
        durability: "sync".to_owned(),
        memory_bytes: 1,
    };
    let state = NodeState::default();
    let admin = Admin::start(listener, facts, state.clone(), cores).unwrap();
    (admin, state, addr)
}

#[test]
fn ready_follows_the_nodes_state() {
    let (_admin, state, addr) = start(vec![willing(0)]);
    assert!(get(addr, "/ready").starts_with("HTTP/1.1 503"));
    state.serving();
    assert!(get(addr, "/ready").starts_with("HTTP/1.1 200"));
    state.draining();
    assert!(get(addr, "/ready").contains("draining"));
}

#[test]
fn a_shard_that_takes_no_writes_makes_the_node_unready_and_is_named() {
    let storage = StorageStats { read_only: Some("the disk is full".to_owned()), ..StorageStats::default() };
    let (_admin, state, addr) = start(vec![willing(0), with_storage(1, storage)]);
    state.serving();
    let ready = get(addr, "/ready");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains(r#""state":"read-only""#), "{ready}");
    let health = get(addr, "/health");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""status":"read-only""#), "{health}");
    for answer in [ready, health] {
        assert!(answer.contains(r#"{"reason":"the disk is full","shard":1}"#), "{answer}");
    }
}

#[test]
fn damage_is_told_by_health_and_leaves_the_node_ready() {
    let storage = StorageStats { damage: Some("1.sst is damaged".to_owned()), ..StorageStats::default() };
    let (_admin, state, addr) = start(vec![with_storage(0, storage)]);
    state.serving();
    assert!(get(addr, "/ready").starts_with("HTTP/1.1 200"));
    let health = get(addr, "/health");
    assert!(health.contains(r#""status":"damaged""#) && health.contains("1.sst is damaged"), "{health}");
}

#[test]
fn the_root_lists_the_endpoints() {
    let (_admin, _state, addr) = start(vec![willing(0)]);
    let list = get(addr, "/");
    assert!(["/health", "/ready", "/metrics", "/v1/status"].iter().all(|path| list.contains(path)), "{list}");
}

#[test]
fn health_stays_up_and_names_the_slow_shard() {
    let (messages, _inbox) = sync_channel(CONTROL_QUEUE);
    let (_admin, _state, addr) = start(vec![willing(0), CoreHandle::new(messages, Arc::new(|| ()))]);
    let health = get(addr, "/health");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""slow_shards":[1]"#), "{health}");
}

#[test]
fn metrics_and_status_tell_each_shards_figures() {
    let (_admin, _state, addr) = start(vec![willing(0), willing(1)]);
    assert!(get(addr, "/metrics").contains("pinion_connections{shard=\"1\"} 3"));
    let status = get(addr, "/v1/status");
    assert!(status.contains(r#""node_id":"n1""#) && status.contains(r#""shard":1"#), "{status}");
}
