//! The loop.

use super::buffers::ReceiveBuffers;
use super::config::ReactorConfig;
use super::connection::ConnId;
use super::descriptors::Descriptors;
use super::files::Files;
use super::io::Io;
use super::listener::{ACCEPTS, BACKLOG, Listener};
use super::preflight;
use super::ring::{Completion, Ring, Wait};
use super::stats::Stats;
use super::syscalls;
use super::tag::{Kind, Tag};
use super::waker::Waker;
use super::{Handler, Next};
use std::io;
use std::time::{Duration, Instant};

/// Descriptors for connections that are being refused.
const REFUSALS_MAX: usize = 64;
/// How long a stopping reactor waits for the kernel to let go of its operations.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Stalls from this length on are logged as warnings, at most this often; shorter ones are for who looks for them.
const STALL_WARNED: Duration = Duration::from_millis(50);
const STALL_LOG_PAUSE: Duration = Duration::from_secs(10);

/// One core's event loop. Made on any thread, run on one.
pub struct Reactor<H: Handler> {
    /// Before the receive buffers, so that the ring is closed before their memory is freed.
    pub(super) io: Io<H::Buf>,
    pub(super) buffers: ReceiveBuffers,
    /// What enters have brought and isn't handled.
    pub(super) completions: Vec<Completion>,
    /// Connections to go on with; between turns, those that there was no time for.
    pub(super) ready: Vec<ConnId>,
    /// They go before completions in this turn.
    pub(super) is_ready_first: bool,
    cpu: Option<usize>,
    spin: Duration,
    stall: Duration,
    stall_logged: Option<Instant>,
    ran: bool,
}

impl<H: Handler> Reactor<H> {
    /// Sets everything up but starts nothing. Fails with the remedy in the error's text.
    pub fn new(mut config: ReactorConfig) -> io::Result<Reactor<H>> {
        let sockets = std::mem::take(&mut config.listeners);
        for socket in &sockets {
            syscalls::prepare_listener(socket, BACKLOG)?;
        }
        let incoming = match sockets.len() {
            0 => 0,
            listeners => config.connections_max + listeners * ACCEPTS + REFUSALS_MAX,
        };
        let descriptors = incoming + config.connections_out_max;
        syscalls::raise_open_files(descriptors as u64)?;
        let ring = Ring::new(config.ring_entries, u32::try_from(descriptors).unwrap_or(u32::MAX))
            .map_err(preflight::explain_ring_error)?;
        let buffers =
            ReceiveBuffers::new(&ring, config.receive_buffer_count(), config.receive_buffer_bytes.max(1))
                .map_err(preflight::explain_ring_error)?;
        let listeners = sockets.into_iter().map(Listener::new).collect();
        let shares = Descriptors::new(incoming, config.connections_out_max);
        let io = Io::new(ring, Files::new(), listeners, shares, &config)?;
        Ok(Reactor {
            io,
            buffers,
            completions: Vec::new(),
            ready: Vec::new(),
            is_ready_first: false,
            cpu: config.cpu,
            spin: config.spin,
            stall: config.stall,
            stall_logged: None,
            ran: false,
        })
    }

    /// Wakes this reactor, also before it runs.
    pub fn waker(&self) -> Waker {
        self.io.waker()
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        self.io.stats()
    }

    /// Serves on the calling thread until the handler calls [`Io::stop`], then closes everything. Can be
    /// called once.
    pub fn run(&mut self, handler: &mut H) -> io::Result<()> {
        if std::mem::replace(&mut self.ran, true) {
            return Err(io::Error::other("the reactor has run and can't run again: make a new one"));
        }
        self.start()?;
        let result = self.serve(handler);
        self.io.waker.set_ring(None);
        result.and_then(|()| self.drain(handler))
    }

    fn start(&mut self) -> io::Result<()> {
        if let Some(cpu) = self.cpu {
            syscalls::pin_to(cpu).map_err(|error| {
                io::Error::new(error.kind(), format!("this thread can't be pinned to CPU {cpu}: {error}"))
            })?;
        }
        self.io.ring.start().map_err(preflight::explain_ring_error)?;
        self.io.waker.set_ring(Some(self.io.ring.fd()));
        self.io.watch_event();
        self.io.accepts_idle = (0..(self.io.listeners.len() * ACCEPTS) as u32).rev().collect();
        self.io.flush();
        Ok(())
    }

