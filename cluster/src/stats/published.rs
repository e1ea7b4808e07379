//! Figures that every core shows to the others, so that each can tell about the whole node.
//!
//! A core writes its own at the end of its turns, and only they are read by others, without waiting: the figures of a core are
//! as old as its last turn, those of its memory up to 100 ms older.

use std::sync::atomic::{AtomicU64, Ordering};

/// One of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Figure {
    /// Connections now.
    Connections,
    /// Connections ever accepted.
    Accepted,
    /// Commands and requests answered.
    Commands,
    /// Bytes received.
    Received,
    /// Bytes handed to sends.
    Sent,
    /// Bytes of memtables, caches and what is known of tables.
    Memory,
    /// Bytes charged to scans.
    Scans,
    /// Bytes that connections take: input, output, replies.
    Clients,
    /// Expired values that flushes and merges took out.
    Expired,
    /// Connections refused because there were too many.
    Rejected,
    /// Entries of memtables and tables, deleted and older ones counted.
    Entries,
    /// 1 while its shard takes no writes.
    ReadOnly,
}

const FIGURES: usize = Figure::ReadOnly as usize + 1;

/// Figures that only rise: what is told of them is what was added since the last reset.
const RISING: [Figure; 6] =
    [Figure::Accepted, Figure::Commands, Figure::Received, Figure::Sent, Figure::Expired, Figure::Rejected];

/// The figures of one core, in cache lines of their own; and what they were when they were reset.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Core([AtomicU64; FIGURES], [AtomicU64; FIGURES]);

/// The figures of all cores.
#[derive(Debug)]
pub struct Published(Box<[Core]>);

impl Published {
    /// For so many cores.
    pub fn new(cores: usize) -> Published {
        Published((0..cores).map(|_| Core::default()).collect())
    }

    /// Notes a figure of a core; each core notes its own.
    #[inline]
    pub fn set(&self, core: usize, figure: Figure, value: u64) {
        self.0[core].0[figure as usize].store(value, Ordering::Relaxed);
    }

    /// Begins the rising figures of one core, or of all, at 0 again.
    pub fn reset(&self, core: Option<usize>) {
        let cores = core.map_or(&self.0[..], |core| &self.0[core..=core]);
        for Core(now, reset_at) in cores {
            for figure in RISING {
                let now = now[figure as usize].load(Ordering::Relaxed);
                reset_at[figure as usize].store(now, Ordering::Relaxed);
            }
        }
    }

    /// A figure of one core, or summed over all.
    pub fn get(&self, core: Option<usize>, figure: Figure) -> u64 {
        let of = |Core(now, reset_at): &Core| {
            let reset_at = reset_at[figure as usize].load(Ordering::Relaxed);
            now[figure as usize].load(Ordering::Relaxed).saturating_sub(reset_at)
        };
        core.map_or_else(|| self.0.iter().map(of).sum(), |core| of(&self.0[core]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_of_one_core_or_of_all() {
        let published = Published::new(3);
        published.set(0, Figure::Sent, 5);
        published.set(2, Figure::Sent, 7);
        published.set(2, Figure::Scans, 1);
        assert_eq!(published.get(Some(2), Figure::Sent), 7);
        assert_eq!(published.get(None, Figure::Sent), 12);
        assert_eq!(published.get(Some(1), Figure::Sent), 0);
        published.reset(Some(2));
        assert_eq!(published.get(None, Figure::Sent), 5, "of the other core");
        assert_eq!(published.get(None, Figure::Scans), 1, "is what is so now");
        published.set(2, Figure::Sent, 9);
        assert_eq!(published.get(Some(2), Figure::Sent), 2);
    }
}
