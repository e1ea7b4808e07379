//! Whether all files of a shard are there, and what to say of one that isn't.
//!
//! What there must be is known: `STORE` says that the shard was made, its manifest names the tables and two segments of
//! the log, and each segment names the one before it.

use crate::dir::{Dir, repair_hint};
use crate::error::Error;
use crate::io::FileName;
use crate::log::check_segments;
use crate::manifest::{Manifest, ManifestState, TableEntry, without_manifest};
use std::io::ErrorKind;

/// Fails, and names it, if a file of the shard in `dir` is missing. Reads the manifest and the headers of the log, and
/// changes nothing.
pub fn check_files(dir: &dyn Dir, shard_id: [u8; 16], is_made: bool) -> Result<(), Error> {
    if is_made {
        refuse_without_manifest(dir)?;
    } else if list(dir)?.is_empty() {
        return Ok(());
    }
    let state = Manifest::read(dir, shard_id)?;
    check_tables(dir, &state)?;
    check_segments(dir, state.log(), shard_id)
}

fn check_tables(dir: &dyn Dir, state: &ManifestState) -> Result<(), Error> {
    let look = |entry: &TableEntry| {
        let file = FileName::Table(entry.number);
        let found = dir.len(file).map_err(|source| Error::io("stat", file, dir.path(), source));
        found.map(drop).map_err(|error| named(error, dir, entry))
    };
    state.tables.values().try_for_each(look)
}

fn list(dir: &dyn Dir) -> Result<Vec<FileName>, Error> {
    dir.list().map_err(|source| Error::io("list", "the files", dir.path(), source))
}

/// Refuses a directory in which a shard was, and whose manifest isn't there.
pub(super) fn refuse_without_manifest(dir: &dyn Dir) -> Result<(), Error> {
    let files = list(dir)?;
    if files.iter().any(|file| matches!(file, FileName::Manifest(_))) {
        return Ok(());
    }
    Err(without_manifest(dir, &files))
}

/// The error of a table that can't be opened: one that is missing is named, with what was in it.
pub(super) fn named(error: Error, dir: &dyn Dir, entry: &TableEntry) -> Error {
    match error {
        Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => Error::Unusable(format!(
            "{}, a table of level {} with {} bytes, which the manifest names, is missing from {}; put it back, or {}",
            FileName::Table(entry.number),
            entry.level,
            entry.file_bytes,
            dir.path(),
            repair_hint(dir)
        )),
        other => other,
    }
}
