//! From a key to its slot and its partition.
//!
//! A slot is CRC-16 (XMODEM: polynomial 0x1021, initial value 0, not reflected) of the key modulo
//! 16,384, exactly as Redis Cluster computes it, so that its clients find the right core too. If the
//! key holds a `{`, and the first `}` after it doesn't follow at once, only the bytes between the two
//! are hashed: keys with one tag share a slot. A partition is a contiguous range of slots.

/// How many slots there are.
pub const SLOTS: u16 = 16_384;

/// One of the 16,384 hash slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a key, or of the `{tag}` in it.
    pub fn of(key: &[u8]) -> Slot {
        Slot(crc16(hashed_part(key)) % SLOTS)
    }

    /// The slot of this number, `None` from 16,384 on.
    pub fn new(number: u16) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }

    /// Its number, below 16,384.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The partition that this slot belongs to, of so many.
    ///
    /// # Panics
    /// If `partitions` is none of 1, 2, 4, ... 16,384 (see [`is_partition_count`]).
    pub fn partition(self, partitions: u16) -> u16 {
        assert!(is_partition_count(partitions), "{partitions} is no power of two up to {SLOTS}");
        self.0 >> (SLOTS.trailing_zeros() - partitions.trailing_zeros())
    }
}

/// Whether a store can have so many partitions: a power of two up to 16,384.
pub fn is_partition_count(partitions: u16) -> bool {
    partitions.is_power_of_two() && partitions <= SLOTS
}

/// The slots of a partition, of so many.
///
/// # Panics
/// If `partitions` is none of 1, 2, 4, ... 16,384.
pub fn slots_of(partition: u16, partitions: u16) -> std::ops::Range<u16> {
    assert!(is_partition_count(partitions), "{partitions} is no power of two up to {SLOTS}");
    assert!(partition < partitions, "partition {partition} of {partitions}");
    let width = SLOTS / partitions;
    partition * width..(partition + 1) * width
}

/// What of a key is hashed: its tag, else all of it.
pub fn hashed_part(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&byte| byte == b'{') else { return key };
    let after = &key[open + 1..];
    match after.iter().position(|&byte| byte == b'}') {
        Some(close) if close > 0 => &after[..close],
        _ => key,
    }
}

/// `TABLES[n][b]`: the checksum of byte `b` followed by `n` zero bytes.
static TABLES: [[u16; 256]; 4] = tables();

const fn tables() -> [[u16; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 4 {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[zeros - 1][byte];
            tables[zeros][byte] = shorter << 8 ^ tables[0][(shorter >> 8) as usize];
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let [high, low] = crc.to_be_bytes();
        crc = TABLES[3][(word[0] ^ high) as usize]
            ^ TABLES[2][(word[1] ^ low) as usize]
            ^ TABLES[1][word[2] as usize]
            ^ TABLES[0][word[3] as usize];
    }
    for &byte in rest {
        crc = crc << 8 ^ TABLES[0][((crc >> 8) as u8 ^ byte) as usize];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_xmodems() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(crc16(b""), 0);
    }

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(Slot::of(b"foo").number(), 12_182);
        assert_eq!(Slot::of(b"bar").number(), 5_061);
        assert_eq!(Slot::of(b"somekey").number(), 11_058);
    }

    #[test]
    fn a_tag_decides_alone_unless_it_is_empty_or_open() {
        assert_eq!(Slot::of(b"{user1000}.following"), Slot::of(b"{user1000}.followers"));
        assert_eq!(hashed_part(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hashed_part(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hashed_part(b"foo{bar"), b"foo{bar");
        assert_eq!(hashed_part(b"foo{bar}{zap}"), b"bar");
    }

    #[test]
    fn every_slot_lies_in_the_range_of_its_partition() {
        for partitions in (0..=14).map(|power| 1u16 << power) {
            for number in 0..SLOTS {
                let partition = Slot(number).partition(partitions);
                assert!(slots_of(partition, partitions).contains(&number));
            }
        }
    }

    #[test]
    fn only_powers_of_two_are_partition_counts() {
        assert!(is_partition_count(1) && is_partition_count(64) && is_partition_count(SLOTS));
        assert!(!is_partition_count(0) && !is_partition_count(3) && !is_partition_count(32_768));
    }

    proptest! {
        #[test]
        fn four_bytes_at_a_time_equal_one_bit_at_a_time(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut crc = 0u16;
            for &byte in &bytes {
                crc ^= u16::from(byte) << 8;
                for _ in 0..8 {
                    crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
                }
            }
            prop_assert_eq!(crc16(&bytes), crc);
        }
    }
}
