//! Every command and subcommand by one small number: for statistics, and for what a connection did last.

use super::command_table::{COMMANDS, CommandInfo, Name};
use super::subcommands::SubcommandInfo;

/// A command, or a subcommand of one. Numbers are dense: the commands in the order of the table, then the subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandId(u16);

impl Default for CommandId {
    fn default() -> CommandId {
        CommandId::NONE
    }
}

impl CommandId {
    /// No command.
    pub const NONE: CommandId = CommandId(u16::MAX);

    /// The command of this name, or its subcommand where the arguments name one.
    #[inline]
    pub fn of(name: Option<Name>, args: &[&[u8]]) -> CommandId {
        let Some(name) = name else { return CommandId::NONE };
        match args.get(1) {
            Some(subcommand) if !name.info().subcommands.is_empty() => CommandId::of_sub(name, subcommand),
            _ => CommandId(name as u16),
        }
    }

    #[cold]
    fn of_sub(name: Name, subcommand: &[u8]) -> CommandId {
        let place = name.info().subcommands.iter().position(|sub| is(sub.name, subcommand));
        place.map_or(CommandId(name as u16), |place| CommandId((first_sub(name as usize) + place) as u16))
    }

    /// The command or subcommand of a whole name such as `get` or `client|list`, in any case.
    pub fn find(whole: &[u8]) -> Option<CommandId> {
        let (name, subcommand) = match whole.iter().position(|&byte| byte == b'|') {
            Some(at) => (&whole[..at], Some(&whole[at + 1..])),
            None => (whole, None),
        };
        let id = CommandId(Name::of(name)? as u16);
        let Some(subcommand) = subcommand else { return Some(id) };
        let found = CommandId::of_sub(Name::of(name)?, subcommand);
        (found != id).then_some(found)
    }

    /// How many there are.
    pub fn count() -> usize {
        first_sub(COMMANDS.len())
    }

    /// All of them: each command before its subcommands.
    pub fn all() -> impl Iterator<Item = CommandId> {
        COMMANDS.iter().enumerate().flat_map(|(place, info)| {
            let first = first_sub(place);
            std::iter::once(place).chain(first..first + info.subcommands.len()).map(|id| CommandId(id as u16))
        })
    }

    /// Its number, below [`CommandId::count`]; for [`CommandId::NONE`] far above.
    #[inline]
    pub fn index(self) -> usize {
        self.0.into()
    }

    /// What is known of it: of the command, and of the subcommand if it is one.
    pub fn info(self) -> Option<(&'static CommandInfo, Option<&'static SubcommandInfo>)> {
        if let Some(info) = COMMANDS.get(self.index()) {
            return Some((info, None));
        }
        let mut place = self.index() - COMMANDS.len();
        for info in COMMANDS {
            match info.subcommands.get(place) {
                Some(sub) => return Some((info, Some(sub))),
                None => place -= info.subcommands.len(),
            }
        }
        None
    }
}

/// `get`, or `client|list`; `NULL` for none, as Redis has it.
impl std::fmt::Display for CommandId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.info() {
            Some((info, None)) => f.write_str(info.name),
            Some((info, Some(sub))) => write!(f, "{}|{}", info.name, sub.name),
            None => f.write_str("NULL"),
        }
    }
}

/// The number of the first subcommand of the command at this place.
fn first_sub(place: usize) -> usize {
    COMMANDS.len() + COMMANDS[..place].iter().map(|info| info.subcommands.len()).sum::<usize>()
}

fn is(name: &str, typed: &[u8]) -> bool {
    typed.eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_subcommand_has_a_number_of_its_own_and_is_found_by_its_name() {
        let mut seen = vec![false; CommandId::count()];
        for id in CommandId::all() {
            assert!(!std::mem::replace(&mut seen[id.index()], true), "{id}");
            assert_eq!(CommandId::find(id.to_string().to_ascii_uppercase().as_bytes()), Some(id));
        }
        assert!(seen.iter().all(|&seen| seen));
        assert_eq!(CommandId::NONE.to_string(), "NULL");
    }

    #[test]
    fn arguments_name_the_subcommand_if_there_is_one() {
        let of = |name: Name, args: &[&[u8]]| CommandId::of(Some(name), args).to_string();
        assert_eq!(of(Name::Get, &[b"get", b"list"]), "get");
        assert_eq!(of(Name::Client, &[b"CLIENT", b"List"]), "client|list");
        assert_eq!(of(Name::Client, &[b"client", b"nope"]), "client");
        assert_eq!(CommandId::find(b"client|nope"), None);
        assert_eq!(CommandId::find(b"get|list"), None);
    }
}
