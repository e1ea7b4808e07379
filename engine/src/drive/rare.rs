//! Requests on names: rare, and done with plain system calls.

use super::os_dir::sync_dir;
use super::owned;
use crate::io::{FileName, IoCompletion, IoOutput, IoRequest};
use std::fs;
use std::io::{self, Result};
use std::path::{Path, PathBuf};

/// Whether a request is for [`super::Background`] rather than for a ring: everything but reads, writes
/// and syncs of files.
pub fn is_rare(request: &IoRequest) -> bool {
    !matches!(request, IoRequest::Read { .. } | IoRequest::Write { .. } | IoRequest::Sync { .. })
}

/// Where a file of a shard's directory is.
pub(super) fn path(dir: &Path, file: FileName) -> PathBuf {
    dir.join(file.to_string())
}

/// Performs a rare request; blocks until it is done.
pub(super) fn perform(dir: &Path, request: &IoRequest) -> IoCompletion {
    match *request {
        IoRequest::Create { token, file } => done(token, owned::create_file(&path(dir, file)).map(drop)),
        IoRequest::SyncDir { token } => done(token, sync_dir(dir)),
        IoRequest::Rename { token, from, to } => done(token, fs::rename(path(dir, from), path(dir, to))),
        IoRequest::Unlink { token, file } => done(token, fs::remove_file(path(dir, file))),
        IoRequest::Read { token, .. } | IoRequest::Write { token, .. } | IoRequest::Sync { token, .. } => {
            IoCompletion { token, result: Err(io::ErrorKind::Unsupported.into()) }
        }
    }
}

fn done(token: crate::io::Token, result: Result<()>) -> IoCompletion {
    IoCompletion { token, result: result.map(|()| IoOutput::Done) }
}
