//! Keys, versions and kinds as storage orders them.
//!
//! A *stored key* is `keyspace (u16) | partition (u16) | incarnation (u32)`, big-endian, followed by
//! the user's key, so a partition is contiguous and ordered by user key. Entries of one stored key are
//! ordered by version, newest first. A [`Stamp`] packs version and kind in 8 bytes.

/// A named set of keys with its own defaults; 0 is the default keyspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Keyspace(pub u16);

/// A contiguous range of slots: one ordered log, one unit of placement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u16);

/// Counts how often this replica took the partition over from a pin; old incarnations are invisible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Incarnation(pub u32);

/// Order of the writes of a partition: rises per key, starts from the leader's clock in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    /// The largest version that fits a [`Stamp`] (56 bits): "the newest" in look-ups.
    pub const MAX: Version = Version((1 << 56) - 1);

    /// The first one of the time steps that versions count: 2020-01-01, microseconds since the Unix epoch.
    const EPOCH_US: u64 = 1_577_836_800_000_000;
    /// Microseconds of a time step.
    const STEP_US: u64 = 64;
    /// Bits below the time step, for what is written in one.
    const COUNT_BITS: u32 = 10;
    /// 2021-01-01, milliseconds since the Unix epoch.
    const CLOCKS_FROM_MS: u64 = 1_609_459_200_000;
    /// 2160-01-01: no later time is taken for a version's, so that a clock gone wild leaves room to count on.
    const END_US: u64 = 5_995_814_400_000_000;

    /// The version that follows this one.
    pub fn next(self) -> Version {
        Version(self.0 + 1)
    }

    /// The version of what is written behind this one at wall clock `wall_us`, microseconds since the Unix epoch: above this one, and
    /// at least the clock's.
    pub fn next_at(self, wall_us: u64) -> Version {
        self.next().max(Version::of_clock(wall_us))
    }

    /// About when it was written, milliseconds since the Unix epoch; `None` if no clock gave it: 2020 was over before the first one
    /// did.
    pub fn written_ms(self) -> Option<u64> {
        let ms = (Version::EPOCH_US + (self.0 >> Version::COUNT_BITS) * Version::STEP_US) / 1000;
        (ms >= Version::CLOCKS_FROM_MS).then_some(ms)
    }

    /// The lowest version of a wall clock's time step; 0 where the clock shows a time that no version has.
    fn of_clock(wall_us: u64) -> Version {
        let is_possible = (Version::EPOCH_US..Version::END_US).contains(&wall_us);
        let steps = if is_possible { (wall_us - Version::EPOCH_US) / Version::STEP_US } else { 0 };
        Version(steps << Version::COUNT_BITS)
    }
}

/// Absolute expiry in milliseconds of shard time ([`crate::clock`]); [`Expiry::NEVER`] is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Expiry(pub u64);

impl Expiry {
    /// The entry doesn't expire.
    pub const NEVER: Expiry = Expiry(0);
    /// The latest there is.
    pub const MAX: Expiry = Expiry(i64::MAX as u64);

    /// Whether an entry with this expiry is gone at `now_ms`.
    pub fn is_past(self, now_ms: u64) -> bool {
        self.0 != 0 && self.0 <= now_ms
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A value.
    Value = 1,
    /// The key was deleted.
    Tombstone = 2,
    /// All older entries of a range of keys were deleted.
    RangeTombstone = 3,
}

impl Kind {
    /// The kind a stored byte stands for.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        match byte {
            1 => Some(Kind::Value),
            2 => Some(Kind::Tombstone),
            3 => Some(Kind::RangeTombstone),
            _ => None,
        }
    }
}

/// Version (56 bits) and kind (8 bits) in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Packs a version and a kind.
    pub fn new(version: Version, kind: Kind) -> Stamp {
        debug_assert!(version <= Version::MAX);
        Stamp(version.0 << 8 | kind as u64)
    }

    /// The version.
    #[inline]
    pub fn version(self) -> Version {
        Version(self.0 >> 8)
    }

    /// The kind, `None` if the byte is none of ours (damage).
    pub fn kind(self) -> Option<Kind> {
        Kind::from_byte(self.0 as u8)
    }
}

/// The 8 bytes before a user's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(u64);

impl Prefix {
    /// Length of an encoded prefix in bytes.
    pub const LEN: usize = 8;

    /// The prefix of a partition's keys in one keyspace and incarnation.
    pub fn new(keyspace: Keyspace, partition: Partition, incarnation: Incarnation) -> Prefix {
        Prefix(u64::from(keyspace.0) << 48 | u64::from(partition.0) << 32 | u64::from(incarnation.0))
    }

    /// The encoded form, which sorts as the number does.
    #[inline]
    pub fn to_bytes(self) -> [u8; Prefix::LEN] {
        self.0.to_be_bytes()
    }

    /// Reads the prefix of a stored key; `None` if it is too short.
    pub fn of(stored_key: &[u8]) -> Option<Prefix> {
        stored_key.first_chunk::<8>().map(|bytes| Prefix(u64::from_be_bytes(*bytes)))
    }

    /// The keyspace.
    pub fn keyspace(self) -> Keyspace {
        Keyspace((self.0 >> 48) as u16)
    }

    /// The partition.
    pub fn partition(self) -> Partition {
        Partition((self.0 >> 32) as u16)
    }

