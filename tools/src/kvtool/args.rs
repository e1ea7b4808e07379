//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Inspects, verifies, repairs and remakes the files of a Pinion store that nobody has open.
#[derive(Debug, Parser)]
#[command(name = "kvtool", version, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "\
DIR is a store (it has a file STORE) or the directory of one of its shards; FILE is one of a shard's files.
A store in use is refused.

Examples:
  kvtool ls pinion-data                              shards and files
  kvtool stats pinion-data --json                    what it holds
  kvtool verify pinion-data                          every checksum
  kvtool dump pinion-data --prefix user: --limit 10  entries, versions and tombstones included
  kvtool log pinion-data --ops                       what was written last
  kvtool repair pinion-data --dry-run                what is damaged, and what that costs
  kvtool reshard pinion-data --shards 4              another number of shards

Exit code: 0 done; 1 damage was found, or the command failed; 2 wrong usage.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Prints JSON: one document, or (dump, log) one line an item.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What kvtool does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists shards and files: levels, sizes, entries, key ranges.
    #[command(after_help = "Examples:\n  kvtool ls pinion-data\n  kvtool ls pinion-data/shard-000 --json")]
    Ls(Where),
    /// Shows the parts of one table, log segment or manifest.
    #[command(after_help = "Example:\n  kvtool inspect pinion-data/shard-000/000007.sst --blocks")]
    Inspect(Inspect),
    /// Prints entries in order: key, version, kind, expiry, value.
    #[command(after_help = "\
Every stored version is printed, those in the log that aren't in a table yet included (they are held in memory).
Order: shard, keyspace, partition, key, newest version first; a log file's entries come as they were logged.

Examples:
  kvtool dump pinion-data --live --limit 20
  kvtool dump pinion-data --partition 3 --prefix user: --json
  kvtool dump pinion-data/shard-000/000007.sst --keys-only")]
    Dump(Dump),
    /// Reads everything back against its checksums; exit code 1 if anything is damaged.
    #[command(
        after_help = "Examples:\n  kvtool verify pinion-data\n  kvtool verify pinion-data/shard-000 --json"
    )]
    Verify(Where),
    /// Merges tables until nothing is left to merge, as a store at rest does.
    #[command(after_help = "Example:\n  kvtool compact pinion-data")]
    Compact(Where),
    /// Prints log segments, parts and records.
    #[command(after_help = "\
What an earlier life of the log left behind is shown too: a file's records aren't all part of the log.

Examples:
  kvtool log pinion-data
  kvtool log pinion-data/shard-000/000001.log --ops")]
    Log(LogArgs),
    /// Prints the manifest's records and the state they come to.
    #[command(after_help = "Example:\n  kvtool manifest pinion-data/shard-000")]
    Manifest(Where),
    /// Sums up what a store holds.
    #[command(after_help = "Examples:\n  kvtool stats pinion-data\n  kvtool stats pinion-data --json")]
    Stats(Where),
    /// Makes a damaged store open again: keeps what can be proved, says what it drops.
    #[command(after_help = "\
Every file that is changed or dropped is kept in DIR/repair-TIME first. A sound store is left alone. A lost or
damaged STORE is made anew from what the shards say of it.

Examples:
  kvtool repair pinion-data --dry-run
  kvtool repair pinion-data --yes")]
    Repair(Repair),
    /// Gives a store another number of shards.
    #[command(after_help = "\
The new shards are built beside the old ones and take their place at once, when they are complete: killed at any
time, it leaves the store with its old shards or with its new ones. It needs as much free space as the store takes.

Example:
  kvtool reshard pinion-data --shards 4")]
    Reshard(Reshard),
}

/// Where to look.
#[derive(Args, Debug)]
pub struct Where {
    /// A store, a shard's directory, or one of its files.
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
}

/// Arguments of `inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// A table (.sst), a log segment (.log) or a manifest (.manifest); `ls DIR` lists them.
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// Lists the blocks of a table, too.
    #[arg(long)]
    pub blocks: bool,
}

/// Arguments of `dump`.
#[derive(Args, Debug)]
pub struct Dump {
    /// A store, a shard's directory, a table or a log segment.
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
    /// Only this keyspace (a number).
    #[arg(long, value_name = "N")]
    pub keyspace: Option<u16>,
    /// Only this partition.
    #[arg(long, value_name = "N")]
    pub partition: Option<u16>,
    /// Only keys that begin so.
    #[arg(long, value_name = "P")]
    pub prefix: Option<String>,
    /// Ends after so many entries; range tombstones aren't counted.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Only what a reader would see now: no deleted, superseded or expired entries.
    #[arg(long)]
    pub live: bool,
    /// Leaves values out.
    #[arg(long)]
    pub keys_only: bool,
    /// Cuts values to so many bytes; 0 shows all of them [default: 48; with --json: 0].
    #[arg(long, value_name = "BYTES")]
    pub width: Option<usize>,
}

/// Arguments of `log`.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// A store, a shard's directory, or a log segment.
    #[arg(value_name = "DIR|FILE")]
    pub path: PathBuf,
    /// Prints the operations of each record, too.
    #[arg(long)]
    pub ops: bool,
}

/// Arguments of `repair`.
#[derive(Args, Debug)]
pub struct Repair {
    /// A store, or a shard's directory.
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// Doesn't ask.
    #[arg(long)]
    pub yes: bool,
    /// Says what is damaged, what that costs, and changes nothing; exit code 0 with damage, too.
    #[arg(long)]
    pub dry_run: bool,
    /// How many partitions the store has: for a lost STORE of whose contents the shards never heard.
    #[arg(long, value_name = "N")]
    pub partitions: Option<u32>,
}

/// Arguments of `reshard`.
#[derive(Args, Debug)]
pub struct Reshard {
    /// A store.
    #[arg(value_name = "DIR")]
    pub path: PathBuf,
    /// The new number of shards, at most one a partition.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub shards: u32,
}
