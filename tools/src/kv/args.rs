//! What `kv` is called with.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, Resettable, TypedValueParser, ValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use pinion_net::duration;
use pinion_net::wire::Level;

use super::case;
use super::examples::{COUNT_EXAMPLES, EXAMPLES, GET_EXAMPLES, MPUT_EXAMPLES, PUT_EXAMPLES, RANGE_EXAMPLES};

/// The command line client of Pinion.
#[derive(Debug, Parser)]
#[command(name = "kv", version, about = "Reads and writes a Pinion store; a shell when there is no command", after_help = EXAMPLES)]
pub struct Kv {
    /// How to reach the store and what to print.
    #[command(flatten, next_help_heading = "Options of every command")]
    pub options: GlobalOptions,
    /// What to do; without one, a shell.
    #[command(subcommand)]
    pub input: Option<Input>,
}

/// Reads the command line; ends the process where it is wrong. The command may be in any case, and a variable that is set
/// to nothing is as good as unset.
pub fn parse_from(mut words: Vec<OsString>) -> Kv {
    let command = Kv::command().mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
        Some(text) if text.is_empty() => arg.env(Resettable::Reset),
        _ => arg,
    });
    let arguments = words.split_off(words.len().min(1));
    words.extend(case::lower(arguments, &command));
    let mut matches = command.get_matches_from(words);
    Kv::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

/// Options that go with every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalOptions {
    /// Addresses of the store; the first that answers is taken; without a port, 7400
    #[arg(short, long, global = true, value_name = "ADDR,...", env = "PINION_ADDRESS")]
    #[arg(default_value = "127.0.0.1:7400", value_delimiter = ',')]
    pub address: Vec<String>,
    /// The keyspace
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub keyspace: String,
    /// What is promised: eventual, session, strong or all; without it, what the keyspace says
    #[arg(long, global = true, value_parser = parse_level, hide_possible_values = true)]
    pub level: Option<Level>,
    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// Cut values in tables to so many characters; 0 shows all of them [default: what fits on a terminal, else 0]
    #[arg(long, global = true, value_name = "N", value_parser = number::<usize>, allow_hyphen_values = true)]
    pub width: Option<usize>,
    /// How long a command may take, such as 500ms or 10s [default: 5s; count and clear 10m]
    #[arg(long, global = true, value_name = "DUR", value_parser = parse_timeout, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,
}

/// A line of the shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true)]
#[command(
    help_template = "Commands:\n{subcommands}\n\n`help COMMAND` says more; `exit` or Ctrl-D leaves. Commands may be typed in any case.\n"
)]
pub struct ShellLine {
    /// What to do.
    #[command(subcommand)]
    pub input: Input,
}

/// What is typed, in the shell and on the command line.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Input {
    /// Something for the store.
    #[command(flatten)]
    Command(Command),
    /// Leave the shell; elsewhere there is nothing to leave
    #[command(visible_alias = "quit")]
    Exit,
}

