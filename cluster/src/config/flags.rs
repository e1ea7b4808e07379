//! The command line of `kvd`. Values stay text here; [`super`] reads them, wherever they come from.

use super::{Layer, Origin, Setting};
use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  kvd                                              a store in ./pinion-data, on all cores
  kvd --dir /var/lib/pinion --memory 8GB           data and memory
  kvd --shards 2 --cpus 0-1                        two shards, pinned to two CPUs
  kvd --durability interval:100                    synced every 100 ms, acknowledged before
  kvd --listen 127.0.0.1:0 --resp-listen off --admin-listen off
                                                   a free port, and nothing but the binary protocol
  kvd --listen 0.0.0.0:7400 --insecure             open to other machines, without authentication
  kvd --config pinion.toml --check                 validate, and exit
  PINION_MEMORY=512MB kvd                          every flag is a variable, too

pinion.toml:
  dir = \"/var/lib/pinion\"
  memory = \"8GB\"
  log = \"info\"

Of a repeated flag the last counts. Precedence: flag, environment, --config file, default. The keys of the file are the flags' \
names without the dashes in front. SIGTERM drains and ends, \
within --drain-timeout and 30 s; SIGHUP rereads the configuration, takes over `log` and warns of \
other changes. Exit codes: 0, 2 (usage or configuration), 1 (anything else).";

/// A durable, distributed key-value store.
#[derive(Debug, Parser)]
#[command(
    name = "kvd",
    version,
    args_override_self = true,
    after_help = EXAMPLES
)]
pub struct Flags {
    /// Read settings from this TOML file
    #[arg(long, env = "PINION_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the data is [default: pinion-data]
    #[arg(long, env = "PINION_DIR", value_name = "DIR")]
    pub dir: Option<String>,
    /// Address of the binary protocol, all of them if it is a name; core I also listens on its port + 1000 + I [default: 127.0.0.1:7400]
    #[arg(long, env = "PINION_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Address of the Redis protocol; core I also listens on its port + 2000 + I [default: 127.0.0.1:7379]
    #[arg(long, env = "PINION_RESP_LISTEN", value_name = "ADDR|off")]
    pub resp_listen: Option<String>,
    /// Address of health, metrics and status over HTTP [default: 127.0.0.1:7480]
    #[arg(long, env = "PINION_ADMIN_LISTEN", value_name = "ADDR|off")]
    pub admin_listen: Option<String>,
    /// Number of shards [default: the store's; for a new one, the CPUs this process may use]
    #[arg(long, env = "PINION_SHARDS", value_name = "N")]
    pub shards: Option<String>,
    /// CPUs to pin the shards to, such as 0-3,8; those without another kvd's come first [default: those this process may use]
    #[arg(long, env = "PINION_CPUS", value_name = "LIST")]
    pub cpus: Option<String>,
    /// When a write is acknowledged: on disk, in the kernel (synced every MS), or applied [default: sync]
    #[arg(long, env = "PINION_DURABILITY", value_name = "sync|interval:MS|none")]
    pub durability: Option<String>,
    /// Memory for all shards together, such as 512MB [default: a quarter of RAM or of the cgroup's limit]
    #[arg(long, env = "PINION_MEMORY", value_name = "BYTES")]
    pub memory: Option<String>,
    /// Number of partitions of a new store, a power of two up to 16384 [default: 64]
    #[arg(long, env = "PINION_PARTITIONS", value_name = "N")]
    pub partitions: Option<String>,
    /// Name of this node, kept in DIR/NODE for starts without it [default: the one kept, or the store's random id]
    #[arg(long, env = "PINION_NODE_ID", value_name = "ID")]
    pub node_id: Option<String>,
    /// Nodes of the cluster to join (not in this version)
    #[arg(long, env = "PINION_JOIN", value_name = "ADDR,...")]
    pub join: Option<String>,
    /// Largest value, up to 16MiB [default: 16MiB]
    #[arg(long, env = "PINION_VALUE_MAX", value_name = "BYTES")]
    pub value_max: Option<String>,
    /// Connections of all cores together [default: 10000]
    #[arg(long, env = "PINION_CONNECTIONS_MAX", value_name = "N")]
    pub connections_max: Option<String>,
    /// How long clients have to take their answers when kvd stops, such as 500ms, 10s or 2m, up to 1h; a bare number is one of
    /// seconds [default: 10s]
    #[arg(long, env = "PINION_DRAIN_TIMEOUT", value_name = "DUR")]
    pub drain_timeout: Option<String>,
    /// How long a request has until it is ended, from 10ms to 1h, a bare number in seconds; a client may say less [default: 10s]
    #[arg(long, env = "PINION_REQUEST_TIMEOUT", value_name = "DUR")]
    pub request_timeout: Option<String>,
    /// After a start in another boot that was refused because the clock shows over 24 hours more: they passed, or didn't
    #[arg(long, env = "PINION_ACCEPT_TIME_JUMP", value_name = "follow|ignore")]
    pub accept_time_jump: Option<String>,
    /// Log filter, such as info or pinion_cluster=debug; RUST_LOG comes before it [default: info]
    #[arg(long, env = "PINION_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "PINION_LOG_FORMAT", value_name = "text|json")]
    pub log_format: Option<String>,
    /// Serve on an address other than loopback although nothing authenticates clients
    #[arg(long, env = "PINION_INSECURE", num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    pub insecure: Option<String>,
    /// Check the configuration and exit
    #[arg(long)]
    pub check: bool,
}

