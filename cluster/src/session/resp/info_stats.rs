//! What INFO counts: sections Stats, CPU, Commandstats, Errorstats.

use crate::node::info::NodeInfo;
use crate::stats::published::Figure;
use crate::stats::tally::{CommandTally, Counter, ErrorWord, Tally};
use pinion_net::resp::CommandId;
use std::fmt::Write;

/// Of whom INFO tells: on the common port of the node, on a core's own port of that core, as a cluster client expects
/// which asks every master and puts the answers together.
pub(super) struct Scope<'n> {
    pub node: &'n NodeInfo,
    pub partitions: usize,
    /// The core that answers.
    pub me: usize,
    /// The one that is told of, if it is one.
    pub core: Option<usize>,
    pub now_us: u64,
}

impl Scope<'_> {
    pub(super) fn get(&self, figure: Figure) -> u64 {
        self.node.published.get(self.core, figure)
    }

    /// The part of what the node has in all.
    pub fn share(&self, of_node: u64) -> u64 {
        if self.core.is_some() { of_node / self.node.cores as u64 } else { of_node }
    }
}

/// Of what the numbers are sums.
fn tallies<'n>(scope: &Scope<'n>) -> &'n [Tally] {
    scope.core.map_or(&scope.node.tallies[..], |core| &scope.node.tallies[core..=core])
}

fn sum(tallies: &[Tally], of: impl Fn(&Tally) -> u64) -> u64 {
    tallies.iter().map(of).sum()
}

/// Stats.
pub(super) fn stats(scope: &Scope<'_>) -> String {
    let tallies = tallies(scope);
    let errors = sum(tallies, |tally| ErrorWord::ALL.map(|word| tally.errors(word)).iter().sum());
    format!(
        "total_connections_received:{}\r\ntotal_commands_processed:{}\r\n\
         total_net_input_bytes:{}\r\ntotal_net_output_bytes:{}\r\nrejected_connections:{}\r\n\
         expired_keys:{}\r\nevicted_keys:0\r\nevicted_clients:0\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n\
         pubsub_channels:0\r\npubsub_patterns:0\r\ntotal_error_replies:{errors}\r\n",
        scope.get(Figure::Accepted),
        scope.get(Figure::Commands),
        scope.get(Figure::Received),
        scope.get(Figure::Sent),
        scope.get(Figure::Rejected),
        scope.get(Figure::Expired),
        sum(tallies, |tally| tally.hits.get()),
        sum(tallies, |tally| tally.misses.get()),
    )
}

/// CPU: the time of the whole process, or of the core's own thread.
pub(super) fn cpu(scope: &Scope<'_>) -> String {
    let thread = cpu_seconds("/proc/thread-self/stat");
    let (user, sys) = if scope.core.is_some() { thread } else { cpu_seconds("/proc/self/stat") };
    format!(
        "used_cpu_sys:{sys:.6}\r\nused_cpu_user:{user:.6}\r\nused_cpu_sys_children:0.000000\r\n\
         used_cpu_user_children:0.000000\r\nused_cpu_sys_main_thread:{:.6}\r\nused_cpu_user_main_thread:{:.6}\r\n",
        thread.1, thread.0
    )
}

/// User and system time by the kernel's account in `stat`: fields 14 and 15, in hundredths of a second on every Linux.
fn cpu_seconds(stat: &str) -> (f64, f64) {
    const TICKS_PER_S: f64 = 100.0;
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // The name before may hold spaces; it ends with the last parenthesis.
    let mut fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut seconds =
        || fields.next().and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default() / TICKS_PER_S;
    (seconds(), seconds())
}

/// Commandstats: every command that was called or refused.
pub(super) fn commandstats(scope: &Scope<'_>) -> String {
    let mut text = String::new();
    for command in CommandId::all() {
        let all = tallies(scope).iter().filter_map(|tally| tally.of_command(command));
        let sum = |of: fn(&CommandTally) -> &Counter| all.clone().map(|tally| of(tally).get()).sum::<u64>();
        let (calls, usec) = (sum(|tally| &tally.calls), sum(|tally| &tally.usec));
        let (rejected, failed) = (sum(|tally| &tally.rejected), sum(|tally| &tally.failed));
        if calls + rejected + failed > 0 {
            let _ = write!(
                text,
                "cmdstat_{command}:calls={calls},usec={usec},usec_per_call={:.2},rejected_calls={rejected},\
                 failed_calls={failed}\r\n",
                usec as f64 / calls.max(1) as f64
            );
        }
    }
    text
}

/// Errorstats: every first word of an error that was replied.
pub(super) fn errorstats(scope: &Scope<'_>) -> String {
    let mut text = String::new();
    for word in ErrorWord::ALL {
        let count = sum(tallies(scope), |tally| tally.errors(word));
        if count > 0 {
            let _ = write!(text, "errorstat_{}:count={count}\r\n", word.text());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_found_behind_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stat");
        std::fs::write(&path, "7 (a ) b) R 1 2 3 4 5 6 7 8 9 10 250 75 0 0 20 0").unwrap();
        assert_eq!(cpu_seconds(path.to_str().unwrap()), (2.5, 0.75));
        assert!(cpu_seconds("/proc/self/stat").0 >= 0.0);
        assert_eq!(cpu_seconds("/proc/none"), (0.0, 0.0));
    }
}
