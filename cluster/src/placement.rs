//! Where a key lives: the engine's placement, which kvtool shares (`pinion_engine::placement`).

pub use pinion_engine::placement::{PARTITIONS_DEFAULT, Placement, SLOTS};
