//! Places in the log, and what is known of how far it reaches.

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogPosition {
    /// Generation of the segment. The default, 0, is before every segment.
    pub segment: u64,
    /// Offset in the segment's file, in bytes.
    pub offset: u32,
}

/// A segment that the log has begun for good: its header was durable, so it, or a newer one, is there ever after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Its generation. The default, 0, is before every segment.
    pub generation: u64,
    /// The number of its file.
    pub file: u64,
}

/// What the durable manifest knows of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts: segments before are reused or removed. The default is its beginning.
    pub start: LogPosition,
    /// The newest segment that the manifest heard of. The log may have gone on since.
    pub reached: Reached,
}

impl From<LogPosition> for Extent {
    fn from(start: LogPosition) -> Extent {
        Extent { start, ..Extent::default() }
    }
}
