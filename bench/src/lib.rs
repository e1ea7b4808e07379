//! Keys and values that the benches share.

/// The stored form of YCSB's key of record `i`: the 8-byte prefix of partition `i % partitions`, then
/// "user" and the number's FNV-1a hash.
pub fn stored_key(i: u64, partitions: u64, out: &mut Vec<u8>) {
    let hash = i.to_le_bytes().iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    });
    out.clear();
    out.extend_from_slice(&((i % partitions) << 32).to_be_bytes());
    out.extend_from_slice(b"user");
    let mut digits = [b'0'; 16];
    let mut rest = hash % 10_u64.pow(16);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// A cheap pseudo-random sequence (splitmix64), the same in every run.
pub struct Sequence(pub u64);

impl Sequence {
    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
