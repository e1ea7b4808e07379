//! Keys by their numbers.

use super::request::Key;

/// A key of a group: its tag puts it into one partition with the others.
pub(super) fn group_key(group: u32, member: u32) -> Key {
    format!("{{g{group}}}{member}").into_bytes().into()
}

/// A cold key. Most are short, some are long, a few fill blocks.
pub(super) fn cold_key(index: u32) -> Key {
    let mut key = match index {
        0..26 => vec![b'A' + index as u8],
        _ => format!("c{index}").into_bytes(),
    };
    let hash = index.wrapping_mul(0x9e37_79b9) >> 16;
    let length = match hash % 128 {
        0 => 5000,
        1..8 => 300,
        8..32 => 40,
        _ => 0,
    };
    while index >= 26 && key.len() < length {
        key.push(b'a' + (key.len() % 26) as u8);
    }
    key.into()
}
