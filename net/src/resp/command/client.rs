//! CLIENT: this connection, and those of the server.

use super::Command;
use super::error::{CommandError, until_nul};
use super::help;
use super::server::subcommand;
use crate::resp::command_table::Name;
use crate::resp::number::parse_i64;

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
    /// A line for each connection that the filter takes.
    List(ClientFilter<'a>),
    /// This connection's line.
    Info,
    /// Closes the connections that the filter takes: how many.
    Kill(ClientFilter<'a>),
    /// Closes the connection from this address: OK, or an error if there is none.
    KillAddress(&'a [u8]),
    /// NO-EVICT, NO-TOUCH and REPLY ON: OK.
    Accepted,
}

/// Which connections; every condition that is there must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter<'a> {
    /// One of these numbers, as texts that were checked; none: any.
    pub ids: &'a [&'a [u8]],
    /// Of this kind.
    pub kind: Option<ClientKind>,
    /// From this address.
    pub address: Option<&'a [u8]>,
    /// To this address of the server.
    pub local: Option<&'a [u8]>,
    /// There for so many seconds at least.
    pub age_s: Option<u64>,
    /// Not the one that asks.
    pub skips_me: bool,
}

/// Redis's kinds of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Clients that send commands.
    Normal,
    /// The link to a master.
    Master,
    /// The links of replicas.
    Replica,
    /// Clients that have subscribed.
    PubSub,
}

impl ClientKind {
    fn of(text: &[u8]) -> Result<ClientKind, CommandError> {
        match text.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientKind::Normal),
            b"master" => Ok(ClientKind::Master),
            b"replica" | b"slave" => Ok(ClientKind::Replica),
            b"pubsub" => Ok(ClientKind::PubSub),
            _ => Err(CommandError::quoting("ERR Unknown client type '", text, "'")),
        }
    }
}

impl ClientFilter<'_> {
    /// The numbers asked for; those below 1 are nobody's.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.ids.iter().map(|id| parse_i64(id).and_then(|id| u64::try_from(id).ok()).unwrap_or(0))
    }
}

