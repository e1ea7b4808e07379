use crate::common::{Echo, Server, exchange, frame, read_frame};
use pinion_net::reactor::{CloseReason, ReactorConfig};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io::Write;

fn random_payload(rng: &mut SmallRng) -> Vec<u8> {
    let most = [0, 10, 100, 5_000, 40_000, 400_000][rng.random_range(0..6)];
    let mut payload = vec![0; rng.random_range(0..=most)];
    rng.fill(&mut payload[..]);
    payload
}

/// Sends frames in random pieces from one thread, and checks the answers on another.
fn converse(server: &Server<Echo>, seed: u64, frames: usize) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let payloads: Vec<_> = (0..frames).map(|_| random_payload(&mut rng)).collect();
    let mut stream = server.connect();
    let mut sender = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        let sent = payloads.clone();
        scope.spawn(move || {
            let bytes: Vec<u8> = sent.iter().flat_map(|payload| frame(payload)).collect();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let most = [1, 7, 1_000, 70_000][rng.random_range(0..4)].min(rest.len());
                let (piece, next) = rest.split_at(rng.random_range(1..=most));
                sender.write_all(piece).unwrap();
                rest = next;
            }
        });
        for payload in &payloads {
            assert_eq!(read_frame(&mut stream), *payload);
        }
    });
}

#[test]
fn frames_of_random_sizes_and_splits_come_back_in_order() {
    let server = Server::start(Echo::default());
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let server = &server;
            scope.spawn(move || converse(server, seed, 60));
        }
    });
    let (echo, stats) = server.stop();
    assert_eq!(echo.accepted.len(), 8);
    assert_eq!(stats.received_bytes, stats.sent_bytes);
}

#[test]
fn a_handful_of_tiny_receive_buffers_serves_many_senders() {
    let config = ReactorConfig { receive_buffers: 2, receive_buffer_bytes: 1024, ..ReactorConfig::default() };
    let server = Server::start_with(config, Echo::default());
    std::thread::scope(|scope| {
        for seed in 100..130 {
            let server = &server;
            scope.spawn(move || converse(server, seed, 8));
        }
    });
    let (_, stats) = server.stop();
    assert!(stats.buffers_exhausted > 0);
    assert_eq!(stats.received_bytes, stats.sent_bytes);
}

#[test]
fn a_thousand_connections_are_served_and_reported() {
    let server = Server::start(Echo::default());
    let mut streams: Vec<_> = (0..1000).map(|_| server.connect()).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&frame(&i.to_le_bytes())).unwrap();
    }
    for (i, stream) in streams.iter_mut().enumerate() {
        assert_eq!(read_frame(stream), i.to_le_bytes());
    }
    drop(streams);
    let (echo, stats) = server.stop();
    assert_eq!((echo.accepted.len(), echo.closed.len()), (1000, 1000));
    assert_eq!((stats.accepted, stats.closed), (1000, 1000));
}

#[test]
fn indexes_are_reused_and_ids_are_not() {
    let server = Server::start(Echo::default());
    for _ in 0..50 {
        let mut stream = server.connect();
        exchange(&mut stream, b"hello");
    }
    let (mut echo, stats) = server.stop();
    assert_eq!(stats.accepted, 50);
    assert_eq!(stats.closed, 50);
    assert!(echo.closed.iter().all(|(_, why)| matches!(why, CloseReason::Finished | CloseReason::Stopped)));
    assert!(echo.accepted.iter().all(|id| id.index() < 50));
    echo.accepted.sort();
    echo.closed.sort_by_key(|(id, _)| *id);
    let closed: Vec<_> = echo.closed.iter().map(|(id, _)| *id).collect();
    assert_eq!(echo.accepted, closed);
    echo.accepted.dedup();
    assert_eq!(echo.accepted.len(), 50);
}
