//! The first 16 bytes of a key as two integers, so that most comparisons touch no key.

use crate::key::head;

/// The first bytes of a key, zero-padded. Where two heads differ they sort as their keys do; where they
/// are equal the keys decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head(u64, u64);

impl Head {
    /// Sorts at or after the head of every key.
    pub const LAST: Head = Head(u64::MAX, u64::MAX);

    /// The head of a stored key.
    pub fn of(key: &[u8]) -> Head {
        Head::behind(key, 0)
    }

    /// The head of what follows the first `skip` bytes, for keys that begin with the same ones.
    pub fn behind(key: &[u8], skip: usize) -> Head {
        Head(head(key, skip), head(key, skip + 8))
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
