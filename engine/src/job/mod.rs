//! Long work as state machines without I/O: flush, merge, verify, segment preparation.
//!
//! A job is handed to a background driver, which calls [`Job::step`] until it is done, performing the
//! requests that each step emits. A job only reads immutable inputs and only makes new files; the shard
//! installs what it made. If any completion fails, the job ends with that error and the shard decides.

mod context;
mod flush;
pub(crate) mod horizons;
mod input;
mod merge;
pub(crate) mod merge_iter;
mod pieces;
mod residency;
pub(crate) mod retention;
mod sink;
mod step;
mod table_writer;
mod unlink;
mod verify;

#[cfg(test)]
mod horizons_test;
#[cfg(test)]
mod job_test;
#[cfg(test)]
mod long_values_test;
#[cfg(test)]
mod retention_test;
#[cfg(test)]
pub(crate) mod test_driver;

pub use context::JobContext;
pub use flush::FlushJob;
pub use horizons::{Horizon, Horizons};
pub use merge::MergeJob;
pub use residency::ResidencyJob;
pub use step::{Job, JobId, JobKind, JobOutput, JobStep, LoggedEntry};
pub use unlink::UnlinkJob;
pub use verify::VerifyJob;
