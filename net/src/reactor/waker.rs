//! Waking a reactor from other cores and threads.
//!
//! A reactor's state is one number: AWAKE, ASLEEP or NOTIFIED.
//! 1. A waker first makes its news visible (pushes to a queue), then swaps the state to NOTIFIED. Only if it was
//!    ASLEEP does it send a signal: a message to the reactor's ring from another ring, or a write to its eventfd.
//! 2. Before it sleeps, the reactor changes AWAKE to ASLEEP by compare-and-exchange. If the state is NOTIFIED
//!    that fails, and it doesn't sleep.
//! 3. When it comes back it swaps the state to AWAKE; if it was NOTIFIED, it calls `woken`, which looks at the queues.
//!
//! Why no wake-up is lost: the swaps and the exchange on one number are totally ordered. A waker's swap comes before
//! the reactor's exchange, which then fails, or after it, and then it sees ASLEEP and signals; in both cases the
//! reactor's next swap finds NOTIFIED and, reading what the waker wrote, sees its news. A signal can't be lost
//! either: the eventfd's poll stays armed (and is armed again if it ends), a message is a completion, and a message
//! that can't be delivered comes back to its sender, who writes the eventfd instead.
//!
//! Why it is cheap: of many wakes between two sleeps at most one signals, and while the state is NOTIFIED a waker
//! only reads it.

use super::syscalls;
use super::wake_state::WakeState;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// Wakes one reactor; cheap to clone, usable from any thread, also after the reactor is gone.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

/// On its own cache line: its neighbours in memory shouldn't suffer from wakers.
#[derive(Debug)]
#[repr(align(128))]
struct Shared {
    state: WakeState,
    /// The ring's descriptor while the reactor runs, else -1. A message sent just as the reactor stops may
    /// reach no ring or a newer one: the first comes back as a failure, the second is an empty turn there.
    ring: AtomicI32,
    event: File,
}

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        let event = File::from(syscalls::eventfd()?);
        Ok(Waker { shared: Arc::new(Shared { state: WakeState::new(), ring: AtomicI32::new(-1), event }) })
    }

    /// Makes the reactor call [`super::Handler::woken`] soon. Whatever this thread wrote before is
    /// visible there.
    pub fn wake(&self) {
        if self.notify() {
            self.signal();
        }
    }

    /// Notes that there is news; true if the reactor sleeps and has to be signalled.
    pub(super) fn notify(&self) -> bool {
        self.shared.state.notify()
    }

    pub(super) fn signal(&self) {
        // Fails only if the counter is at its maximum, and then the poll has fired.
        let _ = (&self.shared.event).write(&1_u64.to_ne_bytes());
    }

    /// The ring that messages can be sent to, if its reactor runs.
    pub(super) fn ring(&self) -> Option<RawFd> {
        Some(self.shared.ring.load(Ordering::Acquire)).filter(|&fd| fd >= 0)
    }

    pub(super) fn set_ring(&self, ring: Option<RawFd>) {
        self.shared.ring.store(ring.unwrap_or(-1), Ordering::Release);
    }

    pub(super) fn event_fd(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }

    pub(super) fn is_same(&self, other: &Waker) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether someone woke the reactor and it hasn't taken it; only a hint.
    pub(super) fn is_notified(&self) -> bool {
        self.shared.state.is_notified()
    }

    /// The reactor is about to sleep; false if it must not.
    pub(super) fn fall_asleep(&self) -> bool {
        self.shared.state.fall_asleep()
    }

    /// The reactor runs; true if someone woke it since the last call.
    pub(super) fn take(&self) -> bool {
        self.shared.state.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_wake_of_a_sleeper_signals() {
        let waker = Waker::new().unwrap();
        assert!(waker.fall_asleep());
        assert!(waker.shared.state.notify());
        assert!(!waker.shared.state.notify());
        assert!(waker.take());
        assert!(!waker.take());
    }

    #[test]
    fn a_notified_reactor_does_not_fall_asleep() {
        let waker = Waker::new().unwrap();
        assert!(!waker.shared.state.notify());
        assert!(!waker.fall_asleep());
        assert!(waker.take());
        assert!(waker.fall_asleep());
    }
}
