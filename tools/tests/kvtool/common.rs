//! Stores to work on, and a way to run kvtool on them.

use clap::Parser;
use pinion_engine::clock::TimeJump;
use pinion_engine::drive::{OsDir, StoreFile};
use pinion_engine::key::{Keyspace, Partition};
use pinion_engine::placement::Placement;
use pinion_engine::shard::request::{Answer, Answers, Once, Op, PutExpiry, Request, Ticket, Update};
use pinion_engine::shard::{Durability, ShardOptions};
use pinion_engine::store::{delete, put};
use pinion_tools::kvtool::args::Cli;
use pinion_tools::kvtool::output::Output;
use pinion_tools::kvtool::runner::Runner;
use pinion_tools::kvtool::{ToolError, run};
use std::path::{Path, PathBuf};

/// A store in a directory of its own, written shard by shard.
pub struct TestStore {
    temp: tempfile::TempDir,
}

/// What an answer was, as far as tests care.
#[derive(Debug, Default)]
pub struct Last {
    pub value: Option<Vec<u8>>,
    pub number: Option<i64>,
    pub refused: Option<String>,
}

impl Answers for Last {
    fn answer(&mut self, _: Ticket, answer: Answer<'_>) {
        match answer {
            Answer::Value(value) => self.value = Some(value.bytes.to_vec()),
            Answer::Integer(number) => self.number = Some(number),
            Answer::Written { .. } | Answer::NotFound => {}
            other => self.refused = Some(format!("{other:?}")),
        }
    }
}

/// A change to a store.
#[derive(Clone, Debug)]
pub enum Change {
    Put {
        keyspace: u16,
        partition: u16,
        key: Vec<u8>,
        value: Vec<u8>,
        expires_ms: Option<u64>,
    },
    Delete {
        keyspace: u16,
        partition: u16,
        key: Vec<u8>,
    },
    Clear {
        keyspace: u16,
        partition: u16,
    },
    /// Writes the memtables of all shards out, and merges.
    Settle,
}

impl TestStore {
    pub fn new(shards: u32, partitions: u32) -> TestStore {
        let temp = tempfile::tempdir().unwrap();
        let file = StoreFile { id: [7; 16], shards, partitions, layout: 0, is_made: false };
        file.write(temp.path()).unwrap();
        TestStore { temp }
    }

    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    pub fn shard(&self, number: u32) -> PathBuf {
        StoreFile::read(self.path()).unwrap().unwrap().shard_dir(self.path(), number)
    }

    /// Opens the shards, applies changes to them, and closes them.
    pub fn apply(&self, changes: &[Change]) {
        let file = StoreFile::read(self.path()).unwrap().unwrap();
        let placement = Placement::new(file.partitions as usize, file.shards as usize);
        for number in 0..file.shards {
            let mut dir = OsDir::create(file.shard_dir(self.path(), number)).unwrap();
            let partitions = placement.partitions_of(number as usize);
            let mut runner = Runner::open(&mut dir, options(&file, number, partitions)).unwrap();
            for change in changes {
                let owns = |partition: u16| placement.core_of(Partition(partition)) == number as usize;
                apply(&mut runner, change, owns);
            }
            runner.close().unwrap();
        }
        StoreFile { is_made: true, ..file }.write(self.path()).unwrap();
    }

    /// The value of a key, read as a server would read it.
    pub fn get(&self, keyspace: u16, partition: u16, key: &[u8]) -> Option<Vec<u8>> {
        self.ask(Request {
            keyspace: Keyspace(keyspace),
            ..Request::new(Partition(partition), Op::Get { key })
        })
        .value
    }

    /// Adds 1 to a number, once.
    pub fn add_once(&self, partition: u16, key: &[u8], once: &Once) -> Last {
        let op = Op::Update { key, update: Update::Increment { by: 1 } };
        self.ask(Request::new(Partition(partition), op).once(Some(once)))
    }

    /// What a request is answered by a server that is started for it.
    fn ask(&self, request: Request<'_>) -> Last {
        let file = StoreFile::read(self.path()).unwrap().unwrap();
        let placement = Placement::new(file.partitions as usize, file.shards as usize);
        let number = placement.core_of(request.partition);
        let mut dir = OsDir::open(file.shard_dir(self.path(), number as u32)).unwrap();
        let partitions = placement.partitions_of(number);
        let mut runner = Runner::open(&mut dir, options(&file, number as u32, partitions)).unwrap();
        let mut last = Last::default();
        runner.request(request, &mut last).unwrap();
        runner.close().unwrap();
        last
    }

    /// Runs kvtool; what it printed, and its outcome.
    pub fn kvtool(&self, args: &[&str]) -> (String, Result<(), ToolError>) {
        kvtool(args, &[self.path()])
    }
}

fn apply(runner: &mut Runner<'_>, change: &Change, owns: impl Fn(u16) -> bool) {
    let last = match change {
        Change::Settle => return runner.settle(&mut |_| {}).unwrap(),
        Change::Put { keyspace, partition, key, value, expires_ms } if owns(*partition) => {
            let expiry = expires_ms.map_or(PutExpiry::Never, PutExpiry::At);
            request(runner, *keyspace, *partition, Op::Update { key, update: put(value, expiry) })
        }
        Change::Delete { keyspace, partition, key } if owns(*partition) => {
            request(runner, *keyspace, *partition, Op::Update { key, update: delete() })
        }
        Change::Clear { keyspace, partition } if owns(*partition) => {
            request(runner, *keyspace, *partition, Op::Clear)
        }
        _ => return,
    };
    assert!(last.refused.is_none(), "{last:?}");
}

fn request(runner: &mut Runner<'_>, keyspace: u16, partition: u16, op: Op<'_>) -> Last {
    let mut last = Last::default();
    let (keyspace, partition) = (Keyspace(keyspace), Partition(partition));
    runner.request(Request { keyspace, ..Request::new(partition, op) }, &mut last).unwrap();
    last
}

fn options(file: &StoreFile, shard: u32, partitions: Vec<Partition>) -> ShardOptions {
    ShardOptions {
        shard_id: file.shard_id(shard),
        partitions,
        durability: Durability::None,
        memory_bytes: 16 << 20,
        direct: false,
        value_bytes_max: ShardOptions::VALUE_BYTES_MAX,
        membership: Some(file.membership(shard)),
        is_made: file.is_made,
        time_jump: TimeJump::Refuse,
    }
}

/// A put without expiry.
pub fn put_of(partition: u16, key: &str, value: &str) -> Change {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    Change::Put { keyspace: 0, partition, key, value, expires_ms: None }
}

/// Runs kvtool with the paths behind the command's name, which is the first argument.
pub fn kvtool(args: &[&str], paths: &[&Path]) -> (String, Result<(), ToolError>) {
    let mut all: Vec<std::ffi::OsString> = vec!["kvtool".into(), args[0].into()];
    all.extend(paths.iter().map(|path| path.into()));
    all.extend(args[1..].iter().map(|arg| arg.into()));
    let cli = Cli::try_parse_from(all).unwrap();
    let mut printed = Vec::new();
    let outcome = run(&cli, &mut Output::new(&mut printed, cli.json));
    (String::from_utf8(printed).unwrap(), outcome)
}

/// The wall clock, microseconds.
pub fn now_us() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_micros() as u64
}

/// A request that client 1 has just sent; the time of a store stands where its log ends, so a little earlier.
pub fn once(number: u64) -> Once {
    Once { client: 1, number, lowest: 1, first_sent_us: now_us() - 3_600_000_000, is_again: false }
}
