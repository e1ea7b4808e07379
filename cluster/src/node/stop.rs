//! How a node stops: its cores drain, then settle their shards, each within a time; then their threads end.

use super::{Node, liveness};
use crate::admin::ask::Control;
use crate::error::Error;
use crate::node::events::Event;
use std::time::{Duration, Instant};

/// How long a node of which a core has failed waits for what is under way.
const DRAIN_MAX_FAILED: Duration = Duration::from_secs(1);
/// How long a node that stops waits for its shards to settle, and how long if a core doesn't answer.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE_STUCK: Duration = Duration::from_secs(5);

/// How long cores with full queues have to make room for the word that the node stops.
const TELL_DEADLINE: Duration = Duration::from_secs(5);

impl Node {
    /// Stops a node of whose cores some have already ended and said so.
    pub(super) fn shut_down(&mut self, mut ended: usize) -> Result<(), Error> {
        if self.threads.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        tracing::info!("the node stops: it finishes what is under way");
        self.state.draining();
        self.tell_all(|| Control::Drain);
        let mut outcome = Ok(());
        // What waits for a core that is gone would wait for ever.
        let time = self.info.config.drain_timeout;
        let time = if ended == 0 { time } else { time.min(DRAIN_MAX_FAILED) };
        self.wait(time, &mut outcome, &mut ended, |event| matches!(event, Event::Drained(_)));
        self.tell_all(|| Control::Stop);
        let cores = self.cores.len();
        let left = cores - ended;
        let stuck = self.info.liveness.stuck();
        let time = if stuck.is_empty() { STOP_DEADLINE } else { STOP_DEADLINE_STUCK };
        let settled = self.wait(time, &mut outcome, &mut ended, |event| matches!(event, Event::Ended(..)));
        (self.admin, self.watch) = (None, None);
        let threads = std::mem::take(&mut self.threads);
        if settled < left {
            let why = match stuck.first() {
                Some((core, silence)) => {
                    format!("core {core} doesn't answer ({})", liveness::reason(*silence))
                }
                None => format!("a shard didn't settle within {} s", time.as_secs()),
            };
            return Err(Error::Node(format!(
                "{why}, so kvd ends without it; what it acknowledged is safe, the next start replays it"
            )));
        }
        for thread in threads {
            if thread.join().is_err() {
                outcome = Err(Error::Node("a core panicked; see the lines before".to_owned()));
            }
        }
        if outcome.is_ok() {
            tracing::info!(
                "the node has stopped after {} ms; everything accepted is settled",
                begun.elapsed().as_millis()
            );
        }
        outcome
    }

    fn tell_all(&self, message: impl Fn() -> Control) {
        let until = Instant::now() + TELL_DEADLINE;
        for core in &self.cores {
            core.tell(&message, until);
        }
    }

    /// Waits for as many events of one kind as there are cores that run, or until the deadline; how many came.
    fn wait(
        &self,
        deadline: Duration,
        outcome: &mut Result<(), Error>,
        ended: &mut usize,
        counts: impl Fn(&Event) -> bool,
    ) -> usize {
        let until = Instant::now() + deadline;
        let mut count = 0;
        let goal = self.cores.len() - *ended;
        while count < goal {
            let Ok(event) = self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                break;
            };
            let hit = counts(&event);
            count += usize::from(hit);
            if let Event::Ended(_, result) = event {
                *ended += 1;
                // A core that ended will never drain.
                count += usize::from(!hit);
                if outcome.is_ok() {
                    *outcome = result;
                }
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::sync::mpsc;

    #[test]
    fn a_node_of_which_a_core_ended_says_so_and_ends_without_waiting_for_that_core() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { shards: Some(2), ..Config::ephemeral(dir.path()) };
        let node = Node::start(config).unwrap();
        // Nobody asked the node: to it, the core has failed.
        assert!(node.cores[1].send(Control::Stop));
        let (sender, outcome) = mpsc::channel();
        std::thread::spawn(move || sender.send(node.run()));
        let outcome = outcome.recv_timeout(DRAIN_MAX_FAILED + STOP_DEADLINE / 2);
        let error = outcome.expect("the node ends before its deadlines have passed").unwrap_err();
        assert!(error.to_string().contains("core 1 ended"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}