    /// The incarnation.
    pub fn incarnation(self) -> Incarnation {
        Incarnation(self.0 as u32)
    }

    /// The first stored key after all of this prefix, for range ends.
    pub fn end(self) -> Vec<u8> {
        match self.0.checked_add(1) {
            Some(next) => next.to_be_bytes().to_vec(),
            None => vec![0xff; Prefix::LEN + 1],
        }
    }

    /// Writes prefix and user key into `out`, which is cleared first.
    #[inline]
    pub fn stored_key(self, user_key: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.to_bytes());
        out.extend_from_slice(user_key);
    }
}

/// The user's part of a stored key.
pub fn user_key(stored_key: &[u8]) -> &[u8] {
    stored_key.get(Prefix::LEN..).unwrap_or_default()
}

/// 8 bytes of a key after its first `skip`, as a number that compares as they do; a shorter key is padded
/// with zeros. Where two numbers are equal the keys may still differ.
pub(crate) fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_be_bytes(bytes)
}

/// How many bytes two keys begin with alike.
pub(crate) fn common_len(a: &[u8], b: &[u8]) -> usize {
    let (a_words, b_words) = (a.chunks_exact(8), b.chunks_exact(8));
    let words = a_words.zip(b_words).take_while(|(a, b)| a == b).count() * 8;
    words + a[words..].iter().zip(&b[words..]).take_while(|(a, b)| a == b).count()
}

/// One entry as sources (memtable, tables, merges) hand it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Prefix and user key.
    pub key: &'a [u8],
    /// Version and kind.
    pub stamp: Stamp,
    /// When it expires.
    pub expiry: Expiry,
    /// The value; empty for tombstones.
    pub value: &'a [u8],
}

/// Deletes every older entry whose stored key lies in `start..end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeTombstone {
    /// First stored key that is covered.
    pub start: Vec<u8>,
    /// First stored key that isn't covered any more.
    pub end: Vec<u8>,
    /// Entries with a lower version are deleted.
    pub version: Version,
}

impl RangeTombstone {
    /// Whether an entry of `key` at `version` is deleted for a reader at `at`.
    pub fn covers(&self, key: &[u8], version: Version, at: Version) -> bool {
        version < self.version && self.version <= at && self.holds(key)
    }

    /// Whether a stored key is in the range.
    pub fn holds(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && key < self.end.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_with_the_clock_and_without_it() {
        let at = |wall_us| Version(7).next_at(wall_us);
        let step = |n| Version::EPOCH_US + n * Version::STEP_US;
        assert_eq!([at(0), at(step(0)), at(step(1)), at(step(1) + 63)].map(|v| v.0), [8, 8, 1024, 1024]);
        assert_eq!(at(step(1)).next_at(step(1)), Version(1025));
        let written_ms = 1_700_000_000_123;
        assert_eq!(Version(0).next_at(written_ms * 1000 + 500).written_ms(), Some(written_ms));
        assert_eq!(Version(1 << 30).written_ms(), None);
        // A clock that shows no possible time counts for nothing, and the last possible one leaves room to count on.
        assert_eq!([at(Version::END_US), at(u64::MAX)].map(|v| v.0), [8, 8]);
        let last = at(Version::END_US - 1);
        assert!(last < Version::MAX && Version::MAX.0 - last.0 > 1 << 50);
    }

    #[test]
    fn a_prefix_survives_its_encoding_and_sorts_before_its_end() {
        let prefix = Prefix::new(Keyspace(3), Partition(9), Incarnation(2));
        let mut key = Vec::new();
        prefix.stored_key(b"user", &mut key);
        assert_eq!(Prefix::of(&key), Some(prefix));
        assert_eq!(
            (prefix.keyspace(), prefix.partition(), prefix.incarnation()),
            (Keyspace(3), Partition(9), Incarnation(2))
        );
        assert_eq!(user_key(&key), b"user");
        assert!(key < prefix.end());
    }

    #[test]
    fn heads_compare_as_the_bytes_after_the_prefix_do() {
        assert!(head(b"user1", 4) < head(b"user2", 4));
        assert!(head(b"user", 4) <= head(b"user\0", 4));
        assert_eq!(head(b"us", 4), 0);
        assert_eq!(head(b"0123456789", 1), u64::from_be_bytes(*b"12345678"));
    }

    #[test]
    fn common_prefixes_are_measured_to_the_byte() {
        let key = b"0123456789abcdefghij";
        for len in 0..key.len() {
            let mut other = key.to_vec();
            other[len] ^= 1;
            assert_eq!(common_len(key, &other), len);
            assert_eq!(common_len(key, &key[..len]), len);
        }
    }

    #[test]
    fn a_stamp_keeps_version_and_kind() {
        let stamp = Stamp::new(Version::MAX, Kind::Tombstone);
        assert_eq!(stamp.version(), Version::MAX);
        assert_eq!(stamp.kind(), Some(Kind::Tombstone));
    }

    #[test]
    fn a_range_tombstone_hides_only_older_entries_for_later_readers() {
        let tombstone = RangeTombstone { start: b"b".to_vec(), end: b"d".to_vec(), version: Version(10) };
        assert!(tombstone.covers(b"c", Version(9), Version(10)));
        assert!(!tombstone.covers(b"c", Version(10), Version(10)));
        assert!(!tombstone.covers(b"c", Version(9), Version(9)));
        assert!(!tombstone.covers(b"d", Version(9), Version(10)));
    }
}
