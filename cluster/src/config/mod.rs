//! The configuration of a node: flags, then environment, then file, then defaults, checked as a whole.
//!
//! Every setting is text with an origin until it is read here, so that every message can say where the wrong value
//! came from. Limits that belong together (shards and partitions, addresses and authentication, memory and shards) are
//! checked here too; what needs the store or the sockets is checked when the node starts.

pub mod file;
pub mod flags;
pub mod listen;
pub mod machine;
pub mod reload;
pub mod size;

use crate::error::Error;
use listen::Listen;
use machine::Machine;
use pinion_engine::clock::TimeJump;
use pinion_engine::drive::StoreFile;
use pinion_engine::placement::{PARTITIONS_DEFAULT, SLOTS};
use pinion_net::duration;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag, by name.
    Flag(String),
    /// An environment variable, by name.
    Environment(String),
    /// The file, with the line and the key.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Environment(name) | Origin::File(name) => f.write_str(name),
        }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The text.
    pub text: String,
    /// Where it stands.
    pub origin: Origin,
}

/// The settings of one source, by name.
pub type Layer = BTreeMap<&'static str, Setting>;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Sync,
    /// When the kernel has it; synced every so many milliseconds.
    IntervalMs(u64),
    /// When it is applied; logged behind.
    None,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Sync => f.write_str("sync"),
            Durability::IntervalMs(ms) => write!(f, "interval:{ms}"),
            Durability::None => f.write_str("none"),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything a node needs to know to start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the data is.
    pub dir: PathBuf,
    /// Address of the binary protocol.
    pub listen: Listen,
    /// Address of the Redis protocol, if it is served.
    pub resp_listen: Option<Listen>,
    /// Address of the admin interface, if it is served.
    pub admin_listen: Option<Listen>,
    /// The number of shards if it was set; otherwise the store's, or one per CPU for a new store.
    pub shards: Option<usize>,
    /// CPUs to pin shards to, those first that nobody has; never empty.
    pub cpus: Vec<usize>,
    /// Whether cores are pinned. Not by default where a quota grants less time than the CPUs have: there, which of them
    /// is free is the kernel's to say.
    pub pin: bool,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// Memory budget of all shards together, in bytes.
    pub memory_bytes: u64,
    /// Number of partitions if it was set.
    pub partitions: Option<usize>,
    /// Name of this node if it was set.
    pub node_id: Option<String>,
    /// Largest value in bytes.
    pub value_bytes_max: usize,
    /// Connections of all cores together, of both protocols.
    pub connections_max: usize,
    /// How long a node that stops waits until its clients have taken their answers.
    pub drain_timeout: Duration,
    /// How long a request has until it is ended, if its client doesn't say less.
    pub request_timeout: Duration,
    /// What to make of a wall clock that shows over 24 hours more than the store, in another boot.
    pub time_jump: TimeJump,
    /// Log filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is odd but not wrong, to be logged at the start.
    pub warnings: Vec<String>,
}

/// The largest value there can be, in bytes.
pub const VALUE_BYTES_MAX: usize = 16 << 20;

/// The least memory a shard works with, in bytes.
pub const SHARD_MEMORY_MIN: u64 = 16 << 20;

/// By default a node takes so many connections, if it may open so many files and these besides.
const CONNECTIONS: usize = 10_000;
const OTHER_FILES: usize = 512;
const CONNECTIONS_MIN: usize = 64;

/// By default clients have so long to take their answers when a node stops, and no more than this.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const DRAIN_TIMEOUTS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);

/// By default a request has so long, and no less and no more than this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// By default a node takes this share of the machine's memory: one part of so many.
const MEMORY_SHARE: u64 = 4;

impl Config {
    /// The defaults on this machine, for a store in `dir`.
    pub fn defaults(dir: impl Into<PathBuf>) -> Config {
        let machine = Machine::default();
        Config {
            dir: dir.into(),
            listen: loopback(7400),
            resp_listen: Some(loopback(7379)),
            admin_listen: Some(loopback(7480)),
            shards: None,
            cpus: machine.cpus(),
            pin: machine.grants_all_cpus(),
            durability: Durability::Sync,
            memory_bytes: machine.memory_bytes() / MEMORY_SHARE,
            partitions: None,
            node_id: None,
            value_bytes_max: VALUE_BYTES_MAX,
            connections_max: connections(&machine),
            drain_timeout: DRAIN_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            time_jump: TimeJump::Refuse,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            warnings: Vec::new(),
        }
    }

