//! What a table says of itself: counts, key range, version range, range tombstones.

use crate::key::{Entry, Expiry, Kind, RangeTombstone, Version};

/// Properties of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMeta {
    /// The file's number.
    pub number: u64,
    /// The file's length in bytes, a multiple of [`crate::aligned::ALIGN`].
    pub file_bytes: u64,
    /// Entries, all kinds and versions, range tombstones not counted.
    pub entries: u64,
    /// Entries that are tombstones.
    pub tombstones: u64,
    /// Entries that expire.
    pub expiring: u64,
    /// The earliest expiry of all that expire; [`Expiry::NEVER`] if none does.
    pub earliest_expiry: Expiry,
    /// Sum of the lengths of stored keys.
    pub key_bytes: u64,
    /// Sum of the lengths of values.
    pub value_bytes: u64,
    /// Lower end of the key range: the first stored key, or the start of a range tombstone.
    pub min_key: Vec<u8>,
    /// Upper end of the key range: the last stored key, or the end of a range tombstone.
    pub max_key: Vec<u8>,
    /// The lowest version, range tombstones included.
    pub min_version: Version,
    /// The highest version, range tombstones included.
    pub max_version: Version,
    /// What is in it that not every build can read, one bit each. This one writes and reads none.
    pub features: u64,
    /// Range tombstones, in the order they were added.
    pub range_tombstones: Vec<RangeTombstone>,
}

/// How blocks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are: a resident table reads them in place.
    #[default]
    None,
    /// lz4, where that saves at least an eighth of a block.
    Lz4,
}

/// Numbers before the keys in the stored form.
const NUMBERS: usize = 12;

impl TableMeta {
    /// Of a table without entries.
    pub(super) fn empty(number: u64) -> TableMeta {
        TableMeta {
            number,
            file_bytes: 0,
            entries: 0,
            tombstones: 0,
            expiring: 0,
            earliest_expiry: Expiry::NEVER,
            key_bytes: 0,
            value_bytes: 0,
            min_key: Vec::new(),
            max_key: Vec::new(),
            min_version: Version(u64::MAX),
            max_version: Version(0),
            features: 0,
            range_tombstones: Vec::new(),
        }
    }

    /// Counts an entry in; the key range is the caller's business.
    pub(super) fn count(&mut self, entry: &Entry<'_>) {
        self.entries += 1;
        self.key_bytes += entry.key.len() as u64;
        self.value_bytes += entry.value.len() as u64;
        self.tombstones += u64::from(entry.stamp.kind() == Some(Kind::Tombstone));
        if entry.expiry != Expiry::NEVER {
            let first = self.expiring == 0;
            self.earliest_expiry = if first { entry.expiry } else { self.earliest_expiry.min(entry.expiry) };
            self.expiring += 1;
        }
        self.count_version(entry.stamp.version());
    }

    /// Ends the counting: widens the range of the entries' keys by the range tombstones.
    pub(super) fn close(&mut self, first_key: &[u8], last_key: &[u8]) {
        let mut has_range = self.entries > 0;
        (self.min_key, self.max_key) = (first_key.to_vec(), last_key.to_vec());
        let tombstones = std::mem::take(&mut self.range_tombstones);
        for tombstone in &tombstones {
            if !has_range || tombstone.start < self.min_key {
                self.min_key.clone_from(&tombstone.start);
            }
            if !has_range || tombstone.end > self.max_key {
                self.max_key.clone_from(&tombstone.end);
            }
            has_range = true;
            self.count_version(tombstone.version);
        }
        self.range_tombstones = tombstones;
        self.min_version = self.min_version.min(self.max_version);
    }

    /// Memory its keys take, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let ranges =
            self.range_tombstones.iter().map(|t| t.start.len() + t.end.len() + size_of::<RangeTombstone>());
        self.min_key.len() + self.max_key.len() + ranges.sum::<usize>()
    }

    /// The stored form: numbers (u64), then keys and range tombstones, each key after its length (u32).
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers: [u64; NUMBERS] = [
            self.number,
            self.file_bytes,
            self.entries,
            self.tombstones,
            self.expiring,
            self.earliest_expiry.0,
            self.key_bytes,
            self.value_bytes,
            self.min_version.0,
            self.max_version.0,
            self.features,
            self.range_tombstones.len() as u64,
        ];
        let mut out: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut put_key = |key: &[u8], version: Option<Version>| {
            out.extend_from_slice(&(key.len() as u32).to_le_bytes());
            out.extend_from_slice(key);
            if let Some(version) = version {
                out.extend_from_slice(&version.0.to_le_bytes());
            }
        };
        put_key(&self.min_key, None);
        put_key(&self.max_key, None);
        for tombstone in &self.range_tombstones {
            put_key(&tombstone.start, None);
            put_key(&tombstone.end, Some(tombstone.version));
        }
        out
    }

    /// Reads the stored form.
    pub(super) fn decode(bytes: &[u8]) -> Result<TableMeta, &'static str> {
        let mut rest = bytes;
        let mut numbers = [0; NUMBERS];
        for number in &mut numbers {
            *number = take_u64(&mut rest)?;
        }
        let [
            number,
            file_bytes,
            entries,
            tombstones,
            expiring,
            expiry,
            key_bytes,
            value_bytes,
            low,
            high,
            features,
            ranges,
        ] = numbers;
        let (min_key, max_key) = (take_key(&mut rest)?, take_key(&mut rest)?);
        let mut range_tombstones = Vec::new();
        for _ in 0..ranges {
            let (start, end) = (take_key(&mut rest)?, take_key(&mut rest)?);
            range_tombstones.push(RangeTombstone { start, end, version: Version(take_u64(&mut rest)?) });
        }
        if !rest.is_empty() {
            return Err("the properties are longer than their parts");
        }
        Ok(TableMeta {
            number,
            file_bytes,
            entries,
            tombstones,
            expiring,
            earliest_expiry: Expiry(expiry),
            key_bytes,
            value_bytes,
            min_key,
            max_key,
            min_version: Version(low),
            max_version: Version(high),
            features,
            range_tombstones,
        })
    }

    fn count_version(&mut self, version: Version) {
        self.min_version = self.min_version.min(version);
        self.max_version = self.max_version.max(version);
    }
}

const SHORT: &str = "the properties are shorter than their parts";

fn take_u64(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let (number, tail) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    *rest = tail;
    Ok(u64::from_le_bytes(*number))
}

fn take_key(rest: &mut &[u8]) -> Result<Vec<u8>, &'static str> {
    let (len, tail) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let (key, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(SHORT)?;
    *rest = tail;
    Ok(key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_survive_their_encoding_and_nothing_shorter_is_read() {
        let mut meta = TableMeta::empty(7);
        let entry = Entry {
            key: b"key",
            stamp: crate::key::Stamp::new(Version(3), Kind::Tombstone),
            expiry: Expiry(5),
            value: b"",
        };
        meta.count(&entry);
        meta.range_tombstones.push(RangeTombstone {
            start: b"a".to_vec(),
            end: b"z".to_vec(),
            version: Version(9),
        });
        meta.close(b"key", b"key");
        assert_eq!((meta.min_key.as_slice(), meta.max_key.as_slice()), (&b"a"[..], &b"z"[..]));
        assert_eq!(
            (meta.min_version, meta.max_version, meta.tombstones, meta.expiring),
            (Version(3), Version(9), 1, 1)
        );
        let bytes = meta.encode();
        assert_eq!(TableMeta::decode(&bytes), Ok(meta));
        for len in 0..bytes.len() {
            assert!(TableMeta::decode(&bytes[..len]).is_err());
        }
    }
}
