//! What a shard that nobody has open knows of the time.

use crate::Error;
use crate::clock::ClockStamp;
use crate::dir::Dir;
use crate::key::Expiry;
use crate::log::{RecordKind, clock_behind, replay};
use crate::manifest::Manifest;
use crate::table::Table;

/// What manifest and log say of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardTime {
    /// The clocks as of the log's end; `None` if nothing was ever written.
    pub stamp: Option<ClockStamp>,
    /// Whether any value expires.
    pub holds_expiring: bool,
}

impl ShardTime {
    /// Reads manifest, log, and the tables' properties. Changes nothing.
    pub fn read(dir: &dyn Dir, shard_id: [u8; 16]) -> Result<ShardTime, Error> {
        let manifest = Manifest::read(dir, shard_id)?;
        let mut time = ShardTime { stamp: manifest.stamp(), holds_expiring: false };
        for &number in manifest.tables.keys() {
            time.holds_expiring |= Table::open(dir, number, false)?.meta().expiring > 0;
        }
        replay(dir, manifest.log(), shard_id, &mut |record, at| {
            let bad = |what| Error::Unusable(format!("the log record at {at:?} in {}: {what}", dir.path()));
            time.stamp = clock_behind(time.stamp, &record).map_err(bad)?;
            if record.kind == RecordKind::WRITES && !time.holds_expiring {
                let mut ops = record.batch().map_err(bad)?.ops();
                time.holds_expiring = ops.any(|op| op.is_ok_and(|op| op.expiry != Expiry::NEVER));
            }
            Ok(())
        })?;
        Ok(time)
    }
}
