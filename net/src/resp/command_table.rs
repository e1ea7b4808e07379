//! Every command there is: its name, arity, flags and where its keys are.
//!
//! This one table drives dispatch ([`Name::of`]), arity checks, and what COMMAND answers. Arity counts the
//! name; a negative one is a minimum. Keys are at `first`, `first + step`, ... up to `last` (negative: from the
//! end), 0 for none, as in Redis.

pub use super::subcommands::SubcommandInfo;
use super::subcommands::{CLIENT, CLUSTER, COMMAND, CONFIG};

/// What is known of a command.
#[derive(Clone, Copy, Debug)]
pub struct CommandInfo {
    /// Lower case.
    pub name: &'static str,
    /// Number of arguments with the name; negative: at least.
    pub arity: i32,
    /// Redis's flags, separated by spaces.
    pub flags: &'static str,
    /// First key, last key, step.
    pub keys: (i32, i32, i32),
    /// Redis's group.
    pub group: &'static str,
    /// The Redis version that has it as it is here.
    pub since: &'static str,
    /// Cost here.
    pub complexity: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Its subcommands.
    pub subcommands: &'static [SubcommandInfo],
}

/// Packs a name of up to 15 bytes, upper case, and its length, so that a name is one comparison.
const fn pack(name: &[u8]) -> u128 {
    let mut bytes = [0u8; 16];
    let mut at = 0;
    while at < name.len() {
        bytes[at] = name[at].to_ascii_uppercase();
        at += 1;
    }
    bytes[15] = name.len() as u8;
    u128::from_le_bytes(bytes)
}

macro_rules! or_none {
    () => {
        &[]
    };
    ($subcommands:expr) => {
        $subcommands
    };
}

macro_rules! commands {
    ($($id:ident $name:literal $arity:literal, $flags:literal, keys $keys:tt, $group:literal since $since:literal,
       $complexity:literal, $summary:literal $(, has $subcommands:expr)?;)*) => {
        /// The name of a command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = $summary] $id,)*
        }

        #[allow(non_upper_case_globals)] // they carry the names of the variants they stand for
        mod packed {
            $(pub(super) const $id: u128 = crate::resp::command_table::pack($name.as_bytes());)*
        }

        impl Name {
            fn of_packed(packed: u128) -> Option<Name> {
                match packed {
                    $(packed::$id => Some(Name::$id),)*
                    _ => None,
                }
            }
        }

        /// All commands, in the order of [`Name`].
        pub static COMMANDS: &[CommandInfo] = &[
            $(CommandInfo {
                name: $name, arity: $arity, flags: $flags, keys: $keys, group: $group, since: $since,
                complexity: $complexity, summary: $summary,
                subcommands: or_none!($($subcommands)?),
            },)*
        ];
    };
}

impl Name {
    /// Finds a command by its name in any case.
    #[inline]
    pub fn of(name: &[u8]) -> Option<Name> {
        if name.len() > 15 {
            return None;
        }
        // In registers: bytes that were just stored one by one can't be loaded as a whole without waiting for them.
        let mut packed = (name.len() as u128) << 120;
        for (place, byte) in name.iter().enumerate() {
            packed |= u128::from(byte.to_ascii_uppercase()) << (8 * place);
        }
        Name::of_packed(packed)
    }

    /// The command that arguments begin with, if there is such a command.
    #[inline]
    pub fn first_of(args: &[&[u8]]) -> Option<Name> {
        Name::of(args.first()?)
    }

    /// What is known of it.
    #[inline]
    pub fn info(self) -> &'static CommandInfo {
        &COMMANDS[self as usize]
    }
}

impl CommandInfo {
    /// Whether a command of `args` arguments, name included, is of the right length.
    #[inline]
    pub fn accepts(&self, args: usize) -> bool {
        accepts(self.arity, args)
    }

    /// The positions of the keys in a command of `args` arguments, name included.
    pub fn key_positions(&self, args: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let (first, last, step) = self.keys;
        let last = if last < 0 { args as i64 + i64::from(last) } else { i64::from(last) };
        let range = if first > 0 { i64::from(first)..last + 1 } else { 0..0 };
        range.step_by(step.max(1) as usize).map(|at| at as usize)
    }
}

/// Whether `args` arguments fit an arity.
pub(super) fn accepts(arity: i32, args: usize) -> bool {
    let wanted = arity.unsigned_abs() as usize;
    if arity < 0 { args >= wanted } else { args == wanted }
}

