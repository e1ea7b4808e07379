//! The store's directory: made if it isn't there, locked, and checked against the configuration.

use crate::config::{Config, SHARD_MEMORY_MIN, parse_node_id, size};
use crate::error::Error;
use pinion_engine::drive::{OsDir, StoreFile, StoreLock, create_file};
use pinion_engine::placement::PARTITIONS_DEFAULT;
use std::io::{self, Write};
use std::path::PathBuf;

/// A store that is ours as long as this lives.
pub struct OwnedStore {
    /// What `DIR/STORE` says.
    pub file: StoreFile,
    /// The node's name: the one that was set, now or at an earlier start.
    pub name: Option<String>,
    lock: StoreLock,
}

impl OwnedStore {
    /// Says what is wrong when the directory isn't at this path any more.
    pub fn witness(&self, path: PathBuf) -> Result<impl Fn() -> Result<(), Error> + Send + use<>, Error> {
        let failed = |e: io::Error| Error::Node(format!("{}: {e}; see `ulimit -n`", path.display()));
        let place = self.lock.place().map_err(failed)?;
        Ok(move || match place.is_at(&path) {
            true => Ok(()),
            false => Err(Error::Node(format!(
                "{} was moved, removed or replaced while kvd uses it; put it back, or start kvd with --dir where it is now",
                path.display()
            ))),
        })
    }
}

/// Takes the store in the configured directory, or makes it.
pub fn take(config: &Config) -> Result<OwnedStore, Error> {
    OsDir::create(&config.dir).map_err(failed)?;
    let lock = StoreLock::acquire(&config.dir).map_err(|error| match error {
        pinion_engine::Error::Unusable(text) => Error::Node(format!("{text} (--dir)")),
        other => failed(other),
    })?;
    let file = match StoreFile::find(&config.dir).map_err(failed)? {
        Some(file) => {
            check(config, &file)?;
            file.check_shards(&config.dir).map_err(failed)?;
            // A reshard that was cut off may have left them; the lock says that nobody works on them now.
            file.remove_other_layouts(&config.dir).map_err(failed)?;
            file
        }
        None => {
            let file = make(config)?;
            check(config, &file)?;
            file.write(&config.dir).map_err(failed)?;
            file
        }
    };
    let name = keep_name(config);
    Ok(OwnedStore { file, name, lock })
}

/// How many shards the store has or would get, once it is checked against the configuration and nothing of it is missing.
/// Changes nothing.
pub fn inspect(config: &Config) -> Result<usize, Error> {
    let dir = &config.dir;
    let found = if dir.is_dir() { StoreFile::find(dir).map_err(failed)? } else { None };
    let Some(file) = found else {
        let file = make(config)?;
        check(config, &file)?;
        return Ok(file.shards as usize);
    };
    check(config, &file)?;
    file.check_shards(dir).map_err(failed)?;
    // Somebody who has the store open has looked, and changes it while we look.
    let Ok(_lock) = StoreLock::acquire_shared(dir) else { return Ok(file.shards as usize) };
    for shard in 0..file.shards {
        let path = file.shard_dir(dir, shard);
        if path.is_dir() {
            let found = OsDir::open(path).and_then(|path| {
                pinion_engine::shard::check_files(&path, file.shard_id(shard), file.is_made)
            });
            found.map_err(|source| Error::Shard { shard: shard as usize, source })?;
        }
    }
    Ok(file.shards as usize)
}

fn failed(error: pinion_engine::Error) -> Error {
    let remedy = match &error {
        pinion_engine::Error::Io { source, .. } => match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "; run kvd as the user who owns the directory, or `chown -R` it to the user who runs kvd"
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                "; its file system is mounted read-only: remount it, or choose another --dir"
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "; free some space, or choose another --dir"
            }
            _ => "",
        },
        _ => "",
    };
    Error::Node(format!("{error}{remedy}"))
}

/// The name that the node had when it last started with one.
const NAME_FILE: &str = "NODE";

/// The node's name: the one that is set, which is kept and warned of if it was another one before, or the one that was kept.
fn keep_name(config: &Config) -> Option<String> {
    let path = config.dir.join(NAME_FILE);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let kept = kept.trim();
    let Some(name) = &config.node_id else {
        if kept.is_empty() {
            return None;
        }
        return parse_node_id(kept)
            .inspect_err(|why| tracing::warn!("{} is left aside, no name is in it: {why}", path.display()))
            .unwrap_or_default();
    };
    if kept == name {
        return Some(name.clone());
    }
    if !kept.is_empty() {
        tracing::warn!(
            "--node-id: this node was {kept} and is {name} from now on; clients and monitoring see another node"
        );
    }
    if let Err(error) = create_file(&path).and_then(|mut file| writeln!(file, "{name}")) {
        tracing::warn!(
            "{} can't be written: a start without --node-id won't know the name, and another one won't be noticed: {error}",
            path.display()
        );
    }
    Some(name.clone())
}

fn make(config: &Config) -> Result<StoreFile, Error> {
    let partitions = config.partitions.unwrap_or(PARTITIONS_DEFAULT);
    let affordable = (config.memory_bytes / SHARD_MEMORY_MIN).max(1) as usize;
    let shards = config.shards.unwrap_or_else(|| config.cpus.len().min(partitions).min(affordable));
    StoreFile::new(shards as u32, partitions as u32).map_err(|e| Error::Config(e.to_string()))
}

