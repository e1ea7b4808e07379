//! Which shards of a store should be there, and aren't.
//!
//! Where `STORE` says that all shards were made, one that isn't there is lost. `STORE` of an earlier version doesn't say it.
//! But nobody is served before all of them are made: a shard that holds anything shows that they were.

use super::os_dir::OsDir;
use super::store_file::{StoreFile, remedy};
use crate::dir::Dir;
use crate::error::Error;
use crate::io::FileName;
use crate::log::replay;
use crate::manifest::Manifest;
use std::path::{Path, PathBuf};

impl StoreFile {
    /// Refuses a store of which a shard is lost. Names all that are.
    pub fn check_shards(&self, dir: &Path) -> Result<(), Error> {
        let lost = self.lost_shards(dir)?;
        if lost.is_empty() {
            return Ok(());
        }
        let are = if lost.len() == 1 { "is" } else { "are" };
        Err(Error::Unusable(format!(
            "{} {are} missing from {}, and with it every key of its partitions; put it back, or {}",
            lost.join(", "),
            dir.display(),
            remedy(dir)
        )))
    }

    /// The names of the shards' directories that aren't there.
    pub fn missing_shards(&self, dir: &Path) -> Vec<String> {
        self.paths(dir).filter(|(_, path)| !path.is_dir()).map(|(_, path)| name_of(&path)).collect()
    }

    /// The names of the shards that are lost. Of a store that is known to be made those whose directories aren't there:
    /// of one without files the shard itself knows. Otherwise both, unless this may be a first start that was cut off.
    pub fn lost_shards(&self, dir: &Path) -> Result<Vec<String>, Error> {
        if self.is_made {
            return Ok(self.missing_shards(dir));
        }
        let (mut lost, mut others) = (Vec::new(), Vec::new());
        for (shard, path) in self.paths(dir) {
            match path.is_dir().then(|| OsDir::open(&path)).transpose()? {
                Some(found) if !is_blank(&found)? => others.push((shard, found)),
                _ => lost.push(name_of(&path)),
            }
        }
        let is_made = |(shard, found): &(u32, OsDir)| holds_any(found, self.shard_id(*shard));
        let is_any_lost = !lost.is_empty() && others.iter().any(is_made);
        Ok(if is_any_lost { lost } else { Vec::new() })
    }

    fn paths(&self, dir: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
        (0..self.shards).map(move |shard| (shard, self.shard_dir(dir, shard)))
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Whether the making of a shard hasn't come to its first file.
fn is_blank(dir: &OsDir) -> Result<bool, Error> {
    let names = dir.list().map_err(|source| Error::io("list", "files", dir.path(), source))?;
    Ok(names.iter().all(|name| matches!(name, FileName::ManifestTemp(_))))
}

/// Whether a shard has tables or a log. One that can't be read counts: a start that is cut off leaves nothing damaged.
fn holds_any(dir: &OsDir, shard_id: [u8; 16]) -> bool {
    let Ok(state) = Manifest::read(dir, shard_id) else { return true };
    let is_written = !(state.tables.is_empty() && state.groups.is_empty());
    is_written || replay(dir, state.log(), shard_id, &mut |_, _| Ok(())).map_or(true, |read| read.parts > 0)
}