    /// Defaults with every port picked by the system and no admin interface: for tests and throw-away nodes.
    pub fn ephemeral(dir: impl Into<PathBuf>) -> Config {
        Config {
            listen: loopback(0),
            resp_listen: Some(loopback(0)),
            admin_listen: None,
            ..Config::defaults(dir)
        }
    }

    /// Reads a configuration from its sources, the strongest first.
    pub fn from_layers(layers: &[Layer]) -> Result<Config, Error> {
        let reader = Reader { layers };
        let mut config = Config::defaults("pinion-data");
        reader.set("dir", &mut config.dir, |text| match text {
            "" => Err("an empty path is no directory".to_owned()),
            path => Ok(PathBuf::from(path)),
        })?;
        reader.set("listen", &mut config.listen, Listen::parse)?;
        reader.set("resp-listen", &mut config.resp_listen, Listen::parse_or_off)?;
        reader.set("admin-listen", &mut config.admin_listen, Listen::parse_or_off)?;
        let shards_max = StoreFile::SHARDS_MAX as usize;
        reader.set("shards", &mut config.shards, |text| number(text, 1, shards_max).map(Some))?;
        reader.set("cpus", &mut config.cpus, cpus)?;
        config.pin |= reader.find("cpus").is_some();
        reader.set("durability", &mut config.durability, durability)?;
        reader.set("memory", &mut config.memory_bytes, |text| match size::parse(text)? {
            bytes if bytes < SHARD_MEMORY_MIN => Err(format!("{text} is too little; a shard needs 16MiB")),
            bytes => Ok(bytes),
        })?;
        reader.set("partitions", &mut config.partitions, |text| match number(text, 1, SLOTS)? {
            count if count.is_power_of_two() => Ok(Some(count)),
            _ => Err(format!("{text} is no power of two; take one from 1 to 16384")),
        })?;
        reader.set("node-id", &mut config.node_id, parse_node_id)?;
        reader.set("value-max", &mut config.value_bytes_max, |text| match size::parse(text)? as usize {
            0 => Err("a value has at least one byte".to_owned()),
            bytes if bytes > VALUE_BYTES_MAX => Err(format!("{text} is over the limit of 16MiB")),
            bytes => Ok(bytes),
        })?;
        reader.set("connections-max", &mut config.connections_max, |text| number(text, 1, 1_000_000))?;
        reader
            .set("drain-timeout", &mut config.drain_timeout, |text| duration_within(text, DRAIN_TIMEOUTS))?;
        reader.set("request-timeout", &mut config.request_timeout, |text| {
            duration_within(text, REQUEST_TIMEOUTS)
        })?;
        reader.set("accept-time-jump", &mut config.time_jump, |text| match text {
            "follow" => Ok(TimeJump::Follow),
            "ignore" => Ok(TimeJump::Ignore),
            _ => Err(format!("{text:?} is neither follow nor ignore")),
        })?;
        reader.set("log", &mut config.log, |text| Ok(text.to_owned()))?;
        reader.set("log-format", &mut config.log_format, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("{text:?} is no log format; take text or json")),
        })?;
        if let Some(join) = reader.find("join") {
            return Err(Error::Config(format!(
                "{}: this version runs single nodes and can't join {:?}; leave it out",
                join.origin, join.text
            )));
        }
        config.check_shards(&reader)?;
        config.check_addresses(&reader)?;
        config.warn_of_memory(&reader, Machine::default().memory_bytes());
        Ok(config)
    }

    fn warn_of_memory(&mut self, reader: &Reader<'_>, available: u64) {
        if let Some(setting) = reader.find("memory").filter(|_| self.memory_bytes > available) {
            self.warnings.push(format!(
                "{}: {} are more than the {} that this process may use (RAM, or its cgroup's limit); under load it will be \
                 killed or swap; lower it",
                setting.origin,
                setting.text,
                size::display(available)
            ));
        }
    }

    fn check_shards(&self, reader: &Reader<'_>) -> Result<(), Error> {
        let partitions = self.partitions.unwrap_or(PARTITIONS_DEFAULT);
        let Some(shards) = self.shards else { return Ok(()) };
        let place = || reader.find("shards").map_or(String::new(), |setting| setting.origin.to_string());
        if shards > partitions {
            return Err(Error::Config(format!(
                "{}: {shards} shards need as many partitions, there are {partitions}; lower it or raise --partitions",
                place()
            )));
        }
        if self.memory_bytes / (shards as u64) < SHARD_MEMORY_MIN {
            return Err(Error::Config(format!(
                "{}: {} of memory are less than 16MiB for each of {shards} shards; give --memory {}MiB or more, or lower \
                 --shards",
                place(),
                size::display(self.memory_bytes),
                shards * 16
            )));
        }
        Ok(())
    }

    fn check_addresses(&self, reader: &Reader<'_>) -> Result<(), Error> {
        let mut insecure = false;
        reader.set("insecure", &mut insecure, |text| match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" | "" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        })?;
        let named = [
            ("listen", Some(&self.listen)),
            ("resp-listen", self.resp_listen.as_ref()),
            ("admin-listen", self.admin_listen.as_ref()),
        ];
        let mut all = named.into_iter().flat_map(|(name, listen)| {
            let all = listen.map_or(&[][..], Listen::all);
            all.iter().map(move |addr| (name, addr))
        });
        match all.find(|(_, addr)| !addr.ip().is_loopback()) {
            Some((name, addr)) if !insecure => Err(Error::Config(format!(
                "{}: {addr} is reachable from other machines and nothing authenticates clients; \
                 add --insecure if that is meant, or listen on 127.0.0.1",
                reader.find(name).map_or(name.to_owned(), |setting| setting.origin.to_string())
            ))),
            _ => Ok(()),
        }
    }
}

