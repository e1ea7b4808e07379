use super::*;
use crate::db::{EmbeddedOptions, Kind as Store, Options};
use crate::workload::{Kind, Workload, named};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;

fn workload(letter: &str, more: &[&str]) -> Arc<Workload> {
    let mut properties = named(letter).unwrap();
    more.iter().for_each(|assignment| properties.set(assignment).unwrap());
    Arc::new(Workload::new(letter, &properties).unwrap())
}

fn settings(operations: u64) -> Settings {
    Settings {
        threads: 2,
        connections: 4,
        depth: 3,
        operations,
        duration: None,
        pacing: Pacing::Closed,
        seed: 1,
        away_max: Duration::from_millis(200),
    }
}

fn options(kind: Store, targets: Vec<String>) -> Options {
    let durability = pinion_engine::shard::Durability::None;
    let embedded = EmbeddedOptions { dir: "unused".into(), durability, memory_bytes: 64 << 20 };
    Options { kind, targets, is_direct: false, threads: 2, embedded, null_record: vec![b'x'; 100] }
}

/// What precedes every run: kvbench asks whether RESP is spoken.
fn answer_ping(stream: &mut std::net::TcpStream) {
    let mut ping = [0; b"*1\r\n$4\r\nPING\r\n".len()];
    stream.read_exact(&mut ping).unwrap();
    stream.write_all(b"+PONG\r\n").unwrap();
}

/// A server that keeps values in a map and speaks RESP, on a free port.
fn resp_server() -> String {
    use pinion_net::resp::{Command, Flow, Parser, ReplyQueue};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let data: Arc<Mutex<std::collections::HashMap<Vec<u8>, Vec<u8>>>> = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, data) = (stream.unwrap(), data.clone());
            std::thread::spawn(move || {
                let (mut parser, mut replies) = (Parser::default(), ReplyQueue::<()>::new());
                let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    kept.extend_from_slice(&buffer[..read]);
                    let mut out = Vec::new();
                    let drained = parser.each(&kept, |args| {
                        let mut data = data.lock().unwrap();
                        match Command::parse(args) {
                            Ok(Command::Set(set)) => {
                                data.insert(set.key.to_vec(), set.value.to_vec());
                                replies.answer((), &mut out, |reply| reply.ok());
                            }
                            Ok(Command::Get { key }) => {
                                let value = data.get(key).map(Vec::as_slice);
                                replies.answer((), &mut out, |reply| reply.bulk_or_null(value));
                            }
                            Ok(Command::Ping(_)) => replies.answer((), &mut out, |reply| reply.ok()),
                            _ => replies.answer((), &mut out, |reply| reply.error("ERR what")),
                        }
                        Flow::Continue
                    });
                    kept.drain(..drained.consumed);
                    if stream.write_all(&out).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn statuses(measured: &Measured, kind: Kind) -> [u64; 5] {
    measured.recorder.series(kind).map_or([0; 5], |series| series.statuses)
}

#[test]
fn everything_asked_for_is_done_once_over_many_connections() {
    let address = resp_server();
    let workload = workload("a", &["recordcount=300", "dataintegrity=true"]);
    let database = || Database::find(&options(Store::Resp, vec![address.clone()])).unwrap();
    let load = Plan::load(workload.clone());
    let measured = run(database(), &load, &settings(300), &mut Progress::none()).unwrap();
    assert_eq!(statuses(&measured, Kind::Insert), [300, 0, 0, 0, 0]);
    assert!(measured.error.is_none());
    let plan = Plan::run(workload, 2_000);
    let measured = run(database(), &plan, &settings(2_000), &mut Progress::none()).unwrap();
    let (reads, updates) = (statuses(&measured, Kind::Read), statuses(&measured, Kind::Update));
    assert_eq!(reads[0] + updates[0], 2_000, "every one found what was written: {reads:?} {updates:?}");
    assert_eq!(measured.seconds.iter().map(|second| second.operations).sum::<u64>(), 2_000);
}

#[test]
fn a_run_by_time_ends_and_a_rate_is_kept() {
    let duration = Some(Duration::from_millis(300));
    let settings = Settings { operations: u64::MAX, duration, pacing: Pacing::Open(1000.0), ..settings(0) };
    let plan = Plan::run(workload("c", &["recordcount=10"]), 1000);
    let database = Database::find(&options(Store::Null, vec![])).unwrap();
    let measured = run(database, &plan, &settings, &mut Progress::none()).unwrap();
    // However slow the machine, never more than the schedule allows.
    let reads = statuses(&measured, Kind::Read)[0];
    assert!((1..=300).contains(&reads), "{reads}");
}

#[test]
fn a_server_that_stays_away_ends_the_run_with_its_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        // Takes every connection, greets it, reads a little and closes; then nobody listens any more.
        let connections = listener.incoming().take(4).map(|stream| {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                answer_ping(&mut stream);
                let _ = stream.read(&mut [0; 10]);
            })
        });
        connections.collect::<Vec<_>>().into_iter().for_each(|connection| connection.join().unwrap());
    });
    let database = Database::find(&options(Store::Resp, vec![address.clone()])).unwrap();
    let plan = Plan::load(workload("a", &["recordcount=1000"]));
    let measured = run(database, &plan, &settings(1000), &mut Progress::none()).unwrap();
    let error = measured.error.as_ref().unwrap().to_string();
    assert!(error.starts_with(&format!("the connection to {address} broke (")), "{error}");
    assert!(
        error.contains("the server stayed away for ") && error.ends_with("is the server running?"),
        "{error}"
    );
    let [ok, not_found, unexpected, failed, unknown] = statuses(&measured, Kind::Insert);
    assert_eq!((ok, not_found, unexpected), (0, 0, 0));
    assert!(unknown > 0 && failed + unknown <= 1000, "those that were sent may have been written");
    assert!(measured.outages.breaks >= 4 && measured.outages.longest >= Duration::from_millis(200));
    server.join().unwrap();
}