/// The command line, split by where its values came from.
pub struct Parsed {
    /// The configuration file, if one was named.
    pub config: Option<PathBuf>,
    /// `--check` was given.
    pub check: bool,
    /// Settings from flags.
    pub flags: Layer,
    /// Settings from the environment.
    pub environment: Layer,
}

/// Reads the command line and the environment. The error is clap's own: it knows its text and exit code.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, clap::Error> {
    let matches = without_empty_variables(Flags::command()).try_get_matches_from(arguments)?;
    let flags = Flags::from_arg_matches(&matches)?;
    let mut parsed = Parsed {
        config: flags.config.clone(),
        check: flags.check,
        flags: Layer::default(),
        environment: Layer::default(),
    };
    for (name, value) in flags.settings() {
        let Some(text) = value else { continue };
        let id = name.replace('-', "_");
        let (layer, origin) = match matches.value_source(&id) {
            Some(ValueSource::EnvVariable) => {
                (&mut parsed.environment, Origin::Environment(format!("PINION_{}", id.to_uppercase())))
            }
            _ => (&mut parsed.flags, Origin::Flag(format!("--{name}"))),
        };
        layer.insert(name, Setting { text, origin });
    }
    Ok(parsed)
}

/// A command line to which a variable that is set to nothing is as good as unset.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
        Some(text) if text.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    })
}

/// Variables that are no settings and mean something: where the configuration is, and where `kv` finds a server.
const NO_SETTINGS: [&str; 2] = ["CONFIG", "ADDRESS"];

/// Warnings for variables that look like settings and are none.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let is_known = |rest: &str| {
        NO_SETTINGS.contains(&rest) || NAMES.iter().any(|name| name.to_uppercase().replace('-', "_") == rest)
    };
    let unknown =
        names.into_iter().filter(|name| name.strip_prefix("PINION_").is_some_and(|rest| !is_known(rest)));
    unknown
        .map(|name| format!("{name} is no setting and changes nothing; `kvd --help` lists the variables"))
        .collect()
}

impl Flags {
    fn settings(self) -> [(&'static str, Option<String>); 19] {
        [
            ("dir", self.dir),
            ("listen", self.listen),
            ("resp-listen", self.resp_listen),
            ("admin-listen", self.admin_listen),
            ("shards", self.shards),
            ("cpus", self.cpus),
            ("durability", self.durability),
            ("memory", self.memory),
            ("partitions", self.partitions),
            ("node-id", self.node_id),
            ("join", self.join),
            ("value-max", self.value_max),
            ("connections-max", self.connections_max),
            ("drain-timeout", self.drain_timeout),
            ("request-timeout", self.request_timeout),
            ("accept-time-jump", self.accept_time_jump),
            ("log", self.log),
            ("log-format", self.log_format),
            ("insecure", self.insecure),
        ]
    }
}

/// The names of all settings, as in the file.
pub const NAMES: [&str; 19] = [
    "dir",
    "listen",
    "resp-listen",
    "admin-listen",
    "shards",
    "cpus",
    "durability",
    "memory",
    "partitions",
    "node-id",
    "join",
    "value-max",
    "connections-max",
    "drain-timeout",
    "request-timeout",
    "accept-time-jump",
    "log",
    "log-format",
    "insecure",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_names_every_setting() {
        Flags::command().debug_assert();
        let flags = Flags::parse_from(["kvd"]);
        assert_eq!(flags.settings().map(|(name, _)| name), NAMES);
    }
}
