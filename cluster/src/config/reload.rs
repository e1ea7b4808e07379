//! What a running node can take over from a configuration that was read again, and what it can't.
//!
//! Only the log filter changes while a node runs. Addresses, shards, CPUs, memory, durability and limits are settled when its
//! cores start: each is handed to every core once.

use super::Config;
use super::listen::Listen;
use super::machine::cpu_list;
use std::fmt;

/// A setting that counts only after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeedsRestart {
    /// Its name, as in the file.
    pub key: &'static str,
    /// What is in force.
    pub running: String,
    /// What was read.
    pub wanted: String,
}

impl fmt::Display for NeedsRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NeedsRestart { key, running, wanted } = self;
        write!(f, "{key} is {running} and stays so until a restart; the configuration says {wanted}")
    }
}

impl Config {
    /// What `wanted` has otherwise than this configuration, which is in force, and can't be changed while the node runs.
    pub fn needing_restart(&self, wanted: &Config) -> Vec<NeedsRestart> {
        let pairs = self.fixed().into_iter().zip(wanted.fixed());
        pairs
            .filter(|((_, running), (_, wanted))| running != wanted)
            .map(|((key, running), (_, wanted))| NeedsRestart { key, running, wanted })
            .collect()
    }

    /// All settings but the log filter, by name.
    fn fixed(&self) -> [(&'static str, String); 15] {
        let unset = |text: Option<String>| text.unwrap_or_else(|| "unset".to_owned());
        let address = |addr: &Option<Listen>| addr.as_ref().map_or("off".to_owned(), Listen::to_string);
        [
            ("dir", self.dir.display().to_string()),
            ("listen", self.listen.to_string()),
            ("resp-listen", address(&self.resp_listen)),
            ("admin-listen", address(&self.admin_listen)),
            ("shards", unset(self.shards.map(|shards| shards.to_string()))),
            ("cpus", cpu_list(&self.cpus)),
            ("durability", self.durability.to_string()),
            ("memory", format!("{} bytes", self.memory_bytes)),
            ("partitions", unset(self.partitions.map(|partitions| partitions.to_string()))),
            ("node-id", unset(self.node_id.clone())),
            ("value-max", format!("{} bytes", self.value_bytes_max)),
            ("connections-max", self.connections_max.to_string()),
            ("drain-timeout", humantime::format_duration(self.drain_timeout).to_string()),
            ("request-timeout", humantime::format_duration(self.request_timeout).to_string()),
            ("log-format", format!("{:?}", self.log_format).to_lowercase()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::NAMES;
    use super::*;

    #[test]
    fn what_changed_is_named_with_both_values() {
        let running = Config::defaults("data");
        let wanted = Config {
            log: "debug".to_owned(),
            shards: Some(3),
            connections_max: 7,
            admin_listen: None,
            ..running.clone()
        };
        let told: Vec<String> =
            running.needing_restart(&wanted).iter().map(NeedsRestart::to_string).collect();
        assert_eq!(
            told,
            [
                "admin-listen is 127.0.0.1:7480 and stays so until a restart; the configuration says off",
                "shards is unset and stays so until a restart; the configuration says 3",
                "connections-max is 10000 and stays so until a restart; the configuration says 7",
            ]
        );
        assert_eq!(running.needing_restart(&running), []);
    }

    #[test]
    fn every_setting_is_either_fixed_or_taken_over() {
        let fixed = Config::defaults("data").fixed().map(|(key, _)| key);
        // `join` is refused, and `insecure` only permits addresses: a running node keeps its own. `accept-time-jump` is about
        // its start.
        let others = ["join", "log", "insecure", "accept-time-jump"];
        let mut known: Vec<&str> = fixed.into_iter().chain(others).collect();
        let mut names = NAMES.to_vec();
        known.sort_unstable();
        names.sort_unstable();
        assert_eq!(known, names);
    }
}