pub(super) fn client<'a>(args: &'a [&'a [u8]]) -> Result<Command<'a>, CommandError> {
    let is = |at: usize, text: &str| args[at].eq_ignore_ascii_case(text.as_bytes());
    Ok(Command::Client(match subcommand(Name::Client, args)?.as_slice() {
        b"HELP" => return Ok(Command::Help(help::CLIENT)),
        b"ID" => Client::Id,
        b"GETNAME" => Client::GetName,
        b"SETNAME" => Client::SetName(client_name(args[2])?),
        b"SETINFO" if is(2, "lib-name") || is(2, "lib-ver") => set_info(args[2], args[3])?,
        b"SETINFO" => return Err(CommandError::quoting("ERR Unrecognized option '", args[2], "'")),
        b"LIST" => Client::List(list(&args[2..])?),
        b"INFO" => Client::Info,
        b"KILL" if args.len() == 3 => Client::KillAddress(args[2]),
        b"KILL" => Client::Kill(kill(&args[2..])?),
        b"REPLY" if is(2, "on") => Client::Accepted,
        b"REPLY" if is(2, "off") || is(2, "skip") => {
            return Err(CommandError::fixed("ERR CLIENT REPLY OFF and SKIP are not supported"));
        }
        b"NO-EVICT" | b"NO-TOUCH" if is(2, "on") || is(2, "off") => Client::Accepted,
        _ => return Err(CommandError::SYNTAX),
    }))
}

/// What would break the lines of CLIENT LIST: spaces, line breaks, anything that isn't printable.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Longest name of a client, of its library and of the library's version, bytes: they are kept for each connection.
pub const NAME_BYTES_MAX: usize = 256;

fn short(name: &[u8]) -> Result<&[u8], CommandError> {
    if name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    Err(CommandError::owned(format!(
        "ERR names of clients and libraries are at most {NAME_BYTES_MAX} bytes long"
    )))
}

pub(super) fn client_name(name: &[u8]) -> Result<&[u8], CommandError> {
    if is_plain(short(name)?) {
        return Ok(name);
    }
    Err(CommandError::fixed("ERR Client names cannot contain spaces, newlines or special characters."))
}

fn set_info<'a>(attribute: &'a [u8], value: &'a [u8]) -> Result<Client<'a>, CommandError> {
    if is_plain(short(value)?) {
        return Ok(Client::SetInfo(attribute, value));
    }
    let text = [b"ERR ", until_nul(attribute), b" cannot contain spaces, newlines or special characters."];
    Err(CommandError::owned(text.concat()))
}

fn list<'a>(args: &'a [&'a [u8]]) -> Result<ClientFilter<'a>, CommandError> {
    let is = |arg: &[u8], text: &str| arg.eq_ignore_ascii_case(text.as_bytes());
    match args {
        [] => Ok(ClientFilter::default()),
        [option, kind] if is(option, "type") => {
            Ok(ClientFilter { kind: Some(ClientKind::of(kind)?), ..ClientFilter::default() })
        }
        [option, ids @ ..] if is(option, "id") && !ids.is_empty() => {
            if ids.iter().any(|id| parse_i64(id).is_none()) {
                return Err(CommandError::fixed("ERR Invalid client ID"));
            }
            Ok(ClientFilter { ids, ..ClientFilter::default() })
        }
        _ => Err(CommandError::SYNTAX),
    }
}

fn kill<'a>(args: &'a [&'a [u8]]) -> Result<ClientFilter<'a>, CommandError> {
    let mut filter = ClientFilter { skips_me: true, ..ClientFilter::default() };
    let mut rest = args;
    while let [option, value, after @ ..] = rest {
        match option.to_ascii_uppercase().as_slice() {
            b"ID" if parse_i64(value).is_some_and(|id| id > 0) => filter.ids = &rest[1..2],
            b"ID" => return Err(CommandError::fixed("ERR client-id should be greater than 0")),
            b"TYPE" => filter.kind = Some(ClientKind::of(value)?),
            b"ADDR" => filter.address = Some(value),
            b"LADDR" => filter.local = Some(value),
            b"USER" if *value == b"default" => {}
            b"USER" => return Err(CommandError::quoting("ERR No such user '", value, "'")),
            b"MAXAGE" => filter.age_s = Some(max_age(value)?),
            b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => filter.skips_me = true,
            b"SKIPME" if value.eq_ignore_ascii_case(b"no") => filter.skips_me = false,
            _ => return Err(CommandError::SYNTAX),
        }
        rest = after;
    }
    if rest.is_empty() { Ok(filter) } else { Err(CommandError::SYNTAX) }
}

fn max_age(text: &[u8]) -> Result<u64, CommandError> {
    let age = parse_i64(text).ok_or(CommandError::fixed("ERR maxage is not an integer or out of range"))?;
    match u64::try_from(age) {
        Ok(age) if age > 0 => Ok(age),
        _ => Err(CommandError::fixed("ERR maxage should be greater than 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(args: &'a [&'a [u8]]) -> Result<Client<'a>, String> {
        match Command::parse(args) {
            Ok(Command::Client(client)) => Ok(client),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_would_forge_a_line_of_the_list_is_refused() {
        for bad in [&b"a b"[..], b"a\nid=7", b"a\0b", b"\xff"] {
            let text = "cannot contain spaces, newlines or special characters.";
            let error = parse(&[b"CLIENT", b"SETINFO", b"Lib-Name", bad]).unwrap_err();
            assert_eq!(error, format!("ERR Lib-Name {text}"));
            assert!(parse(&[b"CLIENT", b"SETNAME", bad]).unwrap_err().ends_with(text));
        }
        let long = [b'n'; NAME_BYTES_MAX + 1];
        assert!(
            parse(&[b"CLIENT", b"SETINFO", b"lib-ver", &long]).unwrap_err().contains("at most 256 bytes")
        );
        assert!(parse(&[b"CLIENT", b"SETINFO", b"lib-ver", b"1.2"]).is_ok());
    }

    #[test]
    fn a_list_takes_a_type_or_numbers_and_no_other_words() {
        let error = |args: &[&[u8]]| parse(&[&[&b"CLIENT"[..], b"LIST"], args].concat()).err();
        assert_eq!(error(&[b"TYPE", b"normal"]), None);
        assert_eq!(error(&[b"ID", b"3", b"-1"]), None);
        assert_eq!(error(&[b"TYPE", b"foo"]).unwrap(), "ERR Unknown client type 'foo'");
        assert_eq!(error(&[b"ID", b"x"]).unwrap(), "ERR Invalid client ID");
        for bad in [&[&b"FOO"[..]][..], &[b"TYPE"], &[b"ID"], &[b"TYPE", b"normal", b"ID", b"1"]] {
            assert_eq!(error(bad).unwrap(), "ERR syntax error");
        }
    }

    #[test]
    fn kill_takes_conditions_in_any_order() {
        let args: [&[u8]; 10] =
            [b"CLIENT", b"KILL", b"MAXAGE", b"5", b"id", b"7", b"SKIPME", b"no", b"USER", b"default"];
        let Ok(Client::Kill(filter)) = parse(&args) else { panic!() };
        assert_eq!((filter.age_s, filter.skips_me), (Some(5), false));
        assert_eq!(filter.numbers().collect::<Vec<_>>(), [7]);
        assert_eq!(parse(&[b"CLIENT", b"KILL", b"1.2.3.4:5"]), Ok(Client::KillAddress(b"1.2.3.4:5")));
        let error = |args: &[&[u8]]| parse(&[&[&b"CLIENT"[..], b"KILL"], args].concat()).unwrap_err();
        assert_eq!(error(&[b"ID", b"0"]), "ERR client-id should be greater than 0");
        assert_eq!(error(&[b"USER", b"bob"]), "ERR No such user 'bob'");
        assert_eq!(error(&[b"MAXAGE", b"-1"]), "ERR maxage should be greater than 0");
        assert_eq!(error(&[b"ADDR", b"x", b"ID"]), "ERR syntax error");
        assert_eq!(error(&[b"SKIPME", b"maybe"]), "ERR syntax error");
        assert_eq!(error(&[]), "ERR wrong number of arguments for 'client|kill' command");
    }
}
