//! Commands about the connection, the server and the cluster.

use super::Command;
use super::error::CommandError;
use super::help;
use crate::resp::command_table::{Name, accepts};
use crate::resp::number::parse_i64;
use crate::resp::reply::Protocol;

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

/// CLIENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client<'a> {
    /// The connection's number.
    Id,
    /// The connection's name, or null.
    GetName,
    /// Names the connection; empty removes the name.
    SetName(&'a [u8]),
    /// Notes the library: `lib-name` or `lib-ver`, and its value.
    SetInfo(&'a [u8], &'a [u8]),
    /// A line for each connection.
    List,
    /// This connection's line.
    Info,
    /// NO-EVICT, NO-TOUCH and REPLY ON: OK.
    Accepted,
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
    /// How many keys a slot has.
    CountKeysInSlot(u16),
}

/// COMMAND; [`CommandQuery::answer`] writes the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandQuery<'a> {
    /// Every command.
    All,
    /// How many there are.
    Count,
    /// Their names.
    List,
    /// Those named (none: all), for programs.
    Info(&'a [&'a [u8]]),
    /// Those named (none: all), for people.
    Docs(&'a [&'a [u8]]),
    /// The keys of a command.
    GetKeys(&'a [&'a [u8]]),
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
                let text = [b"ERR Syntax error in HELLO option '", *option, b"'"].concat();
                return Err(CommandError::owned(text));
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
fn subcommand(name: Name, args: &[&[u8]]) -> Result<Vec<u8>, CommandError> {
    let info = name.info();
    let found = info.subcommands.iter().find(|(name, _)| args[1].eq_ignore_ascii_case(name.as_bytes()));
    let Some((subcommand, arity)) = found else {
        return Err(CommandError::unknown_subcommand(info.name, args[1]));
    };
    if !accepts(*arity, args.len()) {
        return Err(CommandError::arity(format_args!("{}|{subcommand}", info.name)));
    }
    Ok(args[1].to_ascii_uppercase())
}

pub(super) fn client<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    let is = |at: usize, text: &str| args[at].eq_ignore_ascii_case(text.as_bytes());
    Ok(Command::Client(match subcommand(Name::Client, args)?.as_slice() {
        b"HELP" => return Ok(Command::Help(help::CLIENT)),
        b"ID" => Client::Id,
        b"GETNAME" => Client::GetName,
        b"SETNAME" => Client::SetName(client_name(args[2])?),
        b"SETINFO" if is(2, "lib-name") || is(2, "lib-ver") => Client::SetInfo(args[2], short(args[3])?),
        b"SETINFO" => {
            return Err(CommandError::owned([b"ERR Unrecognized option '", args[2], b"'"].concat()));
        }
        b"LIST" => Client::List,
        b"INFO" => Client::Info,
        b"REPLY" if is(2, "on") => Client::Accepted,
        b"REPLY" if is(2, "off") || is(2, "skip") => {
            return Err(CommandError::fixed("ERR CLIENT REPLY OFF and SKIP are not supported"));
        }
        b"NO-EVICT" | b"NO-TOUCH" if is(2, "on") || is(2, "off") => Client::Accepted,
        _ => return Err(CommandError::SYNTAX),
    }))
}

/// Longest name of a client, of its library and of the library's version, bytes: they are kept for each connection.
pub const NAME_BYTES_MAX: usize = 256;

fn short(name: &[u8]) -> Result<&[u8], CommandError> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    Err(CommandError::fixed("ERR names of clients and libraries are at most 256 bytes long"))
}

fn client_name(name: &[u8]) -> Result<&[u8], CommandError> {
    let name = short(name)?;
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(name);
    }
    Err(CommandError::fixed("ERR Client names cannot contain spaces, newlines or special characters."))
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
        _ => {
            let slot = parse_i64(args[2]).ok_or(CommandError::NOT_AN_INTEGER)?;
            match u16::try_from(slot) {
                Ok(slot) if slot < 16384 => Cluster::CountKeysInSlot(slot),
                _ => return Err(CommandError::fixed("ERR Invalid slot")),
            }
        }
    }))
}

pub(super) fn command<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    if args.len() == 1 {
        return Ok(Command::Command(CommandQuery::All));
    }
    Ok(Command::Command(match subcommand(Name::Command, args)?.as_slice() {
        b"HELP" => return Ok(Command::Help(help::COMMAND)),
        b"COUNT" => CommandQuery::Count,
        b"LIST" => CommandQuery::List,
        b"INFO" => CommandQuery::Info(&args[2..]),
        b"DOCS" => CommandQuery::Docs(&args[2..]),
        _ => CommandQuery::GetKeys(&args[2..]),
    }))
}

pub(super) fn wait<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    let replicas = parse_i64(args[1]).ok_or(CommandError::NOT_AN_INTEGER)?;
    let timeout =
        parse_i64(args[2]).ok_or(CommandError::fixed("ERR timeout is not an integer or out of range"))?;
    let timeout_ms = u64::try_from(timeout).map_err(|_| CommandError::fixed("ERR timeout is negative"))?;
    Ok(Command::Wait { replicas, timeout_ms })
}
