//! Places in scans.

use pinion_engine::key::Partition;

/// Where a scan goes on: a partition and a key in it.
pub type ResumePoint = (Partition, Vec<u8>);

/// A place as cores tell it to each other: the key after its partition's number.
pub fn place_bytes((partition, key): &ResumePoint) -> Vec<u8> {
    [&partition.0.to_le_bytes(), key.as_slice()].concat()
}

/// Reads what [`place_bytes`] wrote.
pub fn place_of(bytes: &[u8]) -> Option<ResumePoint> {
    let (partition, key) = bytes.split_first_chunk::<2>()?;
    Some((Partition(u16::from_le_bytes(*partition)), key.to_vec()))
}
