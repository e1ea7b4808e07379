//! Puts and deletes that leave together.

use std::collections::{BTreeMap, HashMap};

use super::error::Error;
use super::router::Router;
use crate::wire::{BatchBuilder, BatchOp, BatchOps, ErrorCode, Expiry, Limits, Outcomes, Status};

/// Puts and deletes, in order. The operations on keys of one partition take effect together or not at
/// all; keys that share a `{tag}` share a partition. There is no order between partitions.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    ops: BatchBuilder,
}

impl Batch {
    /// An empty one.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a put. An error names the limit that the key or the value is over.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<&mut Batch, Error> {
        self.put_expiring(key, value, Expiry::Never)
    }

    /// Adds a put of a value that expires.
    pub fn put_expiring(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expiry: Expiry,
    ) -> Result<&mut Batch, Error> {
        let added = self.ops.put(key.as_ref(), value.as_ref(), expiry);
        added.map_err(|error| Error::unsendable(&error))?;
        Ok(self)
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<&mut Batch, Error> {
        self.ops.delete(key.as_ref()).map_err(|error| Error::unsendable(&error))?;
        Ok(self)
    }

    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.ops.ops().len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes it takes in a request; the limit is 16 MiB, or what the server says. The limit of operations is 4,096 in one
    /// partition.
    pub fn bytes(&self) -> usize {
        self.ops.bytes()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.ops.clear();
    }

    pub(super) fn ops(&self) -> BatchOps<'_> {
        self.ops.ops()
    }
}

/// A part of a batch whose keys take the same way, and the places of its operations in the whole.
#[derive(Default)]
pub(super) struct Part {
    pub(super) ops: BatchBuilder,
    pub(super) places: Vec<usize>,
}

impl Part {
    fn append(&mut self, place: usize, op: BatchOp<'_>) -> Result<(), Error> {
        self.ops.append(op).map_err(|error| Error::unsendable(&error))?;
        self.places.push(place);
        Ok(())
    }

    /// The operations at these places of the part alone. Nothing is over a limit that wasn't in the whole.
    pub(super) fn only(&self, places: &[usize]) -> Result<Part, Error> {
        let mut part = Part::default();
        let mut wanted = places.iter().peekable();
        for (place, op) in self.ops.ops().iter().enumerate() {
            if wanted.next_if_eq(&&place).is_some() {
                part.append(self.places[place], op)?;
            }
        }
        Ok(part)
    }

    /// Whether a request has room for so much more.
    fn has_room_for(&self, more: &[(usize, BatchOp<'_>)]) -> bool {
        let bytes: usize = more.iter().map(|(_, op)| op.bytes()).sum();
        self.places.len() + more.len() <= Limits::OPS_MAX
            && self.ops.bytes() + bytes <= Limits::BYTES_MAX as usize
    }
}

/// Splits a batch by the way that its keys take, and into as many requests as the number of its operations needs. Those of
/// one partition stay together.
pub(super) fn split(batch: &Batch, router: &Router) -> Result<Vec<Part>, Error> {
    let mut partitions: BTreeMap<(usize, u16), Vec<(usize, BatchOp<'_>)>> = BTreeMap::new();
    for (place, op) in batch.ops().iter().enumerate() {
        let home = (router.way_of(op.key), router.partition_of(op.key));
        partitions.entry(home).or_default().push((place, op));
    }
    let mut parts: Vec<(usize, Part)> = Vec::new();
    for ((way, _), ops) in partitions {
        match parts.last() {
            Some((last, part)) if *last == way && part.has_room_for(&ops) => {}
            _ => parts.push((way, Part::default())),
        }
        if let Some((_, part)) = parts.last_mut() {
            ops.into_iter().try_for_each(|(place, op)| part.append(place, op))?;
        }
    }
    Ok(parts.into_iter().map(|(_, part)| part).collect())
}

/// What came of each operation of a part: the version written, or why not.
pub(super) fn results(part: &Part, outcomes: &Outcomes<'_>, router: &Router) -> Vec<Result<u64, Error>> {
    let by_partition: HashMap<u16, Result<u64, Error>> = (outcomes.iter())
        .map(|outcome| {
            let result = match outcome.status {
                Status::Ok => Ok(outcome.version),
                Status::Refused => Err(Error::refused(outcome.code, outcome.text)),
                _ => Err(Error::unknown(outcome.code, outcome.text)),
            };
            (outcome.partition, result)
        })
        .collect();
    let missing = || Err(Error::unknown(ErrorCode::INTERNAL, "the answer leaves this key's partition out"));
    let result_of = |key| by_partition.get(&router.partition_of(key)).cloned().unwrap_or_else(missing);
    part.ops.ops().iter().map(|op| result_of(op.key)).collect()
}
