//! What COMMAND and its subcommands answer, from the command table.

use super::command::{CommandFilter, CommandQuery};
use super::command_id::CommandId;
use super::command_keys::{key_flags, write_keys, write_keys_and_flags};
use super::command_table::{COMMANDS, CommandInfo, SubcommandInfo};
use super::glob;
use super::reply::{Encoder, Protocol};
use std::sync::LazyLock;

impl CommandQuery<'_> {
    /// How many names or arguments the reply is about: it grows with them.
    pub fn names(&self) -> usize {
        match self {
            CommandQuery::Info(names) | CommandQuery::Docs(names) => names.len(),
            CommandQuery::GetKeys(args) | CommandQuery::GetKeysAndFlags(args) => args.len(),
            CommandQuery::All | CommandQuery::Count | CommandQuery::List(_) => 0,
        }
    }

    /// Writes the whole reply.
    pub fn answer(&self, reply: &mut Encoder<'_>) {
        match self {
            CommandQuery::All | CommandQuery::Info([]) => {
                reply.array(COMMANDS.len());
                COMMANDS.iter().for_each(|info| write_info(info, reply));
            }
            CommandQuery::Count => reply.integer(COMMANDS.len() as i64),
            CommandQuery::List(filter) => {
                let steps = &mut { glob::NAME_STEPS };
                let taken = CommandId::all().filter_map(|id| match filter.takes(id, steps) {
                    Some(is_taken) => is_taken.then_some(Some(id)),
                    None => Some(None),
                });
                match taken.collect::<Option<Vec<CommandId>>>() {
                    Some(names) => {
                        reply.array(names.len());
                        names.iter().for_each(|name| reply.bulk(name.to_string().as_bytes()));
                    }
                    None => reply.error(TOO_LONG),
                }
            }
            CommandQuery::Info(names) => {
                reply.array(names.len());
                names.iter().for_each(|name| answer_info(name, reply));
            }
            CommandQuery::Docs([]) => {
                reply.map(COMMANDS.len());
                COMMANDS.iter().for_each(|info| write_docs(info, reply));
            }
            CommandQuery::Docs(names) => {
                let found = names.iter().filter_map(|name| CommandId::find(name)?.info());
                reply.map(found.clone().count());
                found.for_each(|(info, sub)| match sub {
                    Some(sub) => write_sub_docs(info, sub, reply),
                    None => write_docs(info, reply),
                });
            }
            CommandQuery::GetKeys(args) => write_keys(args, reply),
            CommandQuery::GetKeysAndFlags(args) => write_keys_and_flags(args, reply),
        }
    }
}

/// What is said of a pattern that is too long for a name, or takes too long to compare.
pub const TOO_LONG: &str =
    "ERR the pattern is too long, or has too much in it to compare: at most 1,024 bytes";

impl CommandFilter<'_> {
    /// Whether a command is one of them; `None` if comparing it takes more than `steps`, which are counted down.
    fn takes(&self, id: CommandId, steps: &mut usize) -> Option<bool> {
        let Some((info, sub)) = id.info() else { return Some(false) };
        match self {
            CommandFilter::All => Some(true),
            // There are no modules, so none has a command.
            CommandFilter::Module => Some(false),
            CommandFilter::Category(category) => {
                let flags = sub.map_or(info.flags, |sub| sub.flags);
                let mut each = categories(info, flags);
                Some(each.any(|each| category.eq_ignore_ascii_case(&each.as_bytes()[1..])))
            }
            CommandFilter::Pattern(pattern) => glob::matches_name(pattern, id.to_string().as_bytes(), steps),
        }
    }
}

/// Writes the element of COMMAND INFO for one name. What is said of a command is written once, and copied from then on:
/// a client may ask for a million of them.
pub fn answer_info(name: &[u8], reply: &mut Encoder<'_>) {
    static RESP2: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| all_infos(Protocol::Resp2));
    static RESP3: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| all_infos(Protocol::Resp3));
    let written = if reply.protocol() == Protocol::Resp3 { &RESP3 } else { &RESP2 };
    match CommandId::find(name) {
        Some(id) => reply.elements(&written[id.index()]),
        None => reply.null_array(),
    }
}

