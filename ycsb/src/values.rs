//! The bytes of fields: random ones, or ones that follow from the key so that reads can check them.

use rand::Rng;

use crate::key::fnv64;

/// Appends `length` random printable bytes that don't compress.
pub fn random(length: usize, rng: &mut impl Rng, out: &mut Vec<u8>) {
    fill(length, out, || rng.random());
}

/// Appends `length` bytes that follow from record and field.
pub fn expected(record: u64, field: usize, length: usize, out: &mut Vec<u8>) {
    let mut state = fnv64(record) ^ fnv64(field as u64).rotate_left(32) | 1;
    fill(length, out, || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
}

fn fill(length: usize, out: &mut Vec<u8>, mut next: impl FnMut() -> u64) {
    out.reserve(length + 8);
    let end = out.len() + length;
    while out.len() < end {
        // Six random bits a byte, from the space on.
        let word = (next() & 0x3f3f_3f3f_3f3f_3f3f) + 0x2020_2020_2020_2020;
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};

    #[test]
    fn bytes_are_printable_and_as_many_as_asked_for() {
        let mut out = b"x".to_vec();
        random(13, &mut SmallRng::seed_from_u64(1), &mut out);
        assert_eq!(out.len(), 14);
        assert!(out.iter().all(|byte| (b' '..=b'x').contains(byte)));
    }

    #[test]
    fn expected_bytes_differ_by_record_and_field() {
        let value = |record, field| {
            let mut out = Vec::new();
            expected(record, field, 20, &mut out);
            out
        };
        assert_eq!(value(1, 2), value(1, 2));
        assert_ne!(value(1, 2), value(1, 3));
        assert_ne!(value(1, 2), value(2, 2));
    }
}
