//! A moment of the simulation, as the model needs it.

/// Virtual time, and what the clocks of the shards may show at it.
///
/// A shard's clock is the one that expiry goes by. It isn't known exactly from outside: a shard looks at the wall clock
/// once a turn, and never goes back. So a moment carries bounds, over all shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimTime {
    /// Virtual time, in microseconds since the simulation began. Never goes back.
    pub us: u64,
    /// No request that is sent now or later is evaluated at a lower clock, in milliseconds since the Unix epoch.
    pub clock_ms_min: u64,
    /// No request was evaluated at a higher clock up to now.
    pub clock_ms_max: u64,
}

impl SimTime {
    /// A moment at which every shard's clock shows the same.
    pub fn exact(us: u64, clock_ms: u64) -> SimTime {
        SimTime { us, clock_ms_min: clock_ms, clock_ms_max: clock_ms }
    }
}
