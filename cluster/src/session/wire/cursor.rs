//! Cursors of scans: where the next page begins, so that the server keeps nothing between pages.
//!
//! A cursor is a byte for its form, a CRC-32C, and the first key that wasn't on the page. The checksum covers the store, the
//! range and the key: a cursor that was changed, or comes from another scan or store, is known for what it is instead of
//! leaving keys out in silence. It is no secret and guards against mistakes only.

use pinion_net::wire::Range;

/// The form of cursors. Another one is for another version of this module.
const FORM: u8 = 1;

/// What the cursors of a scan are bound to.
pub fn seal(cluster_id: &[u8; 16], range: &Range<'_>) -> u32 {
    let mut seal = crc32c::crc32c(cluster_id);
    for part in [range.from, range.to, range.prefix] {
        seal = crc32c::crc32c_append(seal, &(part.len() as u32).to_le_bytes());
        seal = crc32c::crc32c_append(seal, part);
    }
    seal
}

/// The cursor of a page behind which the scan goes on at `key`.
pub fn write(seal: u32, key: &[u8]) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(seal, key).to_le_bytes();
    [&[FORM], &checksum[..], key].concat()
}

/// The key that a cursor stands for, empty for the first page; `None` if it is none of this scan's.
pub fn read(seal: u32, cursor: &[u8]) -> Option<&[u8]> {
    let Some((&form, rest)) = cursor.split_first() else { return Some(b"") };
    let (checksum, key) = rest.split_first_chunk::<4>()?;
    let is_ours = form == FORM && u32::from_le_bytes(*checksum) == crc32c::crc32c_append(seal, key);
    is_ours.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_by_the_scan_that_it_is_of_and_by_no_other() {
        let range = |from, prefix| Range { from, to: b"", prefix };
        let ours = seal(&[1; 16], &range(b"ab", b""));
        let cursor = write(ours, b"key");
        assert_eq!(read(ours, &cursor), Some(&b"key"[..]));
        assert_eq!(read(ours, b""), Some(&b""[..]));
        for other in [seal(&[2; 16], &range(b"ab", b"")), seal(&[1; 16], &range(b"a", b"b"))] {
            assert_eq!(read(other, &cursor), None);
        }
        for at in 0..cursor.len() {
            let mut changed = cursor.clone();
            changed[at] ^= 1;
            assert_eq!(read(ours, &changed), None, "byte {at}");
            assert_eq!(read(ours, &cursor[..at]).filter(|_| at > 0), None, "the first {at} bytes");
        }
    }
}
