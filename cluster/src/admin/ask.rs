//! Messages from the admin side to cores. A core answers between two turns; nobody waits longer than a deadline.

use crate::stats::CoreStats;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What a core is told from outside.
pub enum Control {
    /// Send a snapshot of your statistics.
    Stats(oneshot::Sender<Box<CoreStats>>),
    /// Give a sign of life.
    Live,
    /// Take in nothing new, and say when all that is under way is answered.
    Drain,
    /// Settle the shard, then end.
    Stop,
}

/// Reaches one core from any thread.
#[derive(Clone)]
pub struct CoreHandle {
    messages: SyncSender<Control>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

/// How many messages may wait for a core.
pub const CONTROL_QUEUE: usize = 64;

impl CoreHandle {
    /// A handle that leaves messages in `messages` and then calls `wake`.
    pub fn new(messages: SyncSender<Control>, wake: Arc<dyn Fn() + Send + Sync>) -> CoreHandle {
        CoreHandle { messages, wake }
    }

    /// Leaves a message; `false` if the core has ended or its queue is full.
    pub fn send(&self, message: Control) -> bool {
        let sent = self.messages.try_send(message).is_ok();
        (self.wake)();
        sent
    }

    /// Leaves a message that must arrive: while the queue is full it is tried again, until then or until the core has
    /// ended.
    pub fn tell(&self, message: &impl Fn() -> Control, until: Instant) {
        while let Err(TrySendError::Full(_)) = self.messages.try_send(message()) {
            if Instant::now() >= until {
                return;
            }
            (self.wake)();
            std::thread::sleep(RETRY_PAUSE);
        }
        (self.wake)();
    }
}

/// How long a message waits before it is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Asks all cores at once; `None` for each that doesn't answer within `deadline`.
pub async fn stats(cores: &[CoreHandle], deadline: Duration) -> Vec<Option<CoreStats>> {
    let answers: Vec<_> = cores
        .iter()
        .map(|core| {
            let (sender, answer) = oneshot::channel();
            core.send(Control::Stats(sender)).then_some(answer)
        })
        .collect();
    let until = tokio::time::Instant::now() + deadline;
    let mut stats = Vec::with_capacity(cores.len());
    for answer in answers {
        let Some(answer) = answer else {
            stats.push(None);
            continue;
        };
        let answer = tokio::time::timeout_at(until, answer).await;
        stats.push(answer.ok().and_then(Result::ok).map(|stats| *stats));
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn the_word_to_stop_arrives_behind_a_full_queue() {
        let (messages, inbox) = sync_channel(1);
        let core = CoreHandle::new(messages, Arc::new(|| ()));
        assert!(core.send(Control::Drain));
        assert!(!core.send(Control::Drain), "the queue is full");
        let teller = std::thread::spawn(move || {
            core.tell(&|| Control::Stop, Instant::now() + Duration::from_secs(60));
        });
        assert!(matches!(inbox.recv(), Ok(Control::Drain)));
        assert!(matches!(inbox.recv(), Ok(Control::Stop)));
        teller.join().unwrap();
    }
}
