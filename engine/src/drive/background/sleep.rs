//! Whether the executor sleeps: the flag between those who send it commands and the thread that takes them.
//!
//! 1. A sender makes its command visible and then takes the flag down. If it was up, the sender wakes the thread.
//! 2. The thread puts the flag up before it looks a last time.
//!
//! Why no command is slept through: both sides swap, and swaps of one flag are totally ordered. The sender's comes before
//! the thread's, which then acquires what the sender wrote, and the last look finds the command; or it comes after,
//! and then it finds the flag up (or another sender has taken it down, and wakes). Loom runs it in every
//! interleaving (docs/testing.md).

#[cfg(all(test, pinion_loom))]
use loom::sync::atomic::AtomicBool;
#[cfg(not(all(test, pinion_loom)))]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// See the module.
pub(super) struct Sleep {
    sleeping: AtomicBool,
}

impl Sleep {
    /// Of a thread that is awake.
    pub fn new() -> Sleep {
        Sleep { sleeping: AtomicBool::new(false) }
    }

    /// Whether the thread must be woken. Call it after what it is to be woken for is visible.
    pub fn must_wake(&self) -> bool {
        self.sleeping.swap(false, Ordering::AcqRel)
    }

    /// What `look` finds. If it is nothing the thread may sleep: whoever brings something from here on wakes it.
    pub fn look<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        for sleeping in [false, true] {
            self.sleeping.swap(sleeping, Ordering::AcqRel);
            if let Some(found) = look() {
                self.sleeping.swap(false, Ordering::AcqRel);
                return Some(found);
            }
        }
        None
    }
}

#[cfg(all(test, pinion_loom))]
mod loom_test {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Notify};
    use loom::thread;

    struct Executor {
        sleep: Sleep,
        waker: Notify,
        /// Stands for the channel; relaxed, so that only the flag orders it.
        commands: AtomicUsize,
    }

    /// A lost wake-up is a thread that waits for ever, which loom reports as a deadlock.
    fn all_commands_arrive(senders: usize, each: usize) {
        loom::model(move || {
            let executor = Arc::new(Executor {
                sleep: Sleep::new(),
                waker: Notify::new(),
                commands: AtomicUsize::new(0),
            });
            for _ in 0..senders {
                let executor = executor.clone();
                thread::spawn(move || {
                    for _ in 0..each {
                        executor.commands.fetch_add(1, Ordering::Relaxed);
                        if executor.sleep.must_wake() {
                            executor.waker.notify();
                        }
                    }
                });
            }
            let mut taken = 0;
            while taken < senders * each {
                let next = || Some(executor.commands.load(Ordering::Relaxed)).filter(|&sent| sent > taken);
                match executor.sleep.look(next) {
                    Some(sent) => taken = sent,
                    None => executor.waker.wait(),
                }
            }
        });
    }

    #[test]
    fn loom_no_command_of_one_sender_is_slept_through() {
        all_commands_arrive(1, 2);
    }

    #[test]
    fn loom_no_command_of_two_senders_is_slept_through() {
        all_commands_arrive(2, 1);
    }
}
