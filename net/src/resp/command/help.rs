//! What HELP answers, a line each.

pub(super) const CLIENT: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETNAME",
    "    Answer the name of this connection.",
    "ID",
    "    Answer the number of this connection.",
    "INFO",
    "    Describe this connection.",
    "KILL <ip:port>",
    "    Close the connection from this address.",
    "KILL <option> <value> [<option> <value> [...]]. Options are: ID, TYPE, ADDR, LADDR, USER, SKIPME (yes|no), MAXAGE",
    "    Close the connections that fit every option, this one only with SKIPME no; answer how many.",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
    "    Describe the connections of all cores.",
    "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF), REPLY ON",
    "    Accepted; they change nothing.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Note the client's library.",
    "SETNAME <name>",
    "    Name this connection.",
    "HELP",
    "    Print this help.",
];

pub(super) const CLUSTER: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNTKEYSINSLOT <slot>",
    "    Count the keys of a slot.",
    "GETKEYSINSLOT <slot> <count>",
    "    List keys of a slot.",
    "INFO",
    "    Describe the state of the cluster.",
    "KEYSLOT <key>",
    "    Answer the slot of a key.",
    "LINKS",
    "    List the links between the nodes; there are none.",
    "MYID",
    "    Answer the id of the core that answers.",
    "MYSHARDID",
    "    Answer the id of the shard of the core that answers.",
    "NODES",
    "    Describe the cores and their slots, as text.",
    "REPLICAS <node-id>, SLAVES <node-id>",
    "    List the replicas of a core; there are none.",
    "SHARDS",
    "    Describe the cores and their slots.",
    "SLOTS",
    "    Answer the ranges of slots and their cores.",
    "HELP",
    "    Print this help.",
];

pub(super) const COMMAND: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Describe all commands.",
    "COUNT",
    "    Count the commands.",
    "DOCS [<command> ...]",
    "    Describe commands for people.",
    "GETKEYS <full-command>",
    "    Answer the keys of a command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Answer the keys of a command and what it does to them.",
    "INFO [<command> ...]",
    "    Describe commands for programs.",
    "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    Answer the names of the commands.",
    "HELP",
    "    Print this help.",
];

pub(super) const CONFIG: &[&str] = &[
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern> [<pattern> ...]",
    "    Answer the parameters that match.",
    "RESETSTAT",
    "    Put the counters of INFO back to 0.",
    "SET <parameter> <value> [<parameter> <value> ...]",
    "    Refused: settings come from flags, the environment and the configuration file.",
    "HELP",
    "    Print this help.",
];

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;
    use crate::resp::command_table::Name;

    #[test]
    fn help_names_every_subcommand() {
        for (name, text) in [
            (Name::Client, CLIENT),
            (Name::Cluster, CLUSTER),
            (Name::Command, COMMAND),
            (Name::Config, CONFIG),
        ] {
            let all = text.join("\n");
            for sub in name.info().subcommands {
                assert!(all.contains(&sub.name.to_ascii_uppercase()), "{} isn't in {all}", sub.name);
            }
            let args = [name.info().name.as_bytes(), b"help"];
            assert_eq!(Command::parse(&args), Ok(Command::Help(text)));
        }
    }
}
