//! How the fields of a record become one value.
//!
//! - A record of one field is that field's bytes, so that `fieldcount=1 fieldlength=100` stores 100 bytes.
//! - A record of n > 1 fields is a table of n end offsets (u32, little-endian, counted from the end of the table)
//!   and then the fields' bytes, one after the other.
//!
//! Field names (`field0`, ...) follow from the order and aren't stored.

/// Appends a record made of `count` fields to `out`; `field` appends the field of a number.
pub fn encode(count: usize, out: &mut Vec<u8>, mut field: impl FnMut(usize, &mut Vec<u8>)) {
    let table = out.len();
    let entry = entry_bytes(count);
    out.resize(table + count * entry, 0);
    let start = out.len();
    for number in 0..count {
        field(number, out);
        let end = (out.len() - start) as u32; // values are limited to 16 MiB
        if entry > 0 {
            out[table + number * 4..table + number * 4 + 4].copy_from_slice(&end.to_le_bytes());
        }
    }
}

/// The fields of a record; `None` if the bytes are no record of `count` fields.
pub fn decode(count: usize, record: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let entry = entry_bytes(count);
    let (table, fields) = record.split_at_checked(count * entry)?;
    let end = move |number: usize| match table.get(number * 4..number * 4 + 4) {
        Some(bytes) if entry > 0 => bytes.iter().rev().fold(0, |end, byte| end << 8 | usize::from(*byte)),
        _ => fields.len(),
    };
    let mut start = 0;
    for number in 0..count {
        if end(number) < start {
            return None;
        }
        start = end(number);
    }
    if start != fields.len() {
        return None;
    }
    let mut start = 0;
    Some((0..count).map(move |number| {
        let field = &fields[start..end(number)];
        start = end(number);
        field
    }))
}

/// Appends `record` with one field replaced; false if the bytes are no record of `count` fields.
pub fn merge(
    count: usize,
    record: &[u8],
    replaced: usize,
    out: &mut Vec<u8>,
    mut field: impl FnMut(&mut Vec<u8>),
) -> bool {
    let Some(mut old) = decode(count, record) else { return false };
    encode(count, out, |number, out| {
        let bytes = old.next().unwrap_or_default();
        if number == replaced { field(out) } else { out.extend_from_slice(bytes) }
    });
    true
}

fn entry_bytes(count: usize) -> usize {
    if count > 1 { 4 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(fields: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(fields.len(), &mut out, |number, out| out.extend_from_slice(&fields[number]));
        out
    }

    #[test]
    fn a_record_of_one_field_is_the_field() {
        assert_eq!(record(&[b"abc".to_vec()]), b"abc");
        assert!(decode(1, b"xyz").unwrap().eq([b"xyz"]));
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        assert!(decode(2, b"short").is_none());
        assert!(decode(2, &[9, 0, 0, 0, 1, 0, 0, 0, b'x']).is_none());
        assert!(decode(2, &[1, 0, 0, 0, 2, 0, 0, 0, b'x']).is_none());
        assert!(decode(2, &[1, 0, 0, 0, 1, 0, 0, 0, b'x', b'y']).is_none());
    }

    proptest! {
        #[test]
        fn fields_survive_encoding_and_merging(fields in proptest::collection::vec(any::<Vec<u8>>(), 1..6), new: Vec<u8>, at in 0..6usize) {
            let encoded = record(&fields);
            prop_assert!(decode(fields.len(), &encoded).unwrap().eq(fields.iter().map(Vec::as_slice)));
            let (mut merged, at) = (Vec::new(), at % fields.len());
            prop_assert!(merge(fields.len(), &encoded, at, &mut merged, |out| out.extend_from_slice(&new)));
            let mut expected = fields;
            expected[at] = new;
            prop_assert_eq!(merged, record(&expected));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(count in 0..5usize, bytes: Vec<u8>) {
            if let Some(fields) = decode(count, &bytes) {
                fields.count();
            }
        }
    }
}
