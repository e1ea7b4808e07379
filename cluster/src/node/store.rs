//! The store's directory: made if it isn't there, locked, and checked against the configuration.

use crate::config::{Config, SHARD_MEMORY_MIN, size};
use crate::error::Error;
use crate::placement::PARTITIONS_DEFAULT;
use pinion_engine::drive::{OsDir, StoreFile, StoreLock};

/// A store that is ours as long as this lives.
pub struct OwnedStore {
    /// What `DIR/STORE` says.
    pub file: StoreFile,
    _lock: StoreLock,
}

/// Takes the store in the configured directory, or makes it.
pub fn take(config: &Config) -> Result<OwnedStore, Error> {
    let failed = |e: pinion_engine::Error| Error::Node(e.to_string());
    OsDir::create(&config.dir).map_err(failed)?;
    let lock = StoreLock::acquire(&config.dir).map_err(failed)?;
    let file = match StoreFile::read(&config.dir).map_err(failed)? {
        Some(file) => {
            check(config, &file)?;
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
    Ok(OwnedStore { file, _lock: lock })
}

fn make(config: &Config) -> Result<StoreFile, Error> {
    let dir = config.dir.display();
    if config.dir.join("shard-000").exists() {
        return Err(Error::Node(format!(
            "{dir} has shards but no STORE file; restore {dir}/STORE from a backup, or choose another --dir"
        )));
    }
    let partitions = config.partitions.unwrap_or(PARTITIONS_DEFAULT);
    let affordable = (config.memory_bytes / SHARD_MEMORY_MIN).max(1) as usize;
    let shards = config.shards.unwrap_or_else(|| config.cpus.len().min(partitions).min(affordable));
    StoreFile::new(shards as u32, partitions as u32).map_err(|e| Error::Config(e.to_string()))
}

fn check(config: &Config, file: &StoreFile) -> Result<(), Error> {
    let (dir, shards) = (config.dir.display(), file.shards as usize);
    if let Some(wanted) = config.shards.filter(|&wanted| wanted != shards) {
        return Err(Error::Config(format!(
            "{dir} has {shards} shards and --shards says {wanted}; to change the store run `kvtool reshard {dir} \
             --shards {wanted}`, or leave --shards out"
        )));
    }
    if let Some(wanted) = config.partitions.filter(|&wanted| wanted != file.partitions as usize) {
        tracing::warn!("--partitions {wanted} counts for a new store only; this one has {}", file.partitions);
    }
    if config.memory_bytes / (shards as u64) < SHARD_MEMORY_MIN {
        return Err(Error::Config(format!(
            "--memory: {} are less than 16MiB for each of the store's {shards} shards; raise it",
            size::display(config.memory_bytes)
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
    fn shards_without_a_store_file_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("shard-000")).unwrap();
        let error = take(&config(&dir, Some(1))).err().unwrap();
        assert!(error.to_string().contains("no STORE file"), "{error}");
    }
}
