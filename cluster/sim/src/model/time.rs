//! A moment of the simulation, as the model needs it.

/// Virtual time, and what the clocks of the shards may show at it.
///
/// A shard's clock is the one that expiry goes by. Shards may have different ones, so a moment carries bounds over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SimTime {
    /// Virtual time, in microseconds since the simulation began. Never goes back.
    pub us: u64,
    /// No request that is sent now or later is evaluated at a lower clock, in milliseconds of shard time.
    pub clock_ms_min: u64,
    /// No request was evaluated at a higher clock up to now.
    pub clock_ms_max: u64,
    /// How far the wall clocks are ahead by which users name times and are told them.
    pub lead: Lead,
    /// How often that has changed.
    pub lead_changes: u64,
}

impl SimTime {
    /// A moment at which every shard's clock shows the same, and so does the wall clock.
    pub fn exact(us: u64, clock_ms: u64) -> SimTime {
        SimTime { us, clock_ms_min: clock_ms, clock_ms_max: clock_ms, ..SimTime::default() }
    }

    /// How far the wall clocks were ahead at any time from here to a later moment.
    pub fn lead_until(&self, later: &SimTime) -> Lead {
        if self.lead_changes == later.lead_changes { later.lead } else { Lead::ANY }
    }
}

/// How far wall clocks are ahead of shards' clocks, within bounds, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lead {
    /// At least.
    pub from: i64,
    /// At most.
    pub to: i64,
}

impl Lead {
    /// Nobody knows.
    pub const ANY: Lead = Lead { from: i64::MIN / 2, to: i64::MAX / 2 };

    /// An expiry, within bounds, that the wall clock calls by this millisecond.
    pub fn expiry_of(self, wall_ms: u64) -> super::value::Span {
        let at = |lead: i64| wall_ms.saturating_add_signed(-lead).clamp(1, u64::MAX - 1);
        super::value::Span { from: at(self.to), to: at(self.from) }
    }

    /// What the wall clock that is most ahead calls this time.
    pub fn wall_of(self, ms: u64) -> u64 {
        ms.saturating_add_signed(self.to)
    }
}
