//! What the background thread and its owner share besides their channels.

use super::sleep::Sleep;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// See the module.
pub(super) struct Shared {
    /// Whether the executor wants to be woken for a command.
    pub(super) sleep: Sleep,
    pub(super) stopping: AtomicBool,
    /// The executor panicked: no further event comes.
    pub(super) dead: AtomicBool,
    /// Wakes the executor. Taken only by a sender that found it sleeping, and at the thread's end.
    pub(super) waker: Mutex<Option<Waker>>,
}

impl Shared {
    pub(super) fn new() -> Shared {
        Shared {
            sleep: Sleep::new(),
            stopping: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Call it after what it is to be woken for is visible.
    pub(super) fn wake(&self) {
        if self.sleep.must_wake()
            && let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner)
        {
            waker.wake_by_ref();
        }
    }
}
