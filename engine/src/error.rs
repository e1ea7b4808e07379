//! What can go wrong in a shard's storage, always with the file and offset it is about.

use crate::io::FileName;

/// An error of the storage engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{operation} {file} in {dir}: {source}")]
    Io {
        /// What was tried: "read", "write", ...
        operation: &'static str,
        /// On which file.
        file: String,
        /// In which directory.
        dir: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Bytes that were proved durable are not what was written.
    #[error("{file} is damaged at offset {offset}: {what}")]
    Damaged {
        /// The file.
        file: FileName,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A file was written by a version this one can't read.
    #[error("{file} has format version {found}, this build reads {supported}; use a matching build")]
    Format {
        /// The file.
        file: FileName,
        /// Its version.
        found: u32,
        /// Ours.
        supported: u32,
    },
    /// A sound file says something that this version doesn't know, and may not skip. It isn't damage, and no repair touches it.
    #[error(
        "{file} in {dir}, at offset {offset}: {what}, of which this build knows nothing; open it with the build that wrote it"
    )]
    Newer {
        /// The file.
        file: FileName,
        /// In which directory.
        dir: String,
        /// Where in it, in bytes.
        offset: u64,
        /// What it says.
        what: String,
    },
    /// The store can't be opened as asked; the text says why and what to do.
    #[error("{0}")]
    Unusable(String),
    /// The wall clock shows much more than when the shard was last written, in another boot: whether so much time has
    /// passed, somebody must say.
    #[error(
        "the wall clock shows {hours} hours more than when {dir} was last written to, in another boot of the machine, and \
         values in it expire: set the clock right, or open it with TimeJump::Follow or TimeJump::Ignore"
    )]
    TimeJump {
        /// The directory.
        dir: String,
        /// So much more.
        hours: u64,
    },
    /// An argument is over a limit; the text names the limit.
    #[error("{0}")]
    Limit(String),
    /// The store is read-only for now, or for good; the text says why.
    #[error("read-only: {0}")]
    ReadOnly(String),
    /// Not done, and certainly not applied; the text says why.
    #[error("{0}")]
    Refused(String),
    /// It may or may not have been applied.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The store was closed, or its thread ended.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Wraps an I/O error with what was tried on which file.
    pub fn io(
        operation: &'static str,
        file: impl ToString,
        dir: impl ToString,
        source: std::io::Error,
    ) -> Error {
        Error::Io { operation, file: file.to_string(), dir: dir.to_string(), source }
    }
}

/// Whether a request failed only because the disk, or the quota, is used up.
pub(crate) fn is_without_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