    fn serve(&mut self, handler: &mut H) -> io::Result<()> {
        let mut wait = Wait::No;
        loop {
            self.io.ring.enter(wait)?;
            let woken = self.io.waker.take();
            self.io.now = Instant::now();
            let mark = self.io.stats.mark();
            self.collect()?;
            self.dispatch(handler);
            if woken {
                self.io.stats.woken += 1;
                handler.woken(&mut self.io);
            }
            let events_done = Instant::now();
            let next = handler.end_turn(&mut self.io);
            self.io.end_lingering();
            self.io.flush();
            let end = Instant::now();
            self.io.stats.turns += 1;
            let time = end - self.io.now;
            self.io.stats.note_turn(time);
            if time > self.stall {
                let stall = self.io.stats.note_stall(mark, time, end - events_done);
                let thread = std::thread::current();
                let core = thread.name().unwrap_or("a core");
                let is_due = self.stall_logged.is_none_or(|at| end - at >= STALL_LOG_PAUSE);
                if time >= STALL_WARNED && is_due {
                    self.stall_logged = Some(end);
                    tracing::warn!("{core} was held up by a turn: {stall}");
                } else {
                    tracing::debug!("{core} was held up by a turn: {stall}");
                }
            }
            if let Some(failure) = self.io.failure.take() {
                return Err(failure);
            }
            if self.io.stopping {
                self.io.ring.enter(Wait::No)?;
                return self.collect();
            }
            wait = self.before_enter(next)?;
        }
    }

    /// Takes all completions in and settles the sends.
    fn collect(&mut self) -> io::Result<()> {
        let before = self.completions.len();
        self.io.ring.reap(&mut self.completions)?;
        self.io.stats.completions += (self.completions.len() - before) as u64;
        self.io.stats.enters = self.io.ring.enters;
        self.io.settle_sends(&self.completions[before..]);
        Ok(())
    }

    /// How the next enter waits; if it does, wakers know from here on that they have to signal.
    fn before_enter(&mut self, next: Next) -> io::Result<Wait> {
        let Next::Sleep(timeout) = next else {
            return Ok(Wait::No);
        };
        let has_left = !self.completions.is_empty() || !self.ready.is_empty();
        if has_left || !self.io.ready.is_empty() || !self.io.ended.is_empty() {
            return Ok(Wait::No);
        }
        let timeout = [timeout, self.io.own_timeout()].into_iter().flatten().min();
        if timeout.is_some_and(|timeout| timeout.is_zero()) || self.spin_finds_work(timeout)? {
            return Ok(Wait::No);
        }
        if !self.io.waker.fall_asleep() {
            return Ok(Wait::No);
        }
        self.io.stats.sleeps += 1;
        Ok(timeout.map_or(Wait::Forever, Wait::AtMost))
    }

    fn spin_finds_work(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        if self.spin.is_zero() {
            return Ok(false);
        }
        self.io.ring.enter(Wait::No)?;
        let start = Instant::now();
        let most = timeout.map_or(self.spin, |timeout| timeout.min(self.spin));
        while start.elapsed() < most {
            if self.io.waker.is_notified() || self.io.ring.has_work() {
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        Ok(false)
    }

    /// Closes everything, and waits until the kernel holds nothing of this reactor any more.
    fn drain(&mut self, handler: &mut H) -> io::Result<()> {
        self.io.accepting = false;
        // Before what the last enter brought is handled: nothing is presented after `stop`.
        self.io.end_all();
        self.dispatch(handler);
        let begin = Instant::now();
        while begin.elapsed() < DRAIN_MAX {
            self.io.now = Instant::now();
            self.io.end_silent();
            self.io.flush();
            if self.io.is_quiet() && self.io.files_in_flight() == 0 {
                break;
            }
            let wait = if self.io.ended.is_empty() { DRAIN_MAX / 50 } else { Duration::ZERO };
            self.io.ring.enter(Wait::AtMost(wait))?;
            self.collect()?;
            self.dispatch(handler);
        }
        self.io.ring.enter(Wait::No)
    }
}

impl<B> Io<B> {
    /// Arms the watch on the eventfd through which other threads wake this reactor.
    pub(super) fn watch_event(&mut self) {
        let fd = self.waker.event_fd();
        let result = self.ring.watch_event(fd, Tag::new(Kind::Event, 0, 0));
        self.must(result);
    }
}
