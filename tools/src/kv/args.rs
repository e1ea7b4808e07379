//! What `kv` is called with.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Args, Parser, Subcommand};
use pinion_net::wire::Level;

const EXAMPLES: &str = "\
Examples:
  kv put greeting hello              set a key
  kv get greeting                    read it
  kv put session token --ttl 30m     a value that expires
  kv put photo - < photo.jpg         a value from standard input
  kv get --raw photo > copy.jpg      its exact bytes
  kv incr visits                     count
  kv mput a 1 b 2                    several keys at once
  kv scan --prefix user: --limit 20  keys in order
  kv --json scan --prefix user:      one JSON object per line
  kv                                 a shell

Exit codes: 0 done, 1 not found, 2 wrong usage, 3 refused (certainly not applied), 4 unknown outcome.";

/// The command line client of Pinion.
#[derive(Debug, Parser)]
#[command(name = "kv", version, about = "Reads and writes a Pinion store; a shell when there is no command", after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Kv {
    /// How to reach the store and what to print.
    #[command(flatten)]
    pub options: GlobalOptions,
    /// What to do; without one, a shell.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that go with every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalOptions {
    /// Addresses of the store; the first that answers is taken
    #[arg(short, long, value_name = "ADDR,...", env = "PINION_ADDRESS")]
    #[arg(default_value = "127.0.0.1:7400", value_delimiter = ',')]
    pub address: Vec<String>,
    /// The keyspace
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub keyspace: String,
    /// What is promised: eventual, session, strong or all; without it, what the keyspace says
    #[arg(long, value_parser = parse_level, hide_possible_values = true)]
    pub level: Option<Level>,
    /// Print JSON, one object per line
    #[arg(long)]
    pub json: bool,
    /// How long a command may take [default: 5s; count and clear 10m]
    #[arg(long, value_name = "DUR", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
}

/// A line of the shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true)]
#[command(help_template = "Commands:\n{subcommands}\n\n`help COMMAND` says more; `exit` or Ctrl-D leaves.\n")]
pub struct ShellLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// A command, in the shell and on the command line.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Set a key
    Put(PutArgs),
    /// Print a key's value; exit code 1 if there is none
    Get {
        /// The key
        #[arg(value_parser = bytes())]
        key: Bytes,
        /// Print the exact bytes: no escapes, no newline
        #[arg(long)]
        raw: bool,
    },
    /// Remove keys; exit code 1 if one wasn't there
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
    Mput {
        /// Keys and values in turn; `-` alone reads lines of KEY, tab, VALUE from standard input
        #[arg(value_name = "KEY VALUE", required = true, value_parser = bytes(), allow_negative_numbers = true)]
        pairs: Vec<Bytes>,
        /// When the values expire, from now
        #[arg(long, value_name = "DUR", value_parser = parse_ttl)]
        ttl: Option<Duration>,
    },
    /// Print keys and values, in the order of keys
    Scan(RangeArgs),
    /// Print keys, in order
    Keys(RangeArgs),
    /// Count keys
    Count {
        /// Which keys.
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Remove every key of the keyspace
    Clear {
        /// Don't ask, even on a terminal
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
    /// When it expires, from now: 500ms, 10s, 5m, 2h, 1d
    #[arg(long, value_name = "DUR", value_parser = parse_ttl)]
    pub ttl: Option<Duration>,
    /// Only if the key has this version
    #[arg(long, value_name = "V", conflicts_with = "if_absent")]
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
    #[arg(long, value_name = "N")]
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

fn parse_level(name: &str) -> Result<Level, String> {
    match name.parse() {
        Ok(Level::Default) | Err(_) => Err("the levels are eventual, session, strong and all".to_owned()),
        Ok(level) => Ok(level),
    }
}

fn parse_ttl(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a value can't expire before it is there; 1ms is the shortest".to_owned()),
        ttl => Ok(ttl),
    }
}

/// A number and a unit: `500ms`, `10s`, `5m`, `2h`, `1d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 500ms, 10s, 5m, 2h or 1d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Kv, clap::Error> {
        Kv::try_parse_from(line.split(' '))
    }

    fn command(line: &str) -> Command {
        parse(line).unwrap().command.unwrap()
    }

    fn key(text: &str) -> Bytes {
        Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn the_definition_is_sound() {
        Kv::command().debug_assert();
        ShellLine::command().debug_assert();
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let ms = |text| parse_duration(text).unwrap().as_millis();
        assert_eq!(["500ms", "10s", "5m", "2h", "1d"].map(ms), [500, 10_000, 300_000, 7_200_000, 86_400_000]);
        for wrong in ["", "10", "s", "-1s", "1.5s", "1w", "99999999999999999d", "1 s"] {
            assert!(parse_duration(wrong).unwrap_err().contains("500ms"), "{wrong}");
        }
        assert!(parse("kv put k v --ttl 0s").is_err());
    }

    #[test]
    fn a_put_takes_ttl_and_one_condition() {
        let Command::Put(put) = command("kv put k v --ttl 2h --if-version 7") else { panic!() };
        assert_eq!((put.ttl, put.if_version), (Some(Duration::from_secs(7200)), Some(7)));
        assert!(parse("kv put k v --if-absent --if-version 7").is_err());
        assert!(parse("kv put k").is_err());
    }

    #[test]
    fn negative_numbers_and_the_dash_are_values() {
        assert_eq!(command("kv incr k -5"), Command::Incr { key: key("k"), by: -5 });
        assert_eq!(command("kv incr k"), Command::Incr { key: key("k"), by: 1 });
        let Command::Put(put) = command("kv put k -5") else { panic!() };
        assert_eq!(put.value, key("-5"));
        let Command::Put(put) = command("kv put k -") else { panic!() };
        assert!(put.value.is_stdin());
    }

    #[test]
    fn options_go_before_the_command() {
        let kv = parse("kv -a one:1,two:2 --level strong --json scan --prefix p --limit 3").unwrap();
        assert_eq!(kv.options.address, ["one:1", "two:2"]);
        assert_eq!((kv.options.level, kv.options.json), (Some(Level::Strong), true));
        let Some(Command::Scan(range)) = kv.command else { panic!() };
        assert_eq!((range.bounds.prefix, range.limit), (key("p"), Some(3)));
        assert!(parse("kv --level weak ping").is_err());
        assert!(parse("kv").unwrap().command.is_none());
    }

    #[test]
    fn a_key_may_be_any_bytes() {
        let line = [b"get".to_vec(), vec![0xff, 0xfe]].map(OsString::from_vec);
        let line = ShellLine::try_parse_from(line).unwrap();
        assert_eq!(line.command, Command::Get { key: Bytes(vec![0xff, 0xfe]), raw: false });
    }
}
