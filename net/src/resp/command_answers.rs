//! What COMMAND and its subcommands answer, from the command table.

use super::command::CommandQuery;
use super::command_table::{COMMANDS, CommandInfo, Name, accepts};
use super::reply::{Encoder, Protocol};
use std::sync::LazyLock;

impl CommandQuery<'_> {
    /// Writes the whole reply.
    pub fn answer(&self, reply: &mut Encoder<'_>) {
        match self {
            CommandQuery::All | CommandQuery::Info([]) => {
                reply.array(COMMANDS.len());
                COMMANDS.iter().for_each(|info| write_info(info, reply));
            }
            CommandQuery::Count => reply.integer(COMMANDS.len() as i64),
            CommandQuery::List => {
                reply.array(COMMANDS.len());
                COMMANDS.iter().for_each(|info| reply.bulk(info.name.as_bytes()));
            }
            CommandQuery::Info(names) => {
                reply.array(names.len());
                names.iter().for_each(|name| answer_info(name, reply));
            }
            CommandQuery::Docs([]) => write_docs(COMMANDS.iter(), reply),
            CommandQuery::Docs(names) => {
                write_docs(names.iter().filter_map(|name| Name::of(name)).map(Name::info), reply);
            }
            CommandQuery::GetKeys(args) => write_keys(args, reply),
        }
    }
}

/// Writes the element of COMMAND INFO for one name. What is said of a command is written once, and copied from then on:
/// a client may ask for a million of them.
pub fn answer_info(name: &[u8], reply: &mut Encoder<'_>) {
    static RESP2: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| all_infos(Protocol::Resp2));
    static RESP3: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| all_infos(Protocol::Resp3));
    let written = if reply.protocol() == Protocol::Resp3 { &RESP3 } else { &RESP2 };
    match Name::of(name) {
        Some(name) => reply.elements(&written[name as usize]),
        None => reply.null_array(),
    }
}

/// What COMMAND INFO says of each command, in the order of the table.
fn all_infos(protocol: Protocol) -> Vec<Vec<u8>> {
    let write = |info| {
        let mut bytes = Vec::new();
        write_info(info, &mut Encoder::new(&mut bytes, protocol));
        bytes
    };
    COMMANDS.iter().map(write).collect()
}

/// The ten parts of Redis 7: name, arity, flags, first key, last key, step, categories, tips, key
/// specifications, subcommands.
fn write_info(info: &CommandInfo, reply: &mut Encoder<'_>) {
    let (first, last, step) = info.keys;
    reply.array(10);
    reply.bulk(info.name.as_bytes());
    reply.integer(info.arity.into());
    write_names(info.flags.split_whitespace(), reply);
    reply.integer(first.into());
    reply.integer(last.into());
    reply.integer(step.into());
    write_names(categories(info), reply);
    write_tips(info.name, reply);
    write_key_specification(info, reply);
    reply.array(info.subcommands.len());
    for (name, arity) in info.subcommands {
        reply.array(10);
        let whole = format!("{}|{name}", info.name);
        reply.bulk(whole.as_bytes());
        reply.integer((*arity).into());
        write_names(info.flags.split_whitespace(), reply);
        (0..3).for_each(|_| reply.integer(0));
        write_names(categories(info), reply);
        write_tips(&whole, reply);
        (0..2).for_each(|_| reply.set(0));
    }
}

fn write_tips(name: &str, reply: &mut Encoder<'_>) {
    let tips = tips(name);
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
}

/// How a cluster client routes a command that has no single home, and puts the answers together. They are Redis's, and
/// they fit because on its own port a core answers for itself alone.
fn tips(name: &str) -> &'static [&'static str] {
    match name {
        "dbsize" => &["request_policy:all_shards", "response_policy:agg_sum"],
        "keys" => &["request_policy:all_shards", "nondeterministic_output_order"],
        "flushall" | "flushdb" | "ping" => &["request_policy:all_shards", "response_policy:all_succeeded"],
        "randomkey" | "info" => {
            &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]
        }
        "scan" => &["nondeterministic_output", "request_policy:special", "response_policy:special"],
        "wait" => &["request_policy:all_shards", "response_policy:agg_min"],
        "mset" => &["request_policy:multi_shard", "response_policy:all_succeeded"],
        "mget" => &["request_policy:multi_shard"],
        "del" | "exists" | "touch" | "unlink" => &["request_policy:multi_shard", "response_policy:agg_sum"],
        "config|set" | "config|resetstat" | "client|setinfo" | "client|setname" => {
            &["request_policy:all_nodes", "response_policy:all_succeeded"]
        }
        "command" | "command|docs" | "command|info" | "command|list" => &["nondeterministic_output_order"],
        "ttl" | "pttl" | "time" | "client|info" | "client|list" | "cluster|info" | "cluster|nodes"
        | "cluster|shards" | "cluster|slots" => &["nondeterministic_output"],
        _ => &[],
    }
}

fn write_names<'a>(names: impl Iterator<Item = &'a str> + Clone, reply: &mut Encoder<'_>) {
    reply.set(names.clone().count());
    names.for_each(|name| reply.simple(name));
}

/// Access-control categories, which follow from flags and group.
fn categories(info: &CommandInfo) -> impl Iterator<Item = &'static str> + Clone + use<> {
    let has = |flag: &str| info.flags.split_whitespace().any(|each| each == flag);
    let group = match info.group {
        "generic" => Some("@keyspace"),
        "string" => Some("@string"),
        "connection" => Some("@connection"),
        _ => None,
    };
    let dangerous = has("admin") || matches!(info.name, "flushall" | "flushdb" | "keys" | "info");
    [
        has("readonly").then_some("@read"),
        has("write").then_some("@write"),
        group,
        has("admin").then_some("@admin"),
        dangerous.then_some("@dangerous"),
        Some(if has("fast") { "@fast" } else { "@slow" }),
    ]
    .into_iter()
    .flatten()
}