commands! {
    Append "append" 3, "write denyoom fast", keys (1, 1, 1), "string" since "2.0.0", "O(N), N the new length",
        "Appends to the value of a key; an absent key counts as empty.";
    Auth "auth" -2, "noscript loading stale fast no_auth allow_busy", keys (0, 0, 0), "connection" since "1.0.0", "O(1)",
        "Names a user; no password is configured here.";
    Client "client" -2, "noscript loading stale", keys (0, 0, 0), "connection" since "2.4.0", "depends on the subcommand",
        "Asks about connections and names this one.", has CLIENT;
    Cluster "cluster" -2, "loading stale", keys (0, 0, 0), "cluster" since "3.0.0", "depends on the subcommand",
        "Describes slots and the cores and nodes that serve them.", has CLUSTER;
    Command "command" -1, "loading stale", keys (0, 0, 0), "server" since "2.8.13", "O(N), N the number of commands",
        "Describes the commands.", has COMMAND;
    Config "config" -2, "admin noscript loading stale", keys (0, 0, 0), "server" since "2.0.0", "O(N), N the number of parameters",
        "Reads parameters under their Redis names.", has CONFIG;
    DbSize "dbsize" 1, "readonly fast", keys (0, 0, 0), "server" since "1.0.0", "O(N), N the number of keys",
        "Counts the keys.";
    Decr "decr" 2, "write denyoom fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Subtracts one from an integer; an absent key counts as 0.";
    DecrBy "decrby" 3, "write denyoom fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Subtracts from an integer; an absent key counts as 0.";
    Del "del" -2, "write", keys (1, -1, 1), "generic" since "1.0.0", "O(N), N the number of keys",
        "Removes keys and counts those that were there.";
    Echo "echo" 2, "loading stale fast", keys (0, 0, 0), "connection" since "1.0.0", "O(1)",
        "Answers its argument.";
    Exists "exists" -2, "readonly fast", keys (1, -1, 1), "generic" since "3.0.3", "O(N), N the number of keys",
        "Counts the keys that are there.";
    Expire "expire" -3, "write fast", keys (1, 1, 1), "generic" since "7.0.0", "O(1)",
        "Lets a key expire after seconds.";
    ExpireAt "expireat" -3, "write fast", keys (1, 1, 1), "generic" since "7.0.0", "O(1)",
        "Lets a key expire at a Unix time in seconds.";
    ExpireTime "expiretime" 2, "readonly fast", keys (1, 1, 1), "generic" since "7.0.0", "O(1)",
        "Tells the Unix time in seconds at which a key expires.";
    FlushAll "flushall" -1, "write", keys (0, 0, 0), "server" since "6.2.0", "O(N), N the number of partitions",
        "Removes every key.";
    FlushDb "flushdb" -1, "write", keys (0, 0, 0), "server" since "6.2.0", "O(N), N the number of partitions",
        "Removes every key.";
    Get "get" 2, "readonly fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Reads the value of a key.";
    GetDel "getdel" 2, "write fast", keys (1, 1, 1), "string" since "6.2.0", "O(1)",
        "Reads the value of a key and removes it.";
    GetEx "getex" -2, "write fast", keys (1, 1, 1), "string" since "6.2.0", "O(1)",
        "Reads the value of a key and changes its expiry.";
    GetRange "getrange" 4, "readonly", keys (1, 1, 1), "string" since "2.4.0", "O(N), N the length of the value",
        "Reads a part of a value.";
    GetSet "getset" 3, "write denyoom fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Sets a value and answers the old one.";
    Hello "hello" -1, "noscript loading stale fast no_auth allow_busy", keys (0, 0, 0), "connection" since "6.0.0", "O(1)",
        "Chooses the protocol and describes the server.";
    Incr "incr" 2, "write denyoom fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Adds one to an integer; an absent key counts as 0.";
    IncrBy "incrby" 3, "write denyoom fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Adds to an integer; an absent key counts as 0.";
    Info "info" -1, "loading stale", keys (0, 0, 0), "server" since "7.0.0", "O(1)",
        "Describes the state of the server.";
    Keys "keys" 2, "readonly", keys (0, 0, 0), "generic" since "1.0.0", "O(N), N the number of keys",
        "Lists the keys that match a pattern.";
    MGet "mget" -2, "readonly fast", keys (1, -1, 1), "string" since "1.0.0", "O(N), N the number of keys",
        "Reads the values of several keys.";
    MSet "mset" -3, "write denyoom", keys (1, -1, 2), "string" since "1.0.1", "O(N), N the number of keys",
        "Sets several keys; atomic per partition.";
    Persist "persist" 2, "write fast", keys (1, 1, 1), "generic" since "2.2.0", "O(1)",
        "Removes the expiry of a key.";
    PExpire "pexpire" -3, "write fast", keys (1, 1, 1), "generic" since "7.0.0", "O(1)",
        "Lets a key expire after milliseconds.";
    PExpireAt "pexpireat" -3, "write fast", keys (1, 1, 1), "generic" since "7.0.0", "O(1)",
        "Lets a key expire at a Unix time in milliseconds.";
    PExpireTime "pexpiretime" 2, "readonly fast", keys (1, 1, 1), "generic" since "7.0.0", "O(1)",
        "Tells the Unix time in milliseconds at which a key expires.";
    Ping "ping" -1, "fast", keys (0, 0, 0), "connection" since "1.0.0", "O(1)",
        "Answers PONG, or its argument.";
    PSetEx "psetex" 4, "write denyoom", keys (1, 1, 1), "string" since "2.6.0", "O(1)",
        "Sets a value that expires after milliseconds.";
    PTtl "pttl" 2, "readonly fast", keys (1, 1, 1), "generic" since "2.8.0", "O(1)",
        "Tells in how many milliseconds a key expires.";
    Quit "quit" -1, "noscript loading stale fast no_auth allow_busy", keys (0, 0, 0), "connection" since "1.0.0", "O(1)",
        "Closes the connection after the replies it is owed.";
    RandomKey "randomkey" 1, "readonly", keys (0, 0, 0), "generic" since "1.0.0", "O(1)",
        "Answers some key.";
    ReadOnly "readonly" 1, "loading stale fast", keys (0, 0, 0), "cluster" since "3.0.0", "O(1)",
        "Accepted for cluster clients; changes nothing.";
    ReadWrite "readwrite" 1, "loading stale fast", keys (0, 0, 0), "cluster" since "3.0.0", "O(1)",
        "Accepted for cluster clients; changes nothing.";
    Reset "reset" 1, "noscript loading stale fast no_auth allow_busy", keys (0, 0, 0), "connection" since "6.2.0", "O(1)",
        "Puts the connection back into its first state.";
    Scan "scan" -2, "readonly", keys (0, 0, 0), "generic" since "6.0.0", "O(1) a call",
        "Lists the keys in steps.";
    Select "select" 2, "loading stale fast", keys (0, 0, 0), "connection" since "1.0.0", "O(1)",
        "Chooses database 0, the only one.";
    Set "set" -3, "write denyoom", keys (1, 1, 1), "string" since "7.0.0", "O(1)",
        "Sets the value of a key.";
    SetEx "setex" 4, "write denyoom", keys (1, 1, 1), "string" since "2.0.0", "O(1)",
        "Sets a value that expires after seconds.";
    SetNx "setnx" 3, "write denyoom fast", keys (1, 1, 1), "string" since "1.0.0", "O(1)",
        "Sets a value if the key isn't there.";
    StrLen "strlen" 2, "readonly fast", keys (1, 1, 1), "string" since "2.2.0", "O(1)",
        "Tells the length of a value.";
    SubStr "substr" 4, "readonly", keys (1, 1, 1), "string" since "1.0.0", "O(N), N the length of the value",
        "Reads a part of a value; the old name of GETRANGE.";
    Time "time" 1, "loading stale fast", keys (0, 0, 0), "server" since "2.6.0", "O(1)",
        "Tells the server's time in seconds and microseconds.";
    Touch "touch" -2, "readonly fast", keys (1, -1, 1), "generic" since "3.2.1", "O(N), N the number of keys",
        "Counts the keys that are there.";
    Ttl "ttl" 2, "readonly fast", keys (1, 1, 1), "generic" since "2.8.0", "O(1)",
        "Tells in how many seconds a key expires.";
    Type "type" 2, "readonly fast", keys (1, 1, 1), "generic" since "1.0.0", "O(1)",
        "Tells the type of a key's value: string, or none.";
    Unlink "unlink" -2, "write fast", keys (1, -1, 1), "generic" since "4.0.0", "O(N), N the number of keys",
        "Removes keys and counts those that were there.";
    Wait "wait" 3, "noscript", keys (0, 0, 0), "generic" since "3.0.0", "O(1)",
        "Tells how many replicas have this connection's writes.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_by_its_name_in_any_case() {
        for (at, info) in COMMANDS.iter().enumerate() {
            let found = Name::of(info.name.as_bytes()).unwrap();
            assert_eq!(found as usize, at, "{}", info.name);
            assert_eq!(Name::of(info.name.to_ascii_uppercase().as_bytes()), Some(found));
            assert!(
                COMMANDS[..at].iter().all(|before| before.name < info.name),
                "{} is out of order",
                info.name
            );
        }
    }

    #[test]
    fn near_misses_are_no_commands() {
        for name in [&b""[..], b"GE", b"GETT", b"GET\0", b"G\0", b"a-name-longer-than-any", b"\xff\xfe"] {
            assert_eq!(Name::of(name), None);
        }
    }

    #[test]
    fn key_positions_follow_the_table() {
        let keys = |name: Name, args| name.info().key_positions(args).collect::<Vec<_>>();
        assert_eq!(keys(Name::Get, 2), [1]);
        assert_eq!(keys(Name::MGet, 4), [1, 2, 3]);
        assert_eq!(keys(Name::MSet, 5), [1, 3]);
        assert!(keys(Name::Ping, 2).is_empty());
    }
}
