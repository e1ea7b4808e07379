//! The keys of a command, and what it does to them: COMMAND GETKEYS, GETKEYSANDFLAGS, and key specifications.

use super::command_table::{CommandInfo, Name};
use super::reply::Encoder;

/// Writes the reply of COMMAND GETKEYS.
pub(super) fn write_keys(args: &[&[u8]], reply: &mut Encoder<'_>) {
    if let Some(info) = command_of(args, reply) {
        let keys = info.key_positions(args.len()).filter_map(|at| args.get(at));
        reply.array(keys.clone().count());
        keys.for_each(|key| reply.bulk(key));
    }
}

/// Writes the reply of COMMAND GETKEYSANDFLAGS.
pub(super) fn write_keys_and_flags(args: &[&[u8]], reply: &mut Encoder<'_>) {
    let Some(info) = command_of(args, reply) else { return };
    let asks_for_old = args[1..].iter().any(|arg| arg.eq_ignore_ascii_case(b"get"));
    // SET reads the key only where it is to answer the old value.
    let flags = if info.name == "set" && !asks_for_old { "OW update" } else { key_flags(info.name) };
    let keys = info.key_positions(args.len()).filter_map(|at| args.get(at));
    reply.array(keys.clone().count());
    for key in keys {
        reply.array(2);
        reply.bulk(key);
        reply.set(flags.split(' ').count());
        flags.split(' ').for_each(|flag| reply.simple(flag));
    }
}

/// The command that the arguments are one of; writes the error if they aren't.
fn command_of(args: &[&[u8]], reply: &mut Encoder<'_>) -> Option<&'static CommandInfo> {
    let Some(info) = args.first().and_then(|name| Name::of(name)).map(Name::info) else {
        reply.error("ERR Invalid command specified");
        return None;
    };
    if info.keys.0 == 0 {
        reply.error("ERR The command has no key arguments");
        return None;
    }
    if !info.accepts(args.len()) {
        reply.error("ERR Invalid number of arguments specified for command");
        return None;
    }
    Some(info)
}

/// What a command does to its keys, in Redis's words: reads only, overwrites, removes, or reads and writes; and what for.
pub(super) fn key_flags(name: &str) -> &'static str {
    match name {
        "exists" | "touch" | "type" | "strlen" => "RO",
        "del" | "unlink" => "RM delete",
        "setnx" => "OW insert",
        "setex" | "psetex" | "mset" => "OW update",
        "append" => "RW insert",
        "getdel" => "RW access delete",
        "set" | "getex" | "getset" | "incr" | "incrby" | "decr" | "decrby" => "RW access update",
        "expire" | "expireat" | "pexpire" | "pexpireat" | "persist" => "RW update",
        _ => "RO access",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Protocol};
    use super::*;

    fn answer(args: &[&[u8]]) -> String {
        let Ok(Command::Command(query)) = Command::parse(args) else { panic!() };
        let mut out = Vec::new();
        query.answer(&mut Encoder::new(&mut out, Protocol::Resp2));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn getkeys_finds_the_keys_or_says_why_not() {
        let keys = answer(&[b"COMMAND", b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"]);
        assert_eq!(keys, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        let none = answer(&[b"COMMAND", b"GETKEYS", b"PING"]);
        assert_eq!(none, "-ERR The command has no key arguments\r\n");
    }

    #[test]
    fn flags_say_what_becomes_of_the_keys() {
        let flags = |args: &[&[u8]]| answer(&[&[&b"COMMAND"[..], b"GETKEYSANDFLAGS"], args].concat());
        assert_eq!(flags(&[b"SET", b"a", b"b"]), "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n");
        assert!(flags(&[b"SET", b"a", b"b", b"GET"]).ends_with("*3\r\n+RW\r\n+access\r\n+update\r\n"));
        assert_eq!(flags(&[b"EXISTS", b"a"]), "*1\r\n*2\r\n$1\r\na\r\n*1\r\n+RO\r\n");
        assert_eq!(flags(&[b"NOPE", b"a"]), "-ERR Invalid command specified\r\n");
    }
}
