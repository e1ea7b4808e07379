//! The I/O vocabulary: what deciding components ask for, and what drivers answer.
//!
//! Requests and completions are plain data that carry a token. A driver may finish requests in any
//! order, except that [`IoRequest::Write`] with `sync` means: write, and only then fdatasync, one
//! completion for both. Files are named within one shard's directory by [`FileName`]; opening and
//! caching descriptors is the driver's business.

use crate::aligned::AlignedBuf;
use std::fmt;

/// A file in a shard's directory. Numbers are never reused while the file exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileName {
    /// A log segment, `000001.log`. The number names the file, not its place in the log: files are recycled.
    Log(u64),
    /// An SSTable, `000001.sst`.
    Table(u64),
    /// A manifest, `000001.manifest`; the highest number counts.
    Manifest(u64),
    /// A manifest that is being written, `000001.manifest.tmp`.
    ManifestTemp(u64),
}

impl FileName {
    /// No file of a store reaches a higher number: they are given one by one.
    pub const NUMBER_MAX: u64 = 1 << 62;

    /// Reads a file's name; `None` if it is none of ours.
    pub fn parse(name: &str) -> Option<FileName> {
        let (number, suffix) = name.split_once('.')?;
        if number.len() < 6 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = number.parse().ok()?;
        match suffix {
            "log" => Some(FileName::Log(number)),
            "sst" => Some(FileName::Table(number)),
            "manifest" => Some(FileName::Manifest(number)),
            "manifest.tmp" => Some(FileName::ManifestTemp(number)),
            _ => None,
        }
    }

    /// The number in the name.
    pub fn number(self) -> u64 {
        match self {
            FileName::Log(n) | FileName::Table(n) | FileName::Manifest(n) | FileName::ManifestTemp(n) => n,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Log(n) => write!(f, "{n:06}.log"),
            FileName::Table(n) => write!(f, "{n:06}.sst"),
            FileName::Manifest(n) => write!(f, "{n:06}.manifest"),
            FileName::ManifestTemp(n) => write!(f, "{n:06}.manifest.tmp"),
        }
    }
}

/// Ties a completion to its request; the asking component chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Something a component wants done.
#[derive(Debug)]
pub enum IoRequest {
    /// Makes an empty file (truncates one that exists). Durable only after [`IoRequest::SyncDir`].
    Create {
        /// Comes back in the completion.
        token: Token,
        /// The new file.
        file: FileName,
    },
    /// Writes all of `data` at `offset`; with `sync` the data is on the device when it completes.
    Write {
        /// Comes back in the completion.
        token: Token,
        /// The file, which exists.
        file: FileName,
        /// Where, in bytes; a multiple of [`crate::aligned::ALIGN`] unless the driver runs buffered.
        offset: u64,
        /// What; comes back in the completion for reuse.
        data: AlignedBuf,
        /// fdatasync after the write, linked.
        sync: bool,
    },
    /// Reads exactly `len` bytes at `offset` (both may be unaligned: the driver widens and cuts).
    /// The file's end before that is an `UnexpectedEof` error.
    Read {
        /// Comes back in the completion.
        token: Token,
        /// The file.
        file: FileName,
        /// Where, in bytes.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
    /// fdatasync of a file.
    Sync {
        /// Comes back in the completion.
        token: Token,
        /// The file.
        file: FileName,
    },
    /// fsync of the shard's directory.
    SyncDir {
        /// Comes back in the completion.
        token: Token,
    },
    /// Renames a file over another name. Durable only after [`IoRequest::SyncDir`].
    Rename {
        /// Comes back in the completion.
        token: Token,
        /// The old name.
        from: FileName,
        /// The new name.
        to: FileName,
    },
    /// Removes a file.
    Unlink {
        /// Comes back in the completion.
        token: Token,
        /// The file.
        file: FileName,
    },
}

impl IoRequest {
    /// What comes back in its completion.
    pub fn token(&self) -> Token {
        match *self {
            IoRequest::Create { token, .. }
            | IoRequest::Write { token, .. }
            | IoRequest::Read { token, .. }
            | IoRequest::Sync { token, .. }
            | IoRequest::SyncDir { token }
            | IoRequest::Rename { token, .. }
            | IoRequest::Unlink { token, .. } => token,
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub struct IoCompletion {
    /// The request's token.
    pub token: Token,
    /// Its result.
    pub result: std::io::Result<IoOutput>,
}

/// What a successful request yields.
#[derive(Debug)]
pub enum IoOutput {
    /// Nothing but success.
    Done,
    /// The buffer of a write, for reuse.
    Written(AlignedBuf),
    /// The bytes of a read, exactly as many as were asked for.
    Data(AlignedBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_survive_parsing() {
        for name in
            [FileName::Log(1), FileName::Table(12_345_678), FileName::Manifest(3), FileName::ManifestTemp(4)]
        {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in ["LOCK", "1.log", "00000x.sst", "000001.txt", "000001"] {
            assert_eq!(FileName::parse(other), None);
        }
    }
}