/// What COMMAND INFO says of each command and subcommand, by its number.
fn all_infos(protocol: Protocol) -> Vec<Vec<u8>> {
    let mut infos = vec![Vec::new(); CommandId::count()];
    for id in CommandId::all() {
        let mut reply = Encoder::new(&mut infos[id.index()], protocol);
        match id.info() {
            Some((info, Some(sub))) => write_sub_info(info, sub, &mut reply),
            Some((info, None)) => write_info(info, &mut reply),
            None => {}
        }
    }
    infos
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
    write_names(categories(info, info.flags), reply);
    write_tips(info.name, reply);
    write_key_specification(info, reply);
    reply.array(info.subcommands.len());
    info.subcommands.iter().for_each(|sub| write_sub_info(info, sub, reply));
}

fn write_sub_info(info: &CommandInfo, sub: &SubcommandInfo, reply: &mut Encoder<'_>) {
    reply.array(10);
    let whole = format!("{}|{}", info.name, sub.name);
    reply.bulk(whole.as_bytes());
    reply.integer(sub.arity.into());
    write_names(sub.flags.split_whitespace(), reply);
    (0..3).for_each(|_| reply.integer(0));
    write_names(categories(info, sub.flags), reply);
    write_tips(&whole, reply);
    reply.set(0);
    reply.array(0);
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
fn categories(info: &CommandInfo, flags: &'static str) -> impl Iterator<Item = &'static str> + Clone + use<> {
    let has = |flag: &str| flags.split_whitespace().any(|each| each == flag);
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
    reply.map(3);
    reply.bulk(b"flags");
    let variable = (info.name == "set").then_some("variable_flags");
    write_names(key_flags(info.name).split(' ').chain(variable), reply);
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

fn write_docs(info: &CommandInfo, reply: &mut Encoder<'_>) {
    let parts = [
        ("summary", info.summary),
        ("since", info.since),
        ("group", info.group),
        ("complexity", info.complexity),
    ];
    reply.bulk(info.name.as_bytes());
    reply.map(parts.len() + usize::from(!info.subcommands.is_empty()));
    write_pairs(&parts, reply);
    if !info.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(info.subcommands.len());
        info.subcommands.iter().for_each(|sub| write_sub_docs(info, sub, reply));
    }
}

fn write_sub_docs(info: &CommandInfo, sub: &SubcommandInfo, reply: &mut Encoder<'_>) {
    let parts = [("summary", sub.summary), ("since", sub.since), ("group", info.group)];
    reply.bulk(format!("{}|{}", info.name, sub.name).as_bytes());
    reply.map(parts.len());
    write_pairs(&parts, reply);
}

fn write_pairs(parts: &[(&str, &str)], reply: &mut Encoder<'_>) {
    for (name, text) in parts {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
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
            &[b"COMMAND", b"DOCS", b"get", b"nope", b"client|list"],
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
    fn subcommands_are_listed_filtered_and_described() {
        let names = |filter: &[&[u8]]| {
            let out = answer(&[&[&b"COMMAND"[..], b"LIST"], filter].concat(), Protocol::Resp2);
            let (Reply::Array(names), _) = decode(&out).unwrap().unwrap() else { panic!() };
            let text = |name: &Reply<'_>| match name {
                Reply::Bulk(name) => String::from_utf8(name.to_vec()).unwrap(),
                other => panic!("{other:?}"),
            };
            names.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]).len(), CommandId::count());
        assert_eq!(names(&[b"FILTERBY", b"PATTERN", b"CLIENT|S*"]), ["client|setinfo", "client|setname"]);
        assert!(names(&[b"filterby", b"aclcat", b"admin"]).contains(&"client|kill".to_owned()));
        assert!(!names(&[b"filterby", b"aclcat", b"admin"]).contains(&"client|id".to_owned()));
        assert!(
            names(&[b"FILTERBY", b"ACLCAT", b"@admin"]).is_empty(),
            "Redis takes the name without the sign"
        );
        assert!(names(&[b"FILTERBY", b"MODULE", b"json"]).is_empty());
        let long = vec![b'*'; glob::NAME_PATTERN_BYTES_MAX + 1];
        let out = answer(&[b"COMMAND", b"LIST", b"FILTERBY", b"PATTERN", &long], Protocol::Resp2);
        assert!(out.starts_with(b"-ERR the pattern is too long"));
        let out = answer(&[b"COMMAND", b"INFO", b"client|list", b"client|nope"], Protocol::Resp2);
        let (Reply::Array(infos), _) = decode(&out).unwrap().unwrap() else { panic!() };
        let Reply::Array(list) = &infos[0] else { panic!() };
        assert_eq!(list[..2], [Reply::Bulk(b"client|list"), Reply::Integer(-2)]);
        assert_eq!((list.len(), &infos[1]), (10, &Reply::Null));
    }
}
