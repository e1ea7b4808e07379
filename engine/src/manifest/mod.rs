//! The manifest of a shard: which tables make it up, and what they contain of each group's log.
//!
//! 1. A manifest file is a full state followed by edits. An edit is one checksummed record in one synced
//!    write: after a crash it is there or it isn't, so whatever it says changes at once.
//! 2. Edits are written one at a time, each only after the one before is durable. So a bad record with a
//!    sound one behind it is damage ([`Manifest::recover`] refuses), a bad record at the end is a torn edit
//!    that nobody was told of: it is cut.
//! 3. When edits outweigh the state, the state is written to a file of the next number: temporary name,
//!    sync, rename, directory sync, and only then is the old file removed. The highest number counts.
//! 4. The writer does no I/O: requests out, completions in.
//!
//! `docs/formats/manifest.md` draws the format byte by byte.

mod edit_bytes;
mod format;
mod group_section;
mod group_state;
mod recovery;
mod repair;
mod state;
mod writer;

pub use group_state::{ConfState, GroupState, OriginState};
pub(crate) use recovery::without_manifest;
pub use repair::{ManifestDump, ManifestRepair};
pub use state::{Edit, ManifestState, Membership, TableEntry};
pub use writer::{Manifest, ManifestEvent};

#[cfg(test)]
mod tests;