/// Passes connections on to a server, and breaks each of the first `breaks` when it has passed on so many bytes.
fn breaking_relay(server: String, mut breaks: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), std::net::TcpStream::connect(&server).unwrap());
            let limit = if breaks > 0 { 3_000 } else { u64::MAX };
            breaks = breaks.saturating_sub(1);
            for (from, to, limit) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap(), limit),
                (server, client, u64::MAX),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut (&from).take(limit), &mut &to);
                    let both = std::net::Shutdown::Both;
                    let _ = (from.shutdown(both), to.shutdown(both));
                });
            }
        }
    });
    address
}

#[test]
fn broken_connections_are_made_again_and_every_operation_is_counted_once() {
    let address = breaking_relay(resp_server(), 7);
    let database = Database::find(&options(Store::Resp, vec![address])).unwrap();
    let plan = Plan::load(workload("a", &["recordcount=3000", "fieldcount=1"]));
    let settings = Settings { away_max: Duration::from_secs(30), ..settings(3000) };
    let measured = run(database, &plan, &settings, &mut Progress::none()).unwrap();
    assert!(measured.error.is_none(), "{:?}", measured.error);
    assert_eq!(measured.outages.breaks, 7);
    let [ok, not_found, unexpected, failed, unknown] = statuses(&measured, Kind::Insert);
    assert_eq!(ok + failed + unknown, 3000);
    assert_eq!((not_found, unexpected, failed), (0, 0, 0));
    assert!((1..=7 * 3).contains(&unknown), "what was under way when a connection broke: {unknown}");
    let first = measured.first_failure.unwrap();
    assert!(first.starts_with("the connection to 127.0.0.1:"), "{first}");
}

#[test]
fn reads_that_are_cut_off_are_errors_and_nothing_is_unknown() {
    let address = breaking_relay(resp_server(), 4);
    let database = Database::find(&options(Store::Resp, vec![address])).unwrap();
    let plan = Plan::run(workload("c", &["recordcount=100"]), 3000);
    let settings = Settings { away_max: Duration::from_secs(30), ..settings(3000) };
    let measured = run(database, &plan, &settings, &mut Progress::none()).unwrap();
    let [_, not_found, _, failed, unknown] = statuses(&measured, Kind::Read);
    assert_eq!((not_found + failed, unknown), (3000, 0));
    assert!((1..=4 * 3).contains(&failed), "{failed}");
}

#[test]
fn a_stall_counts_for_all_that_was_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(300);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        answer_ping(&mut stream);
        let (mut buffer, mut is_first) = ([0; 4096], true);
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            if std::mem::take(&mut is_first) {
                std::thread::sleep(STALL);
            }
            let requests = buffer[..read].windows(3).filter(|word| word == b"GET").count();
            stream.write_all("$-1\r\n".repeat(requests).as_bytes()).unwrap();
        }
    });
    let database = Database::find(&options(Store::Resp, vec![address])).unwrap();
    let plan = Plan::run(workload("c", &["recordcount=100"]), 300);
    let settings =
        Settings { threads: 1, connections: 1, depth: 1, pacing: Pacing::Open(1000.0), ..settings(300) };
    let measured = run(database, &plan, &settings, &mut Progress::none()).unwrap();
    // Of 300 reads, one a millisecond, the first waits for the whole stall and the 200th still for a third of it,
    // though all but the first are answered at once when they are sent.
    let latencies = &measured.recorder.series(Kind::Read).unwrap().failed;
    assert_eq!(latencies.len(), 300);
    assert!(latencies.value_at_quantile(1.0 / 3.0) >= 99_000_000, "{}", latencies.value_at_quantile(0.33));
    assert!(latencies.max() >= 299_000_000);
}

#[test]
fn a_run_that_is_stopped_ends_with_what_it_has() {
    let stop = Arc::new(AtomicBool::new(false));
    let setter = Arc::clone(&stop);
    let database = Database::find(&options(Store::Resp, vec![resp_server()])).unwrap();
    let plan = Plan::run(workload("c", &["recordcount=10"]), 1000);
    let setter = std::thread::spawn(move || {
        setter.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let measured = run_until(stop, database, &plan, &settings(u64::MAX), &mut Progress::none()).unwrap();
    assert!(measured.error.is_none());
    setter.join().unwrap();
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let database = Database::find(&options(Store::Memcached, vec![address.clone()])).unwrap();
    let plan = Plan::load(workload("a", &[]));
    let error = run(database, &plan, &settings(10), &mut Progress::none()).unwrap_err().to_string();
    assert!(error.contains(&address) && error.ends_with("is the server running?"), "{error}");
}

#[test]
fn shares_add_up() {
    let parts: Vec<u64> = (0..3).map(|at| share(10, at, 3)).collect();
    assert_eq!(parts, [4, 3, 3]);
    assert_eq!(share(u64::MAX, 1, 3), u64::MAX);
}
