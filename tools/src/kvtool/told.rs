//! Times of a shard that nobody has open, as they are shown: by the wall clock.

use pinion_engine::clock::{ClockStamp, Clocks, ShardClock, TimeJump};
use pinion_engine::dir::Dir;
use pinion_engine::drive::SystemClock;
use pinion_engine::manifest::Manifest;

/// A shard's clocks as they would be if it were opened now, given those at the end of its log. What a start would ask about,
/// a long time in another boot, is taken not to have passed.
pub fn clocks_now(stamp: Option<ClockStamp>) -> Clocks {
    ShardClock::resume(stamp, &SystemClock::new().now(), TimeJump::Ignore).clocks(0)
}

/// The same for a single file, where the manifest beside it can be read.
pub fn clocks_beside(dir: &dyn Dir) -> Clocks {
    let manifest = Manifest::shard_id(dir).and_then(|id| Manifest::read(dir, id));
    clocks_now(manifest.ok().and_then(|manifest| manifest.stamp()))
}
