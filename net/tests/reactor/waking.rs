use crate::common::{DEADLINE, Server, wait_until};
use pinion_net::reactor::{CloseReason, ConnId, Handler, Io, Next, ReactorConfig, Waker};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const WAKES: u64 = 100_000;

/// Sees only what was announced by a wake-up; looks nowhere else and at no other time.
struct Listener {
    announced: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
}

impl Handler for Listener {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}

    fn woken(&mut self, _: &mut Io<Vec<u8>>) {
        self.seen.store(self.announced.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }
}

fn wake_from_a_thread(config: ReactorConfig) {
    let (announced, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let listener = Listener { announced: announced.clone(), seen: seen.clone() };
    let server = Server::start_with(config, listener);
    for i in 1..=WAKES {
        // Relaxed on purpose: the wake-up alone has to carry it over.
        announced.store(i, Ordering::Relaxed);
        server.waker.wake();
        // Sometimes catch up, so that wakes meet the reactor asleep, awake and in between.
        if i % 16 < 3 || i == WAKES {
            wait_until("a wake-up is seen", || seen.load(Ordering::Relaxed) == i);
        }
    }
    server.stop();
}

#[test]
fn no_wake_from_a_thread_is_lost() {
    wake_from_a_thread(ReactorConfig::default());
}

#[test]
fn no_wake_is_lost_by_a_reactor_that_spins_before_it_sleeps() {
    wake_from_a_thread(ReactorConfig { spin: Duration::from_micros(20), ..ReactorConfig::default() });
}

/// Hands a number to and fro between two reactors, each waking the other from its own ring.
struct Player {
    shared: Arc<AtomicU64>,
    /// This one moves when the number is even or odd.
    parity: u64,
    partner: Arc<OnceLock<Waker>>,
    moves: u64,
}

impl Handler for Player {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: std::io::Result<usize>, _: Vec<u8>) {}

    fn woken(&mut self, io: &mut Io<Vec<u8>>) {
        let number = self.shared.load(Ordering::Relaxed);
        if number % 2 == self.parity && number < WAKES {
            self.shared.store(number + 1, Ordering::Relaxed);
            self.moves += 1;
            io.wake(self.partner.get().unwrap());
        }
    }

    fn end_turn(&mut self, _: &mut Io<Vec<u8>>) -> Next {
        Next::Sleep(None)
    }
}

#[test]
fn no_wake_from_another_reactor_is_lost() {
    let shared = Arc::new(AtomicU64::new(0));
    let partners = [Arc::new(OnceLock::new()), Arc::new(OnceLock::new())];
    let servers = [0, 1].map(|parity| {
        let partner = partners[1 - parity as usize].clone();
        Server::start(Player { shared: shared.clone(), parity, partner, moves: 0 })
    });
    for (server, cell) in servers.iter().zip(&partners) {
        cell.set(server.waker.clone()).unwrap();
    }
    servers[0].waker.wake();
    let begin = Instant::now();
    while shared.load(Ordering::Relaxed) < WAKES {
        assert!(begin.elapsed() < DEADLINE, "stuck at {}", shared.load(Ordering::Relaxed));
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let [a, b] = servers.map(Server::stop);
    assert_eq!((a.0.moves, b.0.moves), (WAKES / 2, WAKES / 2));
    assert!(a.1.signals + b.1.signals <= WAKES);
}

#[test]
fn a_waker_outlives_its_reactor() {
    let listener = Listener { announced: Arc::default(), seen: Arc::default() };
    let server = Server::start(listener);
    let waker = server.waker.clone();
    server.stop();
    waker.wake();
    waker.wake();
}
