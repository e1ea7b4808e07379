//! What a node makes of a wall clock that shows much more than its store, in another boot of the machine.

use crate::config::Config;
use crate::error::Error;
use pinion_engine::clock::{GAP_US_MAX, GAP_US_REPORTED, Now, TimeJump};
use pinion_engine::drive::{OsDir, StoreFile, SystemClock};
use pinion_engine::offline::ShardTime;

/// The error of a shard that can't be opened, in the words of this program.
pub fn explain(shard: usize, source: pinion_engine::Error) -> Error {
    match source {
        pinion_engine::Error::TimeJump { dir, hours } => Error::Node(format!(
            "shard {shard}: the wall clock shows {hours} hours more than when {dir} was last written to, in another boot \
             of the machine, and values in it expire: set the clock right, or start kvd once with --accept-time-jump follow \
             (that time has passed) or --accept-time-jump ignore (it hasn't)"
        )),
        source => Error::Shard { shard, source },
    }
}

/// Refuses what a start would refuse of the time. Changes nothing. A store that can't be read is for others to report.
pub fn check(config: &Config) -> Result<(), Error> {
    check_at(config, &SystemClock::new().now())
}

fn check_at(config: &Config, now: &Now) -> Result<(), Error> {
    let Ok(Some(store)) = StoreFile::read(&config.dir) else { return Ok(()) };
    if config.time_jump != TimeJump::Refuse {
        return Ok(());
    }
    for shard in 0..store.shards {
        let path = store.shard_dir(&config.dir, shard);
        let time = OsDir::open(&path).and_then(|dir| ShardTime::read(&dir, store.shard_id(shard)));
        let Ok(ShardTime { stamp: Some(stamp), holds_expiring: true }) = time else { continue };
        let gap_us = stamp.gap_us(now).and_then(|us| u64::try_from(us).ok()).unwrap_or(0);
        if gap_us > GAP_US_MAX {
            let (dir, hours) = (path.display().to_string(), gap_us / GAP_US_REPORTED);
            return Err(explain(shard as usize, pinion_engine::Error::TimeJump { dir, hours }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::store;
    use pinion_engine::clock::{BootId, BootTime};
    use pinion_engine::drive::blocking::publish;
    use pinion_engine::manifest::{Edit, Manifest};

    /// A store whose shard holds an expiring value, as of `now`.
    fn store_at(dir: &tempfile::TempDir, now: Now) -> Config {
        let config = Config { shards: Some(1), ..Config::ephemeral(dir.path()) };
        let file = store::take(&config).unwrap().file.clone();
        let path = file.shard_dir(dir.path(), 0);
        let mut shard_dir = OsDir::create(&path).unwrap();
        let (mut manifest, _) = Manifest::recover(&mut shard_dir, file.shard_id(0)).unwrap();
        let mut sink = pinion_engine::offline::TableSink::new(
            &mut shard_dir,
            1,
            pinion_engine::table::Compression::None,
        );
        let stamp =
            pinion_engine::key::Stamp::new(pinion_engine::Version(1), pinion_engine::key::Kind::Value);
        let key = pinion_engine::key::Prefix::new(
            pinion_engine::Keyspace(0),
            pinion_engine::Partition(0),
            pinion_engine::key::Incarnation(0),
        );
        let key = [&key.to_bytes()[..], b"k"].concat();
        let expiry = pinion_engine::key::Expiry(now.unix_us / 1000 + 1);
        sink.add(pinion_engine::key::Entry { key: &key, stamp, expiry, value: b"v" }).unwrap();
        let (added, next_file) = sink.finish(Vec::new()).unwrap();
        let clock = pinion_engine::clock::ShardClock::resume(None, &now, TimeJump::Refuse).stamp();
        let edit = Edit { added, next_file: Some(next_file), clock: Some(clock), ..Edit::default() };
        publish(&mut shard_dir, &mut manifest, edit).unwrap();
        config
    }

    #[test]
    fn a_jump_is_told_before_the_start_with_the_flag_and_only_where_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let boot = BootTime { id: BootId([1; 16]), us: 1_000_000 };
        let now = Now { unix_us: 1_700_000_000_000_000, mono_us: 1, boot };
        let config = store_at(&dir, now);
        let later = Now { unix_us: now.unix_us + 48 * GAP_US_REPORTED, ..now };
        assert!(check_at(&config, &later).is_ok(), "the same boot knows by itself what passed");
        let rebooted = Now { boot: BootTime { id: BootId([2; 16]), ..boot }, ..later };
        let error = check_at(&config, &rebooted).unwrap_err();
        assert!(error.to_string().contains("48 hours") && !error.to_string().contains('\n'), "{error}");
        assert!(error.to_string().contains("--accept-time-jump follow"), "{error}");
        assert_eq!(error.exit_code(), 1);
        let accepted = Config { time_jump: TimeJump::Ignore, ..config.clone() };
        assert!(check_at(&accepted, &rebooted).is_ok());
        // A real start says the same, in a real boot that isn't the store's.
        let error = crate::Node::start(config.clone()).err().unwrap();
        assert!(error.to_string().contains("--accept-time-jump ignore"), "{error}");
        assert!(check(&config).is_err());
        crate::Node::start(Config { time_jump: TimeJump::Ignore, ..config }).unwrap().stop().unwrap();
    }
}