/// A command, in the shell and on the command line.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Set a key
    #[command(visible_alias = "set", after_help = PUT_EXAMPLES)]
    Put(PutArgs),
    /// Print a key's value; exit code 1 if there is none
    #[command(after_help = GET_EXAMPLES)]
    Get {
        /// The key
        #[arg(value_parser = bytes())]
        key: Bytes,
        /// Print the exact bytes: no escapes, no newline
        #[arg(long)]
        raw: bool,
    },
    /// Remove keys; exit code 1 if one wasn't there
    #[command(visible_aliases = ["delete", "rm", "remove"])]
    Del {
        /// The keys
        #[arg(value_name = "KEY", required = true, value_parser = bytes())]
        keys: Vec<Bytes>,
    },
    /// Print a key's version and expiry; exit code 1 if it isn't there
    Exists {
        /// The key
        #[arg(value_parser = bytes())]
        key: Bytes,
    },
    /// Add to an integer; a key that isn't there counts as 0
    #[command(visible_alias = "incrby")]
    Incr {
        /// The key
        #[arg(value_parser = bytes())]
        key: Bytes,
        /// What to add
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
    },
    /// Print several keys; exit code 1 if one isn't there
    Mget {
        /// The keys
        #[arg(value_name = "KEY", required = true, value_parser = bytes())]
        keys: Vec<Bytes>,
    },
    /// Set several keys; atomic per partition
    #[command(visible_alias = "mset", after_help = MPUT_EXAMPLES)]
    Mput {
        /// Keys and values in turn; `-` alone reads lines of KEY, tab, VALUE from standard input
        #[arg(value_name = "KEY VALUE", required = true, value_parser = bytes(), allow_negative_numbers = true)]
        pairs: Vec<Bytes>,
        /// When the values expire, from now: 500ms, 10s, 5m, 2h, 1d, 1h30m
        #[arg(long, value_name = "DUR", value_parser = parse_ttl, allow_hyphen_values = true)]
        ttl: Option<Duration>,
    },
    /// Print keys and values in the order of the keys
    #[command(after_help = RANGE_EXAMPLES)]
    Scan(RangeArgs),
    /// Print keys in their order
    #[command(after_help = RANGE_EXAMPLES)]
    Keys(RangeArgs),
    /// Count keys
    #[command(after_help = COUNT_EXAMPLES)]
    Count {
        /// Which keys.
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Remove every key of the keyspace; asks first on a terminal, and elsewhere needs --yes
    Clear {
        /// Don't ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Ask whether the store is there
    Ping,
    /// Describe the server
    Info,
}

/// What `put` takes.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct PutArgs {
    /// The key
    #[arg(value_parser = bytes())]
    pub key: Bytes,
    /// The value; `-` reads standard input
    #[arg(value_parser = bytes(), allow_negative_numbers = true)]
    pub value: Bytes,
    /// When it expires, from now: 500ms, 10s, 5m, 2h, 1d, 1h30m
    #[arg(long, value_name = "DUR", value_parser = parse_ttl, allow_hyphen_values = true)]
    pub ttl: Option<Duration>,
    /// Only if the key has this version
    #[arg(long, value_name = "V", value_parser = number::<u64>, conflicts_with = "if_absent", allow_hyphen_values = true)]
    pub if_version: Option<u64>,
    /// Only if the key isn't there
    #[arg(long)]
    pub if_absent: bool,
}

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct Bounds {
    /// Keys that start so
    #[arg(long, value_name = "P", value_parser = bytes(), default_value = "", hide_default_value = true)]
    pub prefix: Bytes,
    /// First key
    #[arg(long, value_name = "A", value_parser = bytes(), default_value = "", hide_default_value = true)]
    pub from: Bytes,
    /// First key beyond the end
    #[arg(long, value_name = "B", value_parser = bytes(), default_value = "", hide_default_value = true)]
    pub to: Bytes,
}

/// Which keys, and how many.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct RangeArgs {
    /// Which keys.
    #[command(flatten)]
    pub bounds: Bounds,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = number::<u64>, allow_hyphen_values = true)]
    pub limit: Option<u64>,
}

/// An argument as bytes: keys and values needn't be text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Whether it stands for standard input.
    pub fn is_stdin(&self) -> bool {
        self.0 == b"-"
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn bytes() -> ValueParser {
    OsStringValueParser::new().map(|text: OsString| Bytes(text.into_vec())).into()
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "it takes a whole number, 0 or more".to_owned())
}

fn parse_level(name: &str) -> Result<Level, String> {
    match name.parse() {
        Ok(Level::Default) | Err(_) => Err("the levels are eventual, session, strong and all".to_owned()),
        Ok(level) => Ok(level),
    }
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("a timeout must be more than 0; 1ms is the shortest".to_owned()),
        timeout => Ok(timeout),
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err("a time to live must be more than 0; 1ms is the shortest".to_owned()),
        ttl => Ok(ttl),
    }
}

#[cfg(test)]
#[path = "args_test.rs"]
mod tests;
