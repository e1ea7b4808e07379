//! What is wrong with a command, in Redis's own words.

use std::borrow::Cow;

/// An error reply: its code and text, without the line end. The connection goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError(Cow<'static, [u8]>);

impl CommandError {
    /// `ERR syntax error`.
    pub const SYNTAX: CommandError = CommandError::fixed("ERR syntax error");
    /// A number was expected.
    pub const NOT_AN_INTEGER: CommandError =
        CommandError::fixed("ERR value is not an integer or out of range");

    /// A text known in advance.
    pub const fn fixed(text: &'static str) -> CommandError {
        CommandError(Cow::Borrowed(text.as_bytes()))
    }

    /// The text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn owned(text: impl Into<Vec<u8>>) -> CommandError {
        CommandError(Cow::Owned(text.into()))
    }

    /// Whether the command wasn't begun because of the number of its arguments.
    pub fn is_arity(&self) -> bool {
        self.0.starts_with(ARITY)
    }

    /// An error that quotes an argument, up to its first zero byte, as Redis does.
    pub(super) fn quoting(before: &str, argument: &[u8], behind: &str) -> CommandError {
        CommandError::owned([before.as_bytes(), until_nul(argument), behind.as_bytes()].concat())
    }

    /// No such command; quotes the beginning of its arguments.
    pub(super) fn unknown_command(args: &[&[u8]]) -> CommandError {
        let Some((name, args)) = args.split_first() else { return CommandError::SYNTAX };
        let mut text = [b"ERR unknown command '", cut(name, 128), b"', with args beginning with: "].concat();
        let start = text.len();
        for arg in args {
            let used = text.len() - start;
            if used >= 128 {
                break;
            }
            text.push(b'\'');
            text.extend_from_slice(cut(arg, 128 - used));
            text.extend_from_slice(b"' ");
        }
        CommandError::owned(text)
    }

    pub(super) fn unknown_subcommand(command: &str, subcommand: &[u8]) -> CommandError {
        let help = format!("'. Try {} HELP.", command.to_ascii_uppercase());
        CommandError::owned([b"ERR unknown subcommand '", cut(subcommand, 128), help.as_bytes()].concat())
    }

    /// `command` as in the table, a subcommand as `client|list`.
    pub(super) fn arity(command: impl std::fmt::Display) -> CommandError {
        CommandError::owned(format!("{}'{command}' command", String::from_utf8_lossy(ARITY)))
    }

    pub(super) fn expire_time(command: &str) -> CommandError {
        CommandError::owned(format!("ERR invalid expire time in '{command}' command"))
    }
}

impl AsRef<[u8]> for CommandError {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for CommandError {}

const ARITY: &[u8] = b"ERR wrong number of arguments for ";

/// At most `max` bytes, up to the first zero byte: so much of an argument Redis quotes.
fn cut(bytes: &[u8], max: usize) -> &[u8] {
    until_nul(&bytes[..bytes.len().min(max)])
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
