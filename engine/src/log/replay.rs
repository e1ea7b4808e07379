//! Reading the log as [`super::recover`] does, without beginning a new generation: for inspection.

use super::inventory::Inventory;
use super::options::LogOptions;
use super::position::{Extent, LogPosition};
use super::record::Record;
use super::recovery::{read_chain, read_leftovers};
use crate::Error;
use crate::dir::Dir;

/// What [`replay`] read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Sound parts.
    pub parts: u64,
    /// Records in them.
    pub records: u64,
    /// Where the log ends.
    pub end: LogPosition,
}

/// Hands every record from where the manifest starts the log to `visit`, in order, with the position of its
/// part. Changes nothing; fails where [`super::recover`] would.
pub fn replay(
    dir: &dyn Dir,
    known: impl Into<Extent>,
    shard_id: [u8; 16],
    visit: &mut dyn FnMut(Record<'_>, LogPosition) -> Result<(), Error>,
) -> Result<Replayed, Error> {
    let options = LogOptions::new(shard_id, false);
    let inventory = Inventory::read(dir)?;
    inventory.check(dir, &options)?;
    let known = known.into();
    let chain = inventory.chain(known, u64::MAX).map_err(|missing| inventory.describe(dir, missing))?;
    let ended = read_chain(dir, &options, &chain, known.start, visit)?;
    if let Some(damage) = ended.damage(dir, &options, &chain)? {
        return Err(damage);
    }
    let leftovers = read_leftovers(dir, &options, &inventory, ended.staying(&chain))?;
    if let Some(damage) = leftovers.damage(dir, ended.position) {
        return Err(damage);
    }
    Ok(Replayed { parts: ended.parts, records: ended.records, end: ended.position })
}

/// Whether every segment is there that the manifest or another segment knows. Reads headers only, changes nothing.
pub fn check_segments(dir: &dyn Dir, known: Extent, shard_id: [u8; 16]) -> Result<(), Error> {
    let inventory = Inventory::read(dir)?;
    inventory.check(dir, &LogOptions::new(shard_id, false))?;
    inventory.chain(known, u64::MAX).map(drop).map_err(|missing| inventory.describe(dir, missing))
}