fn loopback(port: u16) -> Listen {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

/// How many connections a node takes by default.
fn connections(machine: &Machine) -> usize {
    let room = machine.open_files().map_or(CONNECTIONS, |files| files.saturating_sub(OTHER_FILES));
    room.clamp(CONNECTIONS_MIN, CONNECTIONS)
}

struct Reader<'a> {
    layers: &'a [Layer],
}

impl Reader<'_> {
    fn find(&self, name: &str) -> Option<&Setting> {
        self.layers.iter().find_map(|layer| layer.get(name))
    }

    fn set<T>(
        &self,
        name: &str,
        target: &mut T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), Error> {
        if let Some(setting) = self.find(name) {
            *target =
                read(&setting.text).map_err(|why| Error::Config(format!("{}: {why}", setting.origin)))?;
        }
        Ok(())
    }
}

fn number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{text:?} is no number from {least} to {most}"))
}

fn duration_within(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    let between = || {
        let [least, most] = [bounds.start(), bounds.end()].map(|&bound| humantime::format_duration(bound));
        format!("from {least} to {most}")
    };
    match duration::parse_or_seconds(text) {
        Ok(time) if bounds.contains(&time) => Ok(time),
        Ok(_) => Err(format!("{text} isn't {}", between())),
        Err(_) => Err(format!("{text:?} is no duration; write one {}, like 500ms, 10s or 2m", between())),
    }
}

fn cpus(text: &str) -> Result<Vec<usize>, String> {
    let (wanted, allowed) = (machine::parse_cpu_list(text)?, Machine::default().cpus_allowed());
    match wanted.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => {
            let allowed = machine::cpu_list(&allowed);
            Err(format!("CPU {cpu} isn't among those this process may use ({allowed})"))
        }
        None => Ok(wanted),
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "sync" => Ok(Durability::Sync),
        "none" => Ok(Durability::None),
        _ => text
            .strip_prefix("interval:")
            .and_then(|ms| ms.parse().ok())
            .filter(|ms| (1..=3_600_000).contains(ms))
            .map(Durability::IntervalMs)
            .ok_or_else(|| {
                format!("{text:?} is none of sync, interval:MS (1 to 3600000 milliseconds), none")
            }),
    }
}

/// A name for a node.
pub fn parse_node_id(text: &str) -> Result<Option<String>, String> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits {
        Ok(Some(text.to_owned()))
    } else {
        Err(format!("{text:?}: take 1 to 64 letters, digits, '-', '_', '.'"))
    }
}

#[cfg(test)]
mod tests;