/// `1 shard`, `2 shards`.
pub fn count(shards: u32) -> String {
    format!("{shards} {}", if shards == 1 { "shard" } else { "shards" })
}

fn check(config: &Config, file: &StoreFile) -> Result<(), Error> {
    let (dir, shards) = (config.dir.display(), file.shards as usize);
    if let Some(wanted) = config.shards.filter(|&wanted| wanted != shards) {
        return Err(Error::Config(format!(
            "{dir} has {} and --shards says {wanted}; to change the store run `kvtool reshard {dir} \
             --shards {wanted}`, or leave --shards out",
            count(file.shards)
        )));
    }
    if let Some(wanted) = config.partitions.filter(|&wanted| wanted != file.partitions as usize) {
        tracing::warn!("--partitions {wanted} counts for a new store only; this one has {}", file.partitions);
    }
    if config.memory_bytes / (shards as u64) < SHARD_MEMORY_MIN {
        return Err(Error::Config(format!(
            "--memory: {} are less than 16MiB for each of the store's {shards} shards; give it {}MiB or more",
            size::display(config.memory_bytes),
            shards * 16
        )));
    }
    if shards > config.cpus.len() {
        tracing::warn!("{shards} shards share {} CPUs", config.cpus.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::manifest::Manifest;

    fn config(dir: &tempfile::TempDir, shards: Option<usize>) -> Config {
        Config { shards, ..Config::ephemeral(dir.path()) }
    }

    #[test]
    fn the_number_of_shards_is_kept_and_another_one_is_refused_with_the_command() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(take(&config(&dir, Some(3))).unwrap().file.shards, 3);
        assert_eq!(take(&config(&dir, None)).unwrap().file.shards, 3);
        let error = take(&config(&dir, Some(2))).err().unwrap();
        let command = format!("`kvtool reshard {} --shards 2`", dir.path().display());
        assert!(error.to_string().contains(&command), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn shards_of_a_layout_that_no_longer_counts_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = take(&config(&dir, Some(1))).unwrap();
        let other = StoreFile { layout: store.file.layout + 1, ..store.file.clone() };
        drop(store);
        std::fs::create_dir(other.shard_dir(dir.path(), 0)).unwrap();
        take(&config(&dir, Some(1))).unwrap();
        assert!(!other.shard_dir(dir.path(), 0).exists());
    }

    #[test]
    fn a_directory_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let _store = take(&config(&dir, Some(1))).unwrap();
        let error = take(&config(&dir, Some(1))).err().unwrap();
        assert!(error.to_string().contains("in use by process"), "{error}");
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn a_name_is_kept_with_the_store_for_starts_that_set_none() {
        let dir = tempfile::tempdir().unwrap();
        let named = |name: Option<&str>| {
            let config = Config { node_id: name.map(str::to_owned), ..config(&dir, Some(1)) };
            take(&config).unwrap().name
        };
        assert_eq!(named(None), None);
        for name in ["n1", "n2"] {
            assert_eq!(named(Some(name)).as_deref(), Some(name));
            assert_eq!(std::fs::read_to_string(dir.path().join(NAME_FILE)).unwrap().trim(), name);
            assert_eq!(named(None).as_deref(), Some(name));
        }
        std::fs::write(dir.path().join(NAME_FILE), "no name\n").unwrap();
        assert_eq!(named(None), None);
    }

    #[test]
    fn too_little_memory_is_refused_with_what_all_shards_need() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { memory_bytes: 20 << 20, ..config(&dir, Some(3)) };
        assert!(take(&config).err().unwrap().to_string().contains("48MiB"));
    }

    #[test]
    fn inspecting_counts_shards_and_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect(&config(&dir, Some(3))).unwrap(), 3);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn shards_without_a_store_file_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = take(&config(&dir, Some(1))).unwrap();
        let mut shard = OsDir::create(store.file.shard_dir(dir.path(), 0)).unwrap();
        let repairs = format!("`kvtool repair {}`", dir.path().display());
        let backup = "restore the store from a backup".to_owned();
        for (is_made, remedy) in [(false, backup), (true, repairs)] {
            if is_made {
                Manifest::recover(&mut shard, store.file.shard_id(0)).unwrap();
            }
            std::fs::remove_file(dir.path().join("STORE")).unwrap_or_default();
            let error = inspect(&config(&dir, Some(1))).unwrap_err().to_string();
            let told = format!(
                "STORE is missing, which says what the shards beside it are part of; put it back, or {remedy}"
            );
            assert!(error.contains(&told), "{error}");
        }
        drop(store);
        assert!(take(&config(&dir, Some(1))).is_err());
    }

    #[test]
    fn shards_are_missed_from_when_all_of_them_were_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = take(&config(&dir, Some(2))).unwrap();
        store.file.mark_made(dir.path());
        drop(store);
        std::fs::create_dir(dir.path().join("shard-000")).unwrap();
        let error = take(&config(&dir, None)).err().unwrap().to_string();
        assert!(error.contains("shard-001 is missing from") && error.contains("`kvtool repair"), "{error}");
        assert_eq!(inspect(&config(&dir, None)).unwrap_err().to_string(), error);
    }
}
