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
    let liveness = Liveness::new(cores.len(), liveness::PATIENCE);
    start_with(cores, liveness)
}

fn start_with(cores: Vec<CoreHandle>, liveness: Liveness) -> (Admin, NodeState, SocketAddr) {
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
    let admin = Admin::start(vec![listener], facts, state.clone(), cores, liveness).unwrap();
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
fn a_core_that_never_beats_makes_the_node_unready_and_is_named() {
    let (messages, _inbox) = sync_channel(CONTROL_QUEUE);
    let silent = CoreHandle::new(messages, Arc::new(|| ()));
    let liveness = Liveness::new(2, Duration::ZERO);
    let (_admin, state, addr) = start_with(vec![willing(0), silent.clone()], liveness.clone());
    state.serving();
    assert!(get(addr, "/ready").starts_with("HTTP/1.1 200"), "nobody has looked yet");
    liveness.ask(1, &silent);
    while liveness.stuck().is_empty() {
        std::thread::yield_now();
    }
    let ready = get(addr, "/ready");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains(r#""state":"stuck""#), "{ready}");
    let health = get(addr, "/health");
    assert!(health.starts_with("HTTP/1.1 200") && health.contains(r#""status":"stuck""#), "{health}");
    for answer in [ready, health] {
        assert!(answer.contains("turn hasn't ended") && answer.contains(r#""shard":1"#), "{answer}");
    }
}

#[test]
fn whoever_holds_connections_keeps_nobody_out() {
    let (_admin, _state, addr) = start(vec![willing(0)]);
    let mut held: Vec<TcpStream> = (0..3 * serve::CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
            stream
        })
        .collect();
    assert!(get(addr, "/").starts_with("HTTP/1.1 200"));
    // The oldest were closed: reading from them ends, by the end of the stream or by a reset.
    let mut byte = [0];
    assert!(matches!(held[0].read(&mut byte), Ok(0) | Err(_)));
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let (_admin, _state, addr) = start(vec![willing(0)]);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let line = [b"X: ".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
    while stream.write_all(&line).is_ok() {}
    let mut answer = Vec::new();
    // What was sent behind the refusal may have reset the connection.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn metrics_and_status_tell_each_shards_figures() {
    let (_admin, _state, addr) = start(vec![willing(0), willing(1)]);
    assert!(get(addr, "/metrics").contains("pinion_connections{shard=\"1\"} 3"));
    let status = get(addr, "/v1/status");
    assert!(status.contains(r#""node_id":"n1""#) && status.contains(r#""shard":1"#), "{status}");
}
