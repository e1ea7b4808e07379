//! What may go wrong with a disk, how likely, and how often it did.

use super::names::NameOrder;
use pinion_engine::io::FileName;
use std::ops::Range;

/// How a process or a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: the kernel keeps what was written. Requests in flight may have happened in any part.
    Process,
    /// The power goes: what wasn't synced is lost, torn or kept, too.
    Power,
}

/// Probabilities (0 to 1) and times. The default is a disk without faults that takes no time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskFaults {
    /// A read or a mapping fails with EIO.
    pub eio_read: f64,
    /// A write fails with EIO and has happened in any part.
    pub eio_write: f64,
    /// A sync of a file or of the directory fails with EIO. A file's dirty data is durable in any part; what isn't may
    /// be forgotten: still shown, until the power goes, and not made durable by a later sync that succeeds.
    pub eio_sync: f64,
    /// Making, renaming or removing a file fails with EIO and has happened or not.
    pub eio_name: f64,
    /// How long requests take.
    pub speed: Speed,
    /// Which unsynced changes of names survive a power loss.
    pub names: NameOrder,
    /// What [`super::Disk::rot`] does.
    pub rot: RotMix,
}

/// How long requests take, in microseconds of virtual time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speed {
    /// Of reads and mappings.
    pub read_us: Range<u64>,
    /// Of writes.
    pub write_us: Range<u64>,
    /// Of syncs, and of a write's sync in addition.
    pub sync_us: Range<u64>,
    /// Of changes of names.
    pub name_us: Range<u64>,
    /// So many of a million requests stall.
    pub stalls_ppm: u32,
    /// For so long.
    pub stall_us: Range<u64>,
}

/// Weights of what rots, and how. All zero: nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotMix {
    /// Weight of [`DamageKind::Flip`].
    pub flip: u32,
    /// Weight of [`DamageKind::Misdirected`].
    pub misdirected: u32,
    /// Weight of [`DamageKind::Stale`].
    pub stale: u32,
    /// Weight of log files.
    pub logs: u32,
    /// Weight of manifests.
    pub manifests: u32,
    /// Weight of tables.
    pub tables: u32,
}

impl Default for RotMix {
    fn default() -> RotMix {
        RotMix { flip: 2, misdirected: 1, stale: 1, logs: 1, manifests: 1, tables: 1 }
    }
}

/// What happened to data at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// In this file.
    pub file: FileName,
    /// The bytes that changed lie in here.
    pub range: Range<u64>,
    /// How.
    pub kind: DamageKind,
    /// Whether the file's newest write is touched, or what a log's first page is known by: in a log or a manifest, such
    /// damage may look like a torn tail.
    pub is_newest: bool,
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// One to three bits of a sector flipped.
    Flip,
    /// Pages hold what was written to another place (of this or another file).
    Misdirected {
        /// The other file.
        file: FileName,
        /// Where the first of them lies there, bytes.
        offset: u64,
    },
    /// Pages hold what they held before their last change, in this file or in a removed one.
    Stale,
}

/// What a disk did, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Reads performed.
    pub reads: u64,
    /// Writes performed.
    pub writes: u64,
    /// Syncs of files performed.
    pub syncs: u64,
    /// Syncs of the directory performed.
    pub dir_syncs: u64,
    /// Files made, renamed and removed.
    pub name_changes: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Writes that failed with EIO.
    pub write_errors: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Changes of names that failed with EIO.
    pub name_errors: u64,
    /// Writes and new files that found no space.
    pub full_errors: u64,
    /// Requests that stalled.
    pub stalls: u64,
    /// Crashes of either kind.
    pub crashes: u64,
    /// Those that were power losses.
    pub power_losses: u64,
    /// Requests that a crash caught in flight.
    pub caught_requests: u64,
    /// Jobs that a crash ended.
    pub caught_jobs: u64,
    /// Unsynced writes that a power loss left whole.
    pub kept_writes: u64,
    /// Those it left in part.
    pub torn_writes: u64,
    /// Those it took.
    pub lost_writes: u64,
    /// Unsynced changes of names that a power loss took.
    pub lost_names: u64,
    /// Damages by [`super::Disk::rot`].
    pub damages: u64,
    /// Jobs that ended.
    pub jobs: u64,
}
