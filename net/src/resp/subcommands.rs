//! The subcommands of CLIENT, CLUSTER, COMMAND and CONFIG.

/// What is known of a subcommand.
#[derive(Clone, Copy, Debug)]
pub struct SubcommandInfo {
    /// Lower case.
    pub name: &'static str,
    /// Number of arguments, both names included; negative: at least.
    pub arity: i32,
    /// Redis's flags, separated by spaces.
    pub flags: &'static str,
    /// The Redis version that has it as it is here.
    pub since: &'static str,
    /// One line.
    pub summary: &'static str,
}

const fn sub(
    name: &'static str,
    arity: i32,
    flags: &'static str,
    since: &'static str,
    summary: &'static str,
) -> SubcommandInfo {
    SubcommandInfo { name, arity, flags, since, summary }
}

const HELP: SubcommandInfo = sub("help", 2, "loading stale", "5.0.0", "Lists the subcommands.");
const CONNECTION: &str = "noscript loading stale";
const ADMIN: &str = "admin noscript loading stale";
const ANY_TIME: &str = "loading stale";

pub(super) const CLIENT: &[SubcommandInfo] = &[
    sub("getname", 2, CONNECTION, "2.6.9", "Answers the name of this connection."),
    HELP,
    sub("id", 2, CONNECTION, "5.0.0", "Answers the number of this connection."),
    sub("info", 2, CONNECTION, "6.2.0", "Describes this connection."),
    sub("kill", -3, ADMIN, "7.4.0", "Closes connections."),
    sub("list", -2, ADMIN, "7.0.3", "Describes the connections."),
    sub("no-evict", 3, ADMIN, "7.0.0", "Accepted; changes nothing."),
    sub("no-touch", 3, CONNECTION, "7.2.0", "Accepted; changes nothing."),
    sub("reply", 3, CONNECTION, "3.2.0", "Accepts ON; changes nothing."),
    sub("setinfo", 4, CONNECTION, "7.2.0", "Notes the client's library."),
    sub("setname", 3, CONNECTION, "2.6.9", "Names this connection."),
];

pub(super) const CLUSTER: &[SubcommandInfo] = &[
    sub("countkeysinslot", 3, "stale", "3.0.0", "Counts the keys of a slot."),
    sub("getkeysinslot", 4, "stale", "3.0.0", "Lists keys of a slot."),
    HELP,
    sub("info", 2, ANY_TIME, "3.0.0", "Describes the state of the cluster."),
    sub("keyslot", 3, "stale", "3.0.0", "Answers the slot of a key."),
    sub("links", 2, "stale", "7.0.0", "Lists the links between the nodes; there are none."),
    sub("myid", 2, "stale", "3.0.0", "Answers the id of the core that answers."),
    sub("myshardid", 2, "stale", "7.2.0", "Answers the id of the shard of the core that answers."),
    sub("nodes", 2, ANY_TIME, "3.0.0", "Describes the cores and their slots, as text."),
    sub("replicas", 3, "admin stale", "5.0.0", "Lists the replicas of a core; there are none."),
    sub("shards", 2, ANY_TIME, "7.0.0", "Describes the cores and their slots."),
    sub("slaves", 3, "admin stale", "3.0.0", "Lists the replicas of a core; there are none."),
    sub("slots", 2, ANY_TIME, "3.0.0", "Answers the ranges of slots and their cores."),
];

pub(super) const COMMAND: &[SubcommandInfo] = &[
    sub("count", 2, ANY_TIME, "2.8.13", "Counts the commands."),
    sub("docs", -2, ANY_TIME, "7.0.0", "Describes commands for people."),
    sub("getkeys", -3, ANY_TIME, "2.8.13", "Answers the keys of a command."),
    sub("getkeysandflags", -3, ANY_TIME, "7.0.0", "Answers the keys of a command and what it does to them."),
    HELP,
    sub("info", -2, ANY_TIME, "2.8.13", "Describes commands for programs."),
    sub("list", -2, ANY_TIME, "7.0.0", "Answers the names of the commands."),
];

pub(super) const CONFIG: &[SubcommandInfo] = &[
    sub("get", -3, ADMIN, "7.0.0", "Answers the parameters that match."),
    HELP,
    sub("resetstat", 2, ADMIN, "2.0.0", "Puts the counters of INFO back to 0."),
    sub("set", -4, ADMIN, "7.0.0", "Refused: settings come from flags, the environment and the file."),
];
