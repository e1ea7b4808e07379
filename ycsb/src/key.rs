//! YCSB's keys: `user` and a zero-padded number, which is hashed unless `insertorder=ordered`.

use std::io::Write;

const FNV_BASIS: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 1_099_511_628_211;

/// FNV-1a over the 8 little-endian bytes of a number, made positive as YCSB does.
pub fn fnv64(number: u64) -> u64 {
    let hash = number
        .to_le_bytes()
        .iter()
        .fold(FNV_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    (hash as i64).unsigned_abs()
}

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    /// Whether numbers are hashed.
    pub hashed: bool,
    /// Digits at least.
    pub zero_padding: usize,
}

impl KeyFormat {
    /// Writes the key of record `number` into `out`, which is cleared first.
    pub fn write(self, number: u64, out: &mut Vec<u8>) {
        out.clear();
        let number = if self.hashed { fnv64(number) } else { number };
        // Writing to a vector can't fail.
        let _ = write!(out, "user{number:0width$}", width = self.zero_padding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64, hashed: bool, zero_padding: usize) -> String {
        let mut out = Vec::new();
        KeyFormat { hashed, zero_padding }.write(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hashed_keys_are_those_that_are_published() {
        assert_eq!(key(0, true, 1), "user6284781860667377211");
        assert_eq!(key(1, true, 1), "user8517097267634966620");
        assert_eq!(key(2, true, 1), "user1820151046732198393");
        assert_eq!(key(3, true, 1), "user4052466453699787802");
    }

    #[test]
    fn ordered_keys_are_padded() {
        assert_eq!(key(42, false, 1), "user42");
        assert_eq!(key(42, false, 8), "user00000042");
    }
}
