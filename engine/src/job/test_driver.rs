//! Performs requests over files in memory, in an order and with failures that a test chooses.

use super::{Horizon, Horizons, Job, JobContext, JobOutput, JobStep};
use crate::Error;
use crate::aligned::AlignedBuf;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest, Token};
use crate::key::{Entry, Expiry, Kind, Partition, Stamp, Version};
use crate::memtable::Memtable;
use crate::table::Compression;
use crate::tree::{Leveled, MergePlan, Picking, ReadPins, Strategy as _, Tree, TreeOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashSet};
use std::io::{Error as IoError, ErrorKind, Result as IoResult};
use std::sync::Arc;

/// Files in memory. Requests complete late and in any order.
pub(crate) struct TestDriver {
    pub files: BTreeMap<FileName, Vec<u8>>,
    /// Names that the last sync of the directory made durable.
    pub durable_names: Vec<FileName>,
    /// Writes that reach beyond so many bytes in all files fail, as on a full device.
    pub capacity: usize,
    /// The request with this number fails; 0 is the first of the driver's life.
    pub fails_at: Option<usize>,
    /// Requests performed.
    pub performed: usize,
    /// The most requests that were in flight at once.
    pub in_flight_max: usize,
    unsynced: Vec<FileName>,
    random: StdRng,
}

/// A job that may make a hundred tables, and keeps nothing that is old.
pub(super) fn context(first_number: u64) -> JobContext {
    JobContext {
        numbers: first_number..first_number + 100,
        pins: ReadPins::none(),
        horizons: horizons(&[(0, settled(0))]),
        table_bytes: 1 << 20,
        resident_bytes: 0,
        write_bytes: 1 << 20,
        compression: Compression::None,
    }
}

/// The horizon of a partition of which nothing more arrives, at this time.
pub(crate) fn settled(now_ms: u64) -> Horizon {
    Horizon { floor: Version::MAX, now_ms, max_version: Version::MAX }
}

/// The horizons of some partitions.
pub(crate) fn horizons(of: &[(u16, Horizon)]) -> Horizons {
    Horizons::new(of.iter().map(|&(partition, horizon)| (Partition(partition), horizon)))
}

/// A memtable of these keys, all with the same content.
pub(super) fn memtable(
    first_version: u64,
    keys: impl Iterator<Item = u64>,
    kind: Kind,
    value: &[u8],
) -> Arc<Memtable> {
    let mut memtable = Memtable::new();
    for (version, key) in (first_version..).zip(keys) {
        let key = [&[0; 8], &key.to_be_bytes()[..]].concat();
        let stamp = Stamp::new(Version(version), kind);
        memtable.insert(Entry { key: &key, stamp, expiry: Expiry::NEVER, value });
    }
    Arc::new(memtable)
}

/// The merge that is due by these options, if there is one.
pub(super) fn pick(tree: &Tree, options: &TreeOptions, horizons: &Horizons) -> Option<MergePlan> {
    let (busy, pins) = (HashSet::new(), ReadPins::none());
    Leveled.choose(tree, &Picking { options, busy: &busy, pins: &pins, horizons })
}

impl TestDriver {
    pub fn new(seed: u64) -> TestDriver {
        TestDriver {
            files: BTreeMap::new(),
            durable_names: Vec::new(),
            capacity: usize::MAX,
            fails_at: None,
            performed: 0,
            in_flight_max: 0,
            unsynced: Vec::new(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Runs a job to its end. It must never wait for nothing, nor end with requests in flight.
    pub fn run(&mut self, job: &mut dyn Job) -> Result<JobOutput, Error> {
        let mut waiting: Vec<IoRequest> = Vec::new();
        let mut completions = Vec::new();
        loop {
            let budget = self.random.random_range(1..200_000);
            let step = job.step(&mut completions, &mut waiting, budget);
            assert!(completions.is_empty(), "a step takes all completions");
            self.in_flight_max = self.in_flight_max.max(waiting.len());
            match step {
                JobStep::Done(result) => {
                    assert!(waiting.is_empty(), "a job ends with nothing in flight");
                    return result;
                }
                JobStep::Waiting => assert!(!waiting.is_empty(), "a job waits for nothing"),
                JobStep::More => {}
            }
            let count = self.random.random_range(0..=waiting.len().min(3));
            let count = if matches!(step, JobStep::Waiting) { count.max(1) } else { count };
            for _ in 0..count {
                let request = waiting.swap_remove(self.random.random_range(0..waiting.len()));
                completions.push(self.perform(request));
            }
        }
    }

    /// Performs one request.
    pub fn perform(&mut self, request: IoRequest) -> IoCompletion {
        let number = self.performed;
        self.performed += 1;
        let failing = self.fails_at == Some(number);
        let (token, result) = self.answer(request);
        IoCompletion { token, result: if failing { Err(IoError::other("injected")) } else { result } }
    }

    fn answer(&mut self, request: IoRequest) -> (Token, IoResult<IoOutput>) {
        match request {
            IoRequest::Create { token, file } => {
                self.files.insert(file, Vec::new());
                (token, Ok(IoOutput::Done))
            }
            IoRequest::Write { token, file, offset, data, sync } => {
                assert_eq!((offset as usize % 4096, data.len() % 4096, sync), (0, 0, false));
                (token, self.write(file, offset as usize, data))
            }
            IoRequest::Read { token, file, offset, len } => {
                assert!(self.durable_names.contains(&file), "a table is read when it is durable");
                (token, self.read(file, offset as usize, len))
            }
            IoRequest::Sync { token, file } => {
                self.unsynced.retain(|&name| name != file);
                (token, self.file(file).map(|_| IoOutput::Done))
            }
            IoRequest::SyncDir { token } => {
                assert!(self.unsynced.is_empty(), "files are synced before their directory");
                self.durable_names = self.files.keys().copied().collect();
                (token, Ok(IoOutput::Done))
            }
            IoRequest::Unlink { token, file } => {
                let removed = self.files.remove(&file).map(|_| IoOutput::Done);
                self.unsynced.retain(|&name| name != file);
                (token, removed.ok_or_else(|| ErrorKind::NotFound.into()))
            }
            IoRequest::Rename { .. } => panic!("jobs rename nothing"),
        }
    }

    fn file(&mut self, file: FileName) -> IoResult<&mut Vec<u8>> {
        self.files.get_mut(&file).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn write(&mut self, name: FileName, offset: usize, data: AlignedBuf) -> IoResult<IoOutput> {
        let used: usize = self.files.values().map(Vec::len).sum();
        let file = self.file(name)?;
        let end = offset + data.len();
        if used + end.saturating_sub(file.len()) > self.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = self.file(name)?;
        file.resize(file.len().max(end), 0);
        file[offset..end].copy_from_slice(&data);
        self.unsynced.push(name);
        Ok(IoOutput::Written(data))
    }

    fn read(&mut self, name: FileName, offset: usize, len: usize) -> IoResult<IoOutput> {
        let bytes = self.file(name)?.get(offset..offset + len).map(AlignedBuf::from);
        bytes.map(IoOutput::Data).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }
}
