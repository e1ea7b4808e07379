//! What a read sees: data as of a moment.

use crate::key::Version;

/// As of when a read sees the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The newest state at the time of the call, pending writes included (it waits for them).
    Newest,
    /// The state that was the newest when the request arrived; all of it is applied.
    At(Moment),
}

/// What a read sees: versions up to one, of which nothing has expired by a time. A request that came later on the same key
/// may be answered first, so a read that waits must not see more has expired than when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub version: Version,
    pub now_ms: u64,
}
