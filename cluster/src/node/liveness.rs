//! Whether cores still answer: a core whose turn doesn't end (a system call that hangs, an endless loop) can't say so
//! itself.
//!
//! A thread asks each core for a sign of life once a second. A core that owes one for longer than [`PATIENCE`] is *stuck*:
//! `/ready` and `/health` name it, and the log says so once. What is measured begins when the core was asked, so that a
//! process that was stopped as a whole (SIGSTOP, a suspended machine) finds nobody stuck when it goes on.

use crate::admin::ask::{Control, CoreHandle};
use crate::error::Error;
use crate::node::events::Events;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long a core may owe a sign of life.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked for one.
const PERIOD: Duration = Duration::from_secs(1);

/// What is known of the cores; shared by all who ask.
#[derive(Clone, Debug)]
pub struct Liveness {
    epoch: Instant,
    patience: Duration,
    /// For each core since when it owes a sign of life, in milliseconds from the epoch; 0 if it owes none.
    owed_since_ms: Arc<[AtomicU64]>,
}

impl Liveness {
    /// Of so many cores, each of which may owe a sign of life for so long.
    pub fn new(cores: usize, patience: Duration) -> Liveness {
        let owed_since_ms = (0..cores).map(|_| AtomicU64::new(0)).collect();
        Liveness { epoch: Instant::now(), patience, owed_since_ms }
    }

    /// A sign of life.
    pub fn lives(&self, core: usize) {
        self.owed_since_ms[core].store(0, Ordering::Release);
    }

    /// Asks a core for a sign of life, unless it owes one.
    pub fn ask(&self, core: usize, handle: &CoreHandle) {
        let now_ms = self.epoch.elapsed().as_millis() as u64 + 1;
        let owed = &self.owed_since_ms[core];
        if owed.compare_exchange(0, now_ms, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            && !handle.send(Control::Live)
        {
            // Its queue is full, or it has ended, which it says itself: it is asked again next time.
            owed.store(0, Ordering::Release);
        }
    }

    /// The cores that are stuck, and for how long they have owed a sign of life.
    pub fn stuck(&self) -> Vec<(usize, Duration)> {
        let now_ms = self.epoch.elapsed().as_millis() as u64 + 1;
        let silent = |(core, owed): (usize, &AtomicU64)| {
            let since_ms = Some(owed.load(Ordering::Acquire)).filter(|&ms| ms > 0)?;
            let silence = Duration::from_millis(now_ms.saturating_sub(since_ms));
            (silence > self.patience).then_some((core, silence))
        };
        self.owed_since_ms.iter().enumerate().filter_map(silent).collect()
    }
}

/// What is wrong with a core that has been silent for so long, in words.
pub fn reason(silence: Duration) -> String {
    format!("its turn hasn't ended for {} s", silence.as_secs())
}

/// Keeps asking, and looking after the store's place, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    _end: Sender<()>,
}

impl Watch {
    /// Watches these cores, and `check`, whose first error ends the node.
    pub fn start(
        liveness: Liveness,
        cores: Vec<CoreHandle>,
        check: impl Fn() -> Result<(), Error> + Send + 'static,
        events: Events,
    ) -> Result<Watch, Error> {
        let (end, ended) = channel::<()>();
        let run = move || {
            let (mut told, mut has_failed) = (Vec::new(), false);
            while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
                for (core, handle) in cores.iter().enumerate() {
                    liveness.ask(core, handle);
                }
                tell(&liveness.stuck(), &mut told);
                if !has_failed && let Err(error) = check() {
                    has_failed = true;
                    events.failed(error);
                }
            }
        };
        std::thread::Builder::new().name("kvd-watch".to_owned()).spawn(run).map_err(|e| {
            Error::Node(format!("no thread for the watch: {e}; raise the limit with `ulimit -u`"))
        })?;
        Ok(Watch { _end: end })
    }
}

fn tell(stuck: &[(usize, Duration)], told: &mut Vec<usize>) {
    for &(core, silence) in stuck {
        if !told.contains(&core) {
            told.push(core);
            tracing::error!("core {core} doesn't answer: {}; /ready is 503 until it does", reason(silence));
        }
    }
    told.retain(|&core| {
        let is_stuck = stuck.iter().any(|&(other, _)| other == core);
        if !is_stuck {
            tracing::info!("core {core} answers again");
        }
        is_stuck
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_core_that_owes_a_sign_of_life_too_long_is_stuck_until_it_gives_one() {
        let (messages, inbox) = sync_channel(4);
        let handle = CoreHandle::new(messages, Arc::new(|| ()));
        let liveness = Liveness::new(2, Duration::ZERO);
        assert_eq!(liveness.stuck(), [], "nobody was asked");
        liveness.ask(1, &handle);
        liveness.ask(1, &handle);
        assert_eq!(inbox.try_iter().count(), 1, "it is asked once");
        while liveness.stuck().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(liveness.stuck()[0].0, 1);
        liveness.lives(1);
        assert_eq!(liveness.stuck(), []);
    }

    #[test]
    fn a_core_that_cant_be_asked_isnt_blamed() {
        let (messages, inbox) = sync_channel(4);
        drop(inbox);
        let liveness = Liveness::new(1, Duration::ZERO);
        liveness.ask(0, &CoreHandle::new(messages, Arc::new(|| ())));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(liveness.stuck(), []);
    }
}
