//! Ranges of keys in which something may lie, for asking about rising keys.

/// Disjoint ranges `min..=max` of stored keys, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRanges {
    /// Every key.
    All,
    /// The keys of these ranges.
    Some(Vec<(Vec<u8>, Vec<u8>)>),
}

impl KeyRanges {
    /// No key at all.
    pub fn none() -> KeyRanges {
        KeyRanges::Some(Vec::new())
    }

    /// The union of ranges `min..=max`, in any order.
    pub fn new<'a>(ranges: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> KeyRanges {
        let mut ranges: Vec<_> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut union: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (min, max) in ranges {
            match union.last_mut() {
                Some(last) if min <= last.1.as_slice() => {
                    if last.1.as_slice() < max {
                        last.1 = max.to_vec();
                    }
                }
                _ => union.push((min.to_vec(), max.to_vec())),
            }
        }
        KeyRanges::Some(union)
    }

    /// Whether no key lies in them.
    pub fn is_empty(&self) -> bool {
        matches!(self, KeyRanges::Some(ranges) if ranges.is_empty())
    }

    /// Whether `key` lies in one of them. `hint` is the caller's memory between rising keys: 0 at first.
    pub fn contains(&self, key: &[u8], hint: &mut usize) -> bool {
        let KeyRanges::Some(ranges) = self else { return true };
        while ranges.get(*hint).is_some_and(|(_, max)| max.as_slice() < key) {
            *hint += 1;
        }
        ranges.get(*hint).is_some_and(|(min, _)| min.as_slice() <= key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_ranges_join_and_rising_keys_find_them() {
        let ranges = KeyRanges::new([
            (&b"f"[..], &b"h"[..]),
            (&b"a"[..], &b"c"[..]),
            (&b"b"[..], &b"d"[..]),
            (&b"b"[..], &b"b"[..]),
        ]);
        let mut hint = 0;
        let found: Vec<bool> = "acdefhi".bytes().map(|key| ranges.contains(&[key], &mut hint)).collect();
        assert_eq!(found, [true, true, true, false, true, true, false]);
        assert!(KeyRanges::none().is_empty());
        assert!(KeyRanges::All.contains(b"x", &mut 0));
    }
}
