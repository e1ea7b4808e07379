//! Commands about the connection, the server and the cluster.

use super::Command;
use super::client::client_name;
use super::error::CommandError;
use super::{help, integer};
use crate::resp::command_table::{Name, accepts};
use crate::resp::number::parse_i64;
use crate::resp::reply::Protocol;
use crate::slot::SLOTS;

/// HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The protocol to speak from this reply on; `None`: as before.
    pub protocol: Option<Protocol>,
    /// AUTH.
    pub auth: Option<Auth<'a>>,
    /// SETNAME.
    pub name: Option<&'a [u8]>,
}

/// A user and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// `None` for AUTH with a password only.
    pub user: Option<&'a [u8]>,
    /// The password.
    pub password: &'a [u8],
}

impl Auth<'_> {
    /// What Redis answers where no password is configured: any password fits the default user.
    pub fn check_without_password(&self) -> Result<(), CommandError> {
        match self.user {
            None => Err(CommandError::fixed(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            )),
            Some(b"default") => Ok(()),
            Some(_) => {
                Err(CommandError::fixed("WRONGPASS invalid username-password pair or user is disabled."))
            }
        }
    }
}

/// CONFIG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config<'a> {
    /// Parameters that match one of the patterns, in lower case.
    Get(&'a [&'a [u8]]),
    /// Parameters and values, alternating.
    Set(&'a [&'a [u8]]),
    /// Puts counters back to 0.
    ResetStat,
}

/// CLUSTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster<'a> {
    /// Slot ranges and their nodes.
    Slots,
    /// Shards with their slots and nodes.
    Shards,
    /// The slot of a key.
    KeySlot(&'a [u8]),
    /// State as text.
    Info,
    /// Nodes as text.
    Nodes,
    /// This node's id.
    MyId,
    /// This shard's id.
    MyShardId,
    /// The replicas of the node of this id.
    Replicas(&'a [u8]),
    /// The links between the nodes.
    Links,
    /// How many keys a slot has.
    CountKeysInSlot(u16),
    /// So many keys of a slot at most.
    GetKeysInSlot(u16, usize),
}

/// COMMAND; [`CommandQuery::answer`] writes the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandQuery<'a> {
    /// Every command.
    All,
    /// How many there are.
    Count,
    /// The names of those that the filter takes.
    List(CommandFilter<'a>),
    /// Those named (none: all), for programs.
    Info(&'a [&'a [u8]]),
    /// Those named (none: all), for people.
    Docs(&'a [&'a [u8]]),
    /// The keys of a command.
    GetKeys(&'a [&'a [u8]]),
    /// The keys of a command, and what it does to them.
    GetKeysAndFlags(&'a [&'a [u8]]),
}

/// Which commands COMMAND LIST names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandFilter<'a> {
    /// All.
    All,
    /// Those of a module.
    Module,
    /// Those of an access category, in any case.
    Category(&'a [u8]),
    /// Those whose name matches, in any case.
    Pattern(&'a [u8]),
}

pub(super) fn hello<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    let mut hello = Hello { protocol: None, auth: None, name: None };
    let Some(version) = args.get(1) else { return Ok(Command::Hello(hello)) };
    hello.protocol = match parse_i64(version) {
        Some(2) => Some(Protocol::Resp2),
        Some(3) => Some(Protocol::Resp3),
        Some(_) => return Err(CommandError::fixed("NOPROTO unsupported protocol version")),
        None => {
            return Err(CommandError::fixed("ERR Protocol version is not an integer or out of range"));
        }
    };
    let mut rest = &args[2..];
    while let Some(option) = rest.first() {
        rest = match (option.to_ascii_uppercase().as_slice(), rest) {
            (b"AUTH", [_, user, password, after @ ..]) => {
                hello.auth = Some(Auth { user: Some(user), password });
                after
            }
            (b"SETNAME", [_, name, after @ ..]) => {
                hello.name = Some(client_name(name)?);
                after
            }
            _ => {
                return Err(CommandError::quoting("ERR Syntax error in HELLO option '", option, "'"));
            }
        };
    }
    Ok(Command::Hello(hello))
}

pub(super) fn auth<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    match args[1..] {
        [password] => Ok(Command::Auth(Auth { user: None, password })),
        [user, password] => Ok(Command::Auth(Auth { user: Some(user), password })),
        _ => Err(CommandError::SYNTAX),
    }
}

