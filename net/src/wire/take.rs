//! Records of fixed size at the front of bytes.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Takes a record of fixed size and the bytes behind it.
pub(super) fn take<T: FromBytes + KnownLayout + Immutable + Unaligned>(bytes: &[u8]) -> Option<(&T, &[u8])> {
    T::ref_from_prefix(bytes).ok()
}
