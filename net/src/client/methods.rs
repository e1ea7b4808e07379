//! The client's requests, one method each.

use std::collections::{HashMap, VecDeque};

use super::Client;
use super::error::Error;
use super::join::join_all;
use super::pending::Owned;
use super::scan::ScanStream;
use super::types::{Delete, Meta, Put, ScanOptions, ScanPage, Value, Written, expiry};
use crate::wire::{Command, ErrorCode, Expiry, KeyListBuilder, KeyResult, Limits, Reply, Response, Scan};

impl Client {
    /// Asks whether the server is there.
    pub async fn ping(&self) -> Result<(), Error> {
        let owned = self.call(None, Command::Ping { payload: b"" }, self.call_options()).await?;
        self.done(&owned)
    }

    /// The server's description of itself: JSON.
    pub async fn info(&self) -> Result<String, Error> {
        let owned = self.call(None, Command::Info, self.call_options()).await?;
        self.done(&owned)?;
        String::from_utf8(owned.into_value()).map_err(|error| self.nonsense(&error))
    }

    /// Reads a key.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        let key = key.as_ref();
        let owned = self.call(Some(key), Command::Get { key }, self.call_options()).await?;
        let Some(meta) = self.meta(&owned)? else { return Ok(None) };
        let Meta { version, expires_at_ms } = meta;
        Ok(Some(Value { bytes: owned.into_value(), version, expires_at_ms }))
    }

    /// Reads a key's version and expiry; `None` if it isn't there.
    pub async fn exists(&self, key: impl AsRef<[u8]>) -> Result<Option<Meta>, Error> {
        let key = key.as_ref();
        let owned = self.call(Some(key), Command::Exists { key }, self.call_options()).await?;
        self.meta(&owned)
    }

    /// Reads several keys, in order. Consistent within a partition only.
    pub async fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        let mut ways: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            ways.entry(self.router.way_of(key.as_ref())).or_default().push(place);
        }
        let parts = ways.into_values().map(|places| {
            let keys: Vec<&[u8]> = places.iter().map(|&place| keys[place].as_ref()).collect();
            async move { (self.get_part(&keys).await, places) }
        });
        let mut values = vec![None; keys.len()];
        for (part, places) in join_all(parts).await {
            for (place, value) in places.into_iter().zip(part?) {
                values[place] = value;
            }
        }
        Ok(values)
    }

    /// Reads keys that take the same way, in as many requests as their number and their values need.
    async fn get_part(&self, keys: &[&[u8]]) -> Result<Vec<Option<Value>>, Error> {
        let call_options = self.call_options();
        let bytes_max = self.hello().map_or(Limits::BYTES_MAX, |hello| hello.limits.batch_bytes_max) as usize;
        let mut values = vec![None; keys.len()];
        let mut missing: VecDeque<usize> = (0..keys.len()).collect();
        let mut list = KeyListBuilder::default();
        let mut retry = None;
        while let Some(&first) = missing.front() {
            list.clear();
            let mut asked = Vec::new();
            while let Some(&place) = missing.front() {
                if !asked.is_empty() && !list.has_room_for(keys[place], bytes_max) {
                    break;
                }
                list.push(keys[place]).map_err(|error| Error::unsendable(&error))?;
                asked.push(place);
                missing.pop_front();
            }
            let command = Command::MultiGet { keys: list.list() };
            let owned = self.call(Some(keys[first]), command, call_options).await?;
            let Reply::Values(results) = self.reply(&owned)? else { return Err(self.nonsense(&UNEXPECTED)) };
            if results.len() != asked.len() {
                return Err(self.nonsense(&UNEXPECTED));
            }
            let (mut left_out, mut unavailable) = (Vec::new(), None);
            for (&place, result) in asked.iter().zip(results.iter()) {
                match result {
                    KeyResult::Refused { code: ErrorCode::LIMIT, .. } => left_out.push(place),
                    KeyResult::Refused { code: code @ ErrorCode::UNAVAILABLE, text } => {
                        unavailable = Some(Error::refused(code, text));
                        left_out.push(place);
                    }
                    result => values[place] = Value::of_result(result)?,
                }
            }
            if let Some(error) = unavailable {
                self.router.refresh_for(keys[first], call_options.deadline).await;
                let retry = retry.get_or_insert_with(|| self.retry(call_options));
                if !retry.pause().await {
                    return Err(error);
                }
            } else if left_out.len() == asked.len() {
                return Err(self.nonsense(&"it has no room for a single value"));
            }
            left_out.into_iter().rev().for_each(|place| missing.push_front(place));
        }
        Ok(values)
    }

    /// Sets a key; answers the version written.
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64, Error> {
        match self.put_with(key, value, Put::default()).await? {
            Written::Done { version, .. } => Ok(version),
            Written::NotFound | Written::NotMet { .. } => Err(self.unexpected_write()),
        }
    }

    /// Sets a key with an expiry, on a condition, or for its old value.
    pub async fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        put: Put,
    ) -> Result<Written, Error> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let Put { expiry, condition, want_old } = put;
        let command = Command::Put { key, value, expiry, condition, want_old };
        let owned = self.call(Some(key), command, self.call_options()).await?;
        self.written(&owned)
    }

    /// Removes a key; answers whether it was there.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        match self.delete_with(key, Delete::default()).await? {
            Written::Done { .. } => Ok(true),
            Written::NotFound => Ok(false),
            Written::NotMet { .. } => Err(self.unexpected_write()),
        }
    }

    /// Removes a key on a condition, or for its old value.
    pub async fn delete_with(&self, key: impl AsRef<[u8]>, delete: Delete) -> Result<Written, Error> {
        let key = key.as_ref();
        let Delete { condition, want_old } = delete;
        let command = Command::Delete { key, condition, want_old, want_existed: true };
        let owned = self.call(Some(key), command, self.call_options()).await?;
        self.written(&owned)
    }

    /// Adds to a decimal integer, which is 0 where there is no key; answers the sum.
    pub async fn increment(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, Error> {
        let key = key.as_ref();
        let owned = self.call(Some(key), Command::Increment { key, by }, self.call_options()).await?;
        match self.reply(&owned)? {
            Reply::Integer(sum) => Ok(sum),
            _ => Err(self.unexpected_write()),
        }
    }

    /// Changes when a key expires, or that it does; answers whether the key was there. Clearing an expiry
    /// that a key doesn't have changes nothing and is no failure.
    pub async fn expire(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<bool, Error> {
        let key = key.as_ref();
        let owned = self.call(Some(key), Command::Expire { key, expiry }, self.call_options()).await?;
        match self.reply(&owned)? {
            Reply::Done | Reply::NotMet { .. } => Ok(true),
            Reply::NotFound => Ok(false),
            _ => Err(self.unexpected_write()),
        }
    }

    /// The items of a range of keys, page by page, in the order of keys over all partitions. A prefix with a
    /// whole `{tag}` has one partition, which costs less.
    pub fn scan(&self, options: ScanOptions) -> ScanStream {
        ScanStream::new(self.clone(), options)
    }

    /// One page of a scan; `cursor` is empty for the first, then [`ScanPage::next`] of the page before.
    pub async fn scan_page(&self, options: &ScanOptions, cursor: &[u8]) -> Result<ScanPage, Error> {
        let (range, limit) = (options.range(), options.page_items);
        let command = Command::Scan(Scan { range, cursor, limit, keys_only: options.keys_only });
        let owned = self.call(None, command, self.call_options()).await?;
        match self.reply(&owned)? {
            Reply::Page(page) => Ok(ScanPage::of(page)),
            _ => Err(self.nonsense(&UNEXPECTED)),
        }
    }

    /// Counts the keys of a range. Takes time in proportion to them; mind the timeout.
    pub async fn count(&self, options: &ScanOptions) -> Result<u64, Error> {
        let owned = self.call(None, Command::Count(options.range()), self.call_options()).await?;
        match self.reply(&owned)? {
            Reply::Integer(count) => u64::try_from(count).map_err(|error| self.nonsense(&error)),
            _ => Err(self.nonsense(&UNEXPECTED)),
        }
    }

    /// Removes every key of the keyspace.
    pub async fn clear(&self) -> Result<(), Error> {
        let owned = self.call(None, Command::Clear, self.call_options()).await?;
        match self.reply(&owned)? {
            Reply::Done => Ok(()),
            _ => Err(self.unexpected_write()),
        }
    }

    /// The reply, unless it is an error.
    pub(super) fn reply<'a>(&self, owned: &'a Owned) -> Result<Reply<'a>, Error> {
        let is_read = owned.opcode().is_some_and(|opcode| opcode.is_read());
        match Response::decode(&owned.frame()).map(|response| response.reply) {
            Ok(Reply::Refused { code, text }) => Err(Error::refused(code, text)),
            Ok(Reply::Unknown { code, text }) => Err(Error::unknown(code, text)),
            Ok(reply) => Ok(reply),
            Err(error) if is_read => Err(self.nonsense(&error)),
            Err(error) => Err(Error::unknown(ErrorCode::INTERNAL, &error.to_string())),
        }
    }

    fn done(&self, owned: &Owned) -> Result<(), Error> {
        self.reply(owned).map(|_| ())
    }

    fn meta(&self, owned: &Owned) -> Result<Option<Meta>, Error> {
        match self.reply(owned)? {
            Reply::Value(value) => {
                Ok(Some(Meta { version: value.version, expires_at_ms: expiry(value.expiry) }))
            }
            Reply::NotFound => Ok(None),
            _ => Err(self.nonsense(&UNEXPECTED)),
        }
    }

    fn written(&self, owned: &Owned) -> Result<Written, Error> {
        match self.reply(owned)? {
            Reply::Written { version, old } => Ok(Written::Done { version, old: old.map(Value::of) }),
            Reply::NotMet { current } => Ok(Written::NotMet { current: current.map(Value::of) }),
            Reply::NotFound => Ok(Written::NotFound),
            _ => Err(self.unexpected_write()),
        }
    }

    fn nonsense(&self, error: &impl ToString) -> Error {
        Error::protocol(&self.router.seed.address(), error)
    }

    pub(super) fn unexpected_write(&self) -> Error {
        Error::unknown(ErrorCode::INTERNAL, UNEXPECTED)
    }
}

const UNEXPECTED: &str = "the server answers with something that wasn't asked for";
