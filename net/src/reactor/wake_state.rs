//! The number between wakers and a reactor: AWAKE, ASLEEP or NOTIFIED.
//!
//! What it promises, and why no wake-up is lost, is said in `waker.rs`; here is only what memory orders it takes. Loom
//! runs it in every interleaving (docs/testing.md).

#[cfg(all(test, pinion_loom))]
use loom::sync::atomic::{AtomicU32, fence};
use std::sync::atomic::Ordering;
#[cfg(not(all(test, pinion_loom)))]
use std::sync::atomic::{AtomicU32, fence};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const NOTIFIED: u32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct WakeState(AtomicU32);

impl WakeState {
    /// Of a reactor that is awake.
    pub fn new() -> WakeState {
        WakeState(AtomicU32::new(AWAKE))
    }

    /// Leaves the news; true if the reactor sleeps and this call has to signal.
    pub fn notify(&self) -> bool {
        // Orders the caller's writes before the read below: if the reactor has not yet taken this NOTIFIED,
        // its taking it (a fence there too) sees those writes.
        fence(Ordering::SeqCst);
        if self.0.load(Ordering::Relaxed) == NOTIFIED {
            return false;
        }
        self.0.swap(NOTIFIED, Ordering::SeqCst) == ASLEEP
    }

    /// Whether someone woke the reactor and it hasn't taken it; only a hint.
    #[cfg_attr(pinion_loom, expect(dead_code, reason = "a hint has no model"))]
    pub fn is_notified(&self) -> bool {
        self.0.load(Ordering::Relaxed) == NOTIFIED
    }

    /// The reactor is about to sleep; false if it must not.
    pub fn fall_asleep(&self) -> bool {
        self.0.compare_exchange(AWAKE, ASLEEP, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The reactor runs; true if someone woke it since the last call.
    pub fn take(&self) -> bool {
        if self.0.load(Ordering::Relaxed) == AWAKE {
            return false;
        }
        let notified = self.0.swap(AWAKE, Ordering::SeqCst) == NOTIFIED;
        fence(Ordering::SeqCst);
        notified
    }
}

#[cfg(all(test, pinion_loom))]
mod loom_test {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    struct Reactor {
        state: WakeState,
        /// Stands for the eventfd, which keeps a signal until it is read.
        signal: Notify,
        /// Stands for the queues; relaxed, so that only the state orders it.
        news: AtomicUsize,
    }

    /// A turn looks at the news only when it was woken. A lost wake-up is a reactor that sleeps for ever, which loom
    /// reports as a deadlock; news that a woken turn doesn't see come to the same.
    fn all_news_arrive(wakers: usize, each: usize) {
        loom::model(move || {
            let reactor = Arc::new(Reactor {
                state: WakeState::new(),
                signal: Notify::new(),
                news: AtomicUsize::new(0),
            });
            for _ in 0..wakers {
                let reactor = reactor.clone();
                thread::spawn(move || {
                    for _ in 0..each {
                        reactor.news.fetch_add(1, Ordering::Relaxed);
                        if reactor.state.notify() {
                            reactor.signal.notify();
                        }
                    }
                });
            }
            let mut seen = 0;
            while seen < wakers * each {
                if reactor.state.take() {
                    seen = reactor.news.load(Ordering::Relaxed);
                } else if reactor.state.fall_asleep() {
                    reactor.signal.wait();
                }
            }
        });
    }

    #[test]
    fn loom_no_wake_up_of_one_waker_is_lost() {
        all_news_arrive(1, 2);
    }

    #[test]
    fn loom_no_wake_up_of_two_wakers_is_lost() {
        all_news_arrive(2, 1);
    }
}
