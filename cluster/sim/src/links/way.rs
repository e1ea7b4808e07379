//! A way from one node to another.

use rand::Rng;
use rand::rngs::SmallRng;
use std::ops::Range;

/// How long until what was lost is sent again for the first time, microseconds; each further time takes twice as long.
const AGAIN_US: u64 = 200_000;
/// How often something is lost on its way at most, one time after the other.
const LOSSES_MAX: u32 = 4;

/// See the module's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// How long a piece takes, microseconds.
    pub delay: Range<u64>,
    /// How many of a thousand pieces are lost, and sent again.
    pub lost: u32,
    /// How long each byte takes, microseconds: more than nothing if it is clogged.
    pub byte_us: u64,
    /// Nothing passes.
    pub is_cut: bool,
}

/// Something that is wrong with a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Nothing passes.
    Cut,
    /// Each byte takes so long, microseconds.
    Clog(u64),
    /// So many of a thousand pieces are lost.
    Lose(u32),
    /// A piece takes up to so long, microseconds.
    Delay(u64),
}

impl Default for Way {
    fn default() -> Way {
        Way { delay: 20..400, lost: 0, byte_us: 0, is_cut: false }
    }
}

impl Way {
    /// One with which all this is wrong. Of two of a kind the worse counts.
    pub fn with(harms: impl IntoIterator<Item = Harm>) -> Way {
        let mut way = Way::default();
        for harm in harms {
            match harm {
                Harm::Cut => way.is_cut = true,
                Harm::Clog(byte_us) => way.byte_us = way.byte_us.max(byte_us),
                Harm::Lose(lost) => way.lost = way.lost.max(lost),
                Harm::Delay(most_us) if most_us > way.delay.end => way.delay = most_us / 2..most_us,
                Harm::Delay(_) => {}
            }
        }
        way
    }

    /// How long a piece of so many bytes takes.
    pub fn delay_us(&self, bytes: usize, rng: &mut SmallRng) -> u64 {
        let mut us = rng.random_range(self.delay.clone()) + self.byte_us * bytes as u64;
        for loss in 0..LOSSES_MAX {
            if self.lost == 0 || !rng.random_ratio(self.lost, 1000) {
                break;
            }
            us += AGAIN_US << loss;
        }
        us
    }
}
