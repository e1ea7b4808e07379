//! The first 16 bytes of a key as two integers, so that most comparisons touch no key.

/// The first bytes of a key, zero-padded. Where two heads differ they sort as their keys do; where they
/// are equal the keys decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head(u64, u64);

impl Head {
    /// Sorts at or after the head of every key.
    pub const LAST: Head = Head(u64::MAX, u64::MAX);

    /// The head of a stored key.
    pub fn of(key: &[u8]) -> Head {
        Head(word(key), word(key.get(8..).unwrap_or_default()))
    }
}

fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(padded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn heads_never_contradict_their_keys(
            a in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..20),
            b in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 255]), 0..20),
        ) {
            if Head::of(&a) != Head::of(&b) {
                prop_assert_eq!(Head::of(&a).cmp(&Head::of(&b)), a.cmp(&b));
            }
        }
    }
}