pub(super) fn select<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    match parse_i64(args[1]) {
        Some(0) => Ok(Command::Select),
        Some(_) => Err(CommandError::fixed("ERR DB index is out of range")),
        None => Err(CommandError::NOT_AN_INTEGER),
    }
}

/// The subcommand in upper case, once it is known to exist and its arity fits.
pub(super) fn subcommand(name: Name, args: &[&[u8]]) -> Result<Vec<u8>, CommandError> {
    let info = name.info();
    let found = info.subcommands.iter().find(|sub| args[1].eq_ignore_ascii_case(sub.name.as_bytes()));
    let Some(sub) = found else {
        return Err(CommandError::unknown_subcommand(info.name, args[1]));
    };
    if !accepts(sub.arity, args.len()) {
        return Err(CommandError::arity(format_args!("{}|{}", info.name, sub.name)));
    }
    Ok(args[1].to_ascii_uppercase())
}

pub(super) fn config<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    Ok(Command::Config(match subcommand(Name::Config, args)?.as_slice() {
        b"HELP" => return Ok(Command::Help(help::CONFIG)),
        b"GET" => Config::Get(&args[2..]),
        b"SET" if args.len().is_multiple_of(2) => Config::Set(&args[2..]),
        b"SET" => return Err(CommandError::SYNTAX),
        _ => Config::ResetStat,
    }))
}

pub(super) fn cluster<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    Ok(Command::Cluster(match subcommand(Name::Cluster, args)?.as_slice() {
        b"HELP" => return Ok(Command::Help(help::CLUSTER)),
        b"SLOTS" => Cluster::Slots,
        b"SHARDS" => Cluster::Shards,
        b"KEYSLOT" => Cluster::KeySlot(args[2]),
        b"INFO" => Cluster::Info,
        b"NODES" => Cluster::Nodes,
        b"MYID" => Cluster::MyId,
        b"MYSHARDID" => Cluster::MyShardId,
        b"LINKS" => Cluster::Links,
        b"REPLICAS" | b"SLAVES" => Cluster::Replicas(args[2]),
        b"GETKEYSINSLOT" => {
            let numbers = (integer(args[2])?, integer(args[3])?);
            let (slot, keys) = (slot(numbers.0), usize::try_from(numbers.1).ok());
            let Some((slot, keys)) = slot.zip(keys) else {
                return Err(CommandError::fixed("ERR Invalid slot or number of keys"));
            };
            Cluster::GetKeysInSlot(slot, keys)
        }
        _ => match slot(integer(args[2])?) {
            Some(slot) => Cluster::CountKeysInSlot(slot),
            None => return Err(CommandError::fixed("ERR Invalid slot")),
        },
    }))
}

fn slot(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|&slot| slot < SLOTS)
}

pub(super) fn command<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    if args.len() == 1 {
        return Ok(Command::Command(CommandQuery::All));
    }
    Ok(Command::Command(match subcommand(Name::Command, args)?.as_slice() {
        b"HELP" => return Ok(Command::Help(help::COMMAND)),
        b"COUNT" => CommandQuery::Count,
        b"LIST" => CommandQuery::List(command_filter(&args[2..])?),
        b"INFO" => CommandQuery::Info(&args[2..]),
        b"DOCS" => CommandQuery::Docs(&args[2..]),
        b"GETKEYSANDFLAGS" => CommandQuery::GetKeysAndFlags(&args[2..]),
        _ => CommandQuery::GetKeys(&args[2..]),
    }))
}

fn command_filter<'a>(args: &'a [&'a [u8]]) -> Result<CommandFilter<'a>, CommandError> {
    let [by, what, argument] = args else {
        return if args.is_empty() { Ok(CommandFilter::All) } else { Err(CommandError::SYNTAX) };
    };
    match (by.to_ascii_uppercase().as_slice(), what.to_ascii_uppercase().as_slice()) {
        (b"FILTERBY", b"MODULE") => Ok(CommandFilter::Module),
        (b"FILTERBY", b"ACLCAT") => Ok(CommandFilter::Category(argument)),
        (b"FILTERBY", b"PATTERN") => Ok(CommandFilter::Pattern(argument)),
        _ => Err(CommandError::SYNTAX),
    }
}

pub(super) fn wait<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    let replicas = parse_i64(args[1]).ok_or(CommandError::NOT_AN_INTEGER)?;
    let timeout =
        parse_i64(args[2]).ok_or(CommandError::fixed("ERR timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| CommandError::fixed("ERR timeout is negative"))?;
    Ok(Command::Wait { replicas, timeout_ms })
}
