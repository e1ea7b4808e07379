//! Times of a shard that nobody has open, as they are shown: by the wall clock.

use pinion_engine::clock::{ClockStamp, Clocks, ShardClock, TimeJump};
use pinion_engine::dir::Dir;
use pinion_engine::drive::SystemClock;
use pinion_engine::manifest::Manifest;

/// A shard's time as it would be if it were opened now, and the wall clock as it counted at the end of its log: expiries are
/// told as the server told them. What a start would ask about, a long time in another boot, is taken not to have passed.
pub fn clocks_now(stamp: Option<ClockStamp>) -> Clocks {
    let now = ShardClock::resume(stamp, &SystemClock::new().now(), TimeJump::Ignore).clocks(0);
    let Some(then) = stamp.map(|stamp| stamp.clocks()) else { return now };
    let lead_us = then.wall_us as i64 - then.now_us as i64;
    Clocks { wall_us: now.now_us.saturating_add_signed(lead_us), ..now }
}

/// The same for a single file, where the manifest beside it can be read.
pub fn clocks_beside(dir: &dyn Dir) -> Clocks {
    let manifest = Manifest::shard_id(dir).and_then(|id| Manifest::read(dir, id));
    clocks_now(manifest.ok().and_then(|manifest| manifest.stamp()))
}
