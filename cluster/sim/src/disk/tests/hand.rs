//! A disk driven by hand, one request after the other.

use super::super::{Crash, Disk};
use pinion_engine::aligned::AlignedBuf;
use pinion_engine::dir::Dir;
use pinion_engine::io::{FileName, IoOutput, IoRequest, Token};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::collections::BTreeMap;
use std::io::Result;

pub(super) const FILE: FileName = FileName::Log(1);

pub(super) struct Hand {
    pub disk: Disk,
    pub rng: SmallRng,
    pub now_us: u64,
    next: u64,
    results: BTreeMap<Token, Result<IoOutput>>,
}

/// A disk with one file that holds `bytes`, all durable.
pub(super) fn disk_with(seed: u64, bytes: &[u8]) -> Hand {
    let mut hand = Hand::new(Disk::new("store/shard-000"), seed);
    hand.create(FILE).unwrap();
    hand.write(0, bytes, true).unwrap();
    hand.sync_dir().unwrap();
    hand
}

impl Hand {
    pub fn new(disk: Disk, seed: u64) -> Hand {
        let rng = SmallRng::seed_from_u64(seed);
        Hand { disk, rng, now_us: 0, next: 0, results: BTreeMap::new() }
    }

    pub fn submit(&mut self, request: impl FnOnce(Token) -> IoRequest) -> Token {
        self.next += 1;
        self.disk.submit(request(Token(self.next)), self.now_us, &mut self.rng);
        Token(self.next)
    }

    pub fn submit_write(&mut self, offset: u64, data: &[u8], sync: bool) -> Token {
        let data = AlignedBuf::from(data);
        self.submit(|token| IoRequest::Write { token, file: FILE, offset, data, sync })
    }

    pub fn submit_sync(&mut self) -> Token {
        self.submit(|token| IoRequest::Sync { token, file: FILE })
    }

    /// Performs what is due; returns the tokens in the order of their completions.
    pub fn complete_due(&mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(completion) = self.disk.complete_due(self.now_us, &mut self.rng) {
            tokens.push(completion.token);
            self.results.insert(completion.token, completion.result);
        }
        tokens
    }

    pub fn complete_all(&mut self) {
        while let Some(due_us) = self.disk.next_due_us() {
            self.now_us = self.now_us.max(due_us);
            self.complete_due();
        }
    }

    pub fn result(&mut self, token: Token) -> Result<IoOutput> {
        self.results.remove(&token).expect("it is done")
    }

    /// Submits and waits.
    pub fn ask(&mut self, request: impl FnOnce(Token) -> IoRequest) -> Result<IoOutput> {
        let token = self.submit(request);
        self.complete_all();
        self.result(token)
    }

    pub fn create(&mut self, file: FileName) -> Result<IoOutput> {
        self.ask(|token| IoRequest::Create { token, file })
    }

    pub fn unlink(&mut self, file: FileName) -> Result<IoOutput> {
        self.ask(|token| IoRequest::Unlink { token, file })
    }

    pub fn rename(&mut self, from: FileName, to: FileName) -> Result<IoOutput> {
        self.ask(|token| IoRequest::Rename { token, from, to })
    }

    pub fn sync_dir(&mut self) -> Result<IoOutput> {
        self.ask(|token| IoRequest::SyncDir { token })
    }

    pub fn write(&mut self, offset: u64, data: &[u8], sync: bool) -> Result<IoOutput> {
        let token = self.submit_write(offset, data, sync);
        self.complete_all();
        self.result(token)
    }

    pub fn sync(&mut self) -> Result<IoOutput> {
        let token = self.submit_sync();
        self.complete_all();
        self.result(token)
    }

    pub fn crash(&mut self, kind: Crash) {
        self.disk.crash(kind, &mut self.rng);
    }

    pub fn names(&self) -> Vec<FileName> {
        self.disk.files().map(|(name, _)| name).collect()
    }

    /// The whole file, as the directory shows it.
    pub fn bytes(&mut self) -> Vec<u8> {
        self.bytes_of(FILE)
    }

    pub fn bytes_of(&mut self, file: FileName) -> Vec<u8> {
        let dir = self.disk.dir(None, &mut self.rng);
        let len = dir.len(file).unwrap() as usize;
        dir.read(file, 0, len).unwrap()
    }
}
