//! Open files: what the log, the tables and the manifest may need is there before the first connection comes.
//!
//! Connections of both protocols take none of them: they are direct descriptors of their core's ring. HTTP has a bound of
//! its own ([`serve::CONNECTIONS_MAX`]). So nobody outside can take what the shards need, if the limit covers it all.

use crate::admin::serve;
use crate::config::Config;
use crate::config::listen::Listen;
use crate::error::Error;
use pinion_engine::drive::FILES_PER_SHARD;
use pinion_net::reactor::raise_open_files;

/// Descriptors of a process that has nothing open: standard streams, signals, the lock, the log of the process itself.
const PROCESS_FILES: u64 = 32;
/// Descriptors of a core: its ring, its eventfd, its CPU's claim, the directory.
const CORE_FILES: u64 = 4;

/// Raises the limit on open files as far as it goes, and warns if that is less than what the node may need.
pub fn reserve(config: &Config, shards: usize) -> Result<(), Error> {
    let limit = raise_open_files()
        .map_err(|e| Error::Node(format!("the limit on open files can't be raised: {e}; see `ulimit -n`")))?;
    let needed = needed(config, shards as u64);
    if limit < needed {
        tracing::warn!(
            "{shards} shards may need {needed} open files and the limit is {limit}: with many tables reads and merges fail \
             there; raise it with `ulimit -Hn {needed}` or LimitNOFILE={needed}, or use fewer --shards"
        );
    }
    Ok(())
}

fn needed(config: &Config, shards: u64) -> u64 {
    let addresses = |listen: Option<&Listen>| listen.map_or(0, |listen| listen.all().len() as u64);
    let of_core = 2 * (addresses(Some(&config.listen)) + addresses(config.resp_listen.as_ref()));
    let http = match addresses(config.admin_listen.as_ref()) {
        0 => 0,
        listeners => listeners + serve::CONNECTIONS_MAX as u64,
    };
    PROCESS_FILES + http + shards * (FILES_PER_SHARD as u64 + CORE_FILES + of_core)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_and_the_admin_interface_count() {
        let config = Config::ephemeral("unused");
        let (one, three) = (needed(&config, 1), needed(&config, 3));
        assert!(three - one >= 2 * FILES_PER_SHARD as u64);
        let with_admin = Config { admin_listen: Some(config.listen.clone()), ..config };
        assert_eq!(needed(&with_admin, 1), one + 1 + serve::CONNECTIONS_MAX as u64);
    }
}
