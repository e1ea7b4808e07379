//! A write is done once although the server is killed while it is under way, again and again, and the client sends it again.

mod common;

use common::{DEADLINE, Kvd, command, free_port, store_dir};
use pinion_net::client::{BlockingClient, Condition, Options, Put, Written};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 6;
/// The server is killed so often, and more often while it hasn't answered anything again.
const KILLS: u64 = 6;
const KILLS_MAX: u64 = 60;
/// Answers between one start and the next kill.
const ANSWERS_MIN: u64 = 40;

fn start(dir: &Path, address: &str) -> Kvd {
    let mut kvd = command(dir);
    kvd.args(["--shards", "2", "--listen", address]);
    Kvd::run(&mut kvd, dir.with_extension("log"))
}

/// Some share a client and go straight to the core of a key, and others have their requests forwarded.
fn clients(kvd: &Kvd) -> Vec<BlockingClient> {
    let options = Options { backoff_max: Duration::from_millis(50), ..Options::default() };
    let direct = kvd.client_with(options.clone());
    let forwarded = kvd.client_with(Options { follow_map: false, ..options });
    (0..WRITERS).map(|writer| if writer % 2 == 0 { direct.clone() } else { forwarded.clone() }).collect()
}

/// How many requests it answered again since it was started.
fn repeated(kvd: &Kvd) -> u64 {
    let page = kvd.http("/metrics");
    let lines = page.lines().filter(|line| line.starts_with("pinion_requests_repeated_total{"));
    let numbers = lines.filter_map(|line| line.rsplit(' ').next());
    numbers.map(|number| number.parse::<u64>().expect("a counter is a number")).sum()
}

/// Ends the writers, also when the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has writers write while the server is killed and started again on its ports. `write` is told the writer and the
/// number of its write. Answers the server that is left, and how often the others answered a write again.
fn under_kills(dir: &Path, write: impl Fn(&BlockingClient, usize, u64) + Sync) -> (Kvd, u64) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut kvd = start(dir, &address);
    let (answers, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let clients = clients(&kvd);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        let mut again = 0;
        let writers: Vec<_> = (clients.iter().enumerate())
            .map(|(writer, client)| {
                let (write, answers, over) = (&write, &answers, &over);
                scope.spawn(move || {
                    for number in 0.. {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        write(client, writer, number);
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for kill in 0..KILLS_MAX {
            // So that kills come at many moments of a log write.
            let goal = answers.load(Ordering::Relaxed) + ANSWERS_MIN + kill * 17 % 61;
            let until = Instant::now() + DEADLINE;
            while answers.load(Ordering::Relaxed) < goal {
                assert!(Instant::now() < until, "writes stand still: {}", kvd.log());
                assert!(!writers.iter().any(|writer| writer.is_finished()), "a writer failed");
                std::thread::yield_now();
            }
            again += repeated(&kvd);
            if kill >= KILLS && again > 0 {
                break;
            }
            kvd.kill();
            kvd = start(dir, &address);
        }
        (kvd, again)
    })
}

#[test]
fn an_increment_counts_once_although_the_server_is_killed_under_it() {
    const COUNTERS: u64 = 8;
    let (_root, dir) = store_dir();
    let counted = [const { AtomicU64::new(0) }; COUNTERS as usize];
    let key = |counter: u64| format!("counter{counter}");
    let (kvd, again) = under_kills(&dir, |client, writer, number| {
        let counter = (writer as u64 + number) % COUNTERS;
        client.increment(key(counter), 1).expect("its outcome is known in the end");
        counted[counter as usize].fetch_add(1, Ordering::Relaxed);
    });
    let client = kvd.client();
    let found = (0..COUNTERS).map(|counter| client.increment(key(counter), 0).unwrap());
    let expected = counted.map(|counted| counted.into_inner() as i64);
    assert_eq!(found.collect::<Vec<_>>(), expected, "each increment was answered, so each counts once");
    assert!(again > 0, "no increment had to be sent again behind {KILLS_MAX} kills");
}

#[test]
fn a_lock_is_never_taken_by_an_earlier_attempt_of_whoever_asks_for_it() {
    let (_root, dir) = store_dir();
    let key = |number: u64| format!("lock{number}");
    // Of each lock who was told to have it; and how many have asked.
    let told: Mutex<Vec<(Vec<usize>, usize)>> = Mutex::default();
    let (kvd, again) = under_kills(&dir, |client, writer, number| {
        let absent = Put { condition: Condition::Absent, ..Put::default() };
        let answer = client.put_with(key(number), writer.to_string(), absent).expect("its outcome is known");
        let mut told = told.lock().unwrap();
        let at = number as usize;
        if told.len() <= at {
            told.resize_with(at + 1, Default::default);
        }
        told[at].1 += 1;
        if let Written::Done { .. } = answer {
            told[at].0.push(writer);
        }
    });
    let client = kvd.client();
    let told = told.into_inner().unwrap();
    let asked_by_all = told.iter().zip(0..).filter(|((_, asked), _)| *asked == WRITERS);
    let mut locks = 0;
    for ((owners, _), number) in asked_by_all {
        let value = client.get(key(number)).unwrap().expect("somebody has it").bytes;
        let owner: usize = String::from_utf8(value).unwrap().parse().unwrap();
        assert_eq!(*owners, [owner], "lock {number} is whose it is by the server, and nobody else's");
        locks += 1;
    }
    assert!(locks > 0 && again > 0, "{locks} locks, {again} answered again");
}
