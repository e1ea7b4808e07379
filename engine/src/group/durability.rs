//! When a group's writes count as done.

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the device.
    #[default]
    Sync,
    /// When the kernel has it; synced every so many milliseconds. Survives kill -9, not a power loss.
    IntervalMs(u64),
    /// When it is applied in memory; logged behind.
    None,
}

impl Durability {
    /// `none` is synced all the same, so often; milliseconds.
    const NONE_MS: u64 = 1_000;

    /// How long after it was logged a write is synced at the latest, microseconds; `None`: with the log write itself.
    pub fn interval_us(self) -> Option<u64> {
        match self {
            Durability::Sync => None,
            Durability::IntervalMs(ms) => Some(ms.saturating_mul(1000)),
            Durability::None => Some(Durability::NONE_MS * 1000),
        }
    }

    /// The one of two that asks for more: what a log write that carries both needs.
    pub fn stricter(self, other: Durability) -> Durability {
        match (self.rank(), other.rank()) {
            (own, others) if own <= others => self,
            _ => other,
        }
    }

    fn rank(self) -> (u8, u64) {
        match self {
            Durability::Sync => (0, 0),
            Durability::IntervalMs(ms) => (1, ms),
            Durability::None => (2, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Durability::{IntervalMs, None, Sync};

    #[test]
    fn what_is_shared_is_as_durable_as_the_strictest_asks() {
        let order = [Sync, IntervalMs(5), IntervalMs(100), None];
        for (a, &strict) in order.iter().enumerate() {
            for &other in &order[a..] {
                assert_eq!((strict.stricter(other), other.stricter(strict)), (strict, strict));
            }
        }
        assert_eq!(order.map(|one| one.interval_us().unwrap_or(0)), [0, 5_000, 100_000, 1_000_000]);
    }
}