fn write_key_specification(info: &CommandInfo, reply: &mut Encoder<'_>) {
    let (first, last, step) = info.keys;
    reply.set(usize::from(first > 0));
    if first == 0 {
        return;
    }
    let writes = info.flags.starts_with("write");
    reply.map(3);
    reply.bulk(b"flags");
    write_names([if writes { "RW" } else { "RO" }, "access"].into_iter(), reply);
    reply.bulk(b"begin_search");
    write_typed("index", reply);
    reply.map(1);
    reply.bulk(b"index");
    reply.integer(first.into());
    reply.bulk(b"find_keys");
    write_typed("range", reply);
    reply.map(3);
    for (name, value) in
        [("lastkey", if last > 0 { last - first } else { last }), ("keystep", step), ("limit", 0)]
    {
        reply.bulk(name.as_bytes());
        reply.integer(value.into());
    }
}

/// A map of type and specification; the specification follows.
fn write_typed(kind: &str, reply: &mut Encoder<'_>) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
}

fn write_docs<'i>(infos: impl Iterator<Item = &'i CommandInfo> + Clone, reply: &mut Encoder<'_>) {
    reply.map(infos.clone().count());
    for info in infos {
        reply.bulk(info.name.as_bytes());
        reply.map(4);
        let parts = [
            ("summary", info.summary),
            ("since", info.since),
            ("group", info.group),
            ("complexity", info.complexity),
        ];
        for (name, text) in parts {
            reply.bulk(name.as_bytes());
            reply.bulk(text.as_bytes());
        }
    }
}

fn write_keys(args: &[&[u8]], reply: &mut Encoder<'_>) {
    let Some(info) = args.first().and_then(|name| Name::of(name)).map(Name::info) else {
        return reply.error("ERR Invalid command specified");
    };
    if info.keys.0 == 0 {
        return reply.error("ERR The command has no key arguments");
    }
    if !accepts(info.arity, args.len()) {
        return reply.error("ERR Invalid number of arguments specified for command");
    }
    let keys = info.key_positions(args.len()).filter_map(|at| args.get(at));
    reply.array(keys.clone().count());
    keys.for_each(|key| reply.bulk(key));
}

#[cfg(test)]
mod tests {
    use super::super::client::{Reply, decode};
    use super::super::{Command, Protocol};
    use super::*;

    fn answer(args: &[&[u8]], protocol: Protocol) -> Vec<u8> {
        let Ok(Command::Command(query)) = Command::parse(args) else { panic!() };
        let mut out = Vec::new();
        query.answer(&mut Encoder::new(&mut out, protocol));
        out
    }

    #[test]
    fn every_reply_is_one_whole_element_in_both_protocols() {
        let queries: [&[&[u8]]; 6] = [
            &[b"COMMAND"],
            &[b"COMMAND", b"COUNT"],
            &[b"COMMAND", b"LIST"],
            &[b"COMMAND", b"DOCS"],
            &[b"COMMAND", b"DOCS", b"get", b"nope"],
            &[b"COMMAND", b"INFO", b"get", b"client", b"nope"],
        ];
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            for query in queries {
                let out = answer(query, protocol);
                let (_, length) = decode(&out).unwrap().unwrap();
                assert_eq!(length, out.len(), "{query:?}");
            }
        }
    }

    #[test]
    fn info_has_the_ten_parts_redis_has() {
        let out = answer(&[b"COMMAND", b"INFO", b"GET", b"nope"], Protocol::Resp2);
        let (Reply::Array(infos), _) = decode(&out).unwrap().unwrap() else { panic!() };
        let Reply::Array(get) = &infos[0] else { panic!() };
        assert_eq!(get[..2], [Reply::Bulk(b"get"), Reply::Integer(2)]);
        assert_eq!(get[3..6], [Reply::Integer(1), Reply::Integer(1), Reply::Integer(1)]);
        assert_eq!((get.len(), &infos[1]), (10, &Reply::Null));
    }

    #[test]
    fn tips_tell_cluster_clients_to_ask_every_shard_and_to_add_up() {
        let out = answer(&[b"COMMAND", b"INFO", b"DBSIZE", b"DEL", b"KEYS", b"GET"], Protocol::Resp2);
        let (Reply::Array(infos), _) = decode(&out).unwrap().unwrap() else { panic!() };
        let tips = |at: usize| match &infos[at] {
            Reply::Array(parts) => parts[7].clone(),
            other => panic!("{other:?}"),
        };
        let sum = Reply::Bulk(b"response_policy:agg_sum");
        assert_eq!(tips(0), Reply::Array(vec![Reply::Bulk(b"request_policy:all_shards"), sum.clone()]));
        assert_eq!(tips(1), Reply::Array(vec![Reply::Bulk(b"request_policy:multi_shard"), sum]));
        let Reply::Array(keys) = tips(2) else { panic!() };
        assert_eq!(keys[0], Reply::Bulk(b"request_policy:all_shards"));
        assert_eq!(tips(3), Reply::Array(vec![]));
    }

    #[test]
    fn getkeys_finds_the_keys_or_says_why_not() {
        let keys = answer(&[b"COMMAND", b"GETKEYS", b"MSET", b"a", b"1", b"b", b"2"], Protocol::Resp2);
        assert_eq!(keys, b"*2\r\n$1\r\na\r\n$1\r\nb\r\n");
        let none = answer(&[b"COMMAND", b"GETKEYS", b"PING"], Protocol::Resp2);
        assert_eq!(none, b"-ERR The command has no key arguments\r\n");
    }
}
