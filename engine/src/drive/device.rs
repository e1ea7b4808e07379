//! How the device of a directory makes one write durable.
//!
//! A device with FUA (force unit access), or without a volatile cache, can make a single write durable as
//! it is written: RWF_DSYNC on it needs no second operation. On any other the kernel would turn that into a
//! flush done by a worker thread, which is slower than an fdatasync linked to the write, and far slower
//! while the core that serves the device's interrupts is busy. What a device has is read from
//! `/sys/dev/block`, for a partition from the disk it lies on; a stacked device (device-mapper, md)
//! counts only if all below it do. No device (a network or stacked file system): linked.

use super::direct::say_once;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Devices stacked deeper than this are taken for ones that can't.
const DEPTH_MAX: usize = 8;

/// How a log write that must be durable is made so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSync {
    /// A write, and an fdatasync linked to it.
    Linked,
    /// One write with RWF_DSYNC, where it is direct and overwrites prepared space.
    WriteThrough,
}

impl fmt::Display for LogSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl LogSync {
    /// Its name in status documents.
    pub fn name(self) -> &'static str {
        match self {
            LogSync::Linked => "write+fdatasync",
            LogSync::WriteThrough => "o_dsync",
        }
    }

    /// What the device of `dir` is best at; says so once a directory.
    pub(super) fn of(dir: &Path) -> LogSync {
        let found = fs::metadata(dir).ok().and_then(|meta| find(Path::new("/sys"), meta.dev()));
        let (log_sync, why) = match &found {
            None => (LogSync::Linked, "its file system is on no block device that /sys names".to_owned()),
            Some(disk) if has_fua(disk, DEPTH_MAX) => {
                (LogSync::WriteThrough, format!("{} has FUA or no volatile cache", name(disk)))
            }
            Some(disk) => (LogSync::Linked, format!("{} has no FUA", name(disk))),
        };
        say_once(&format!("{}: durable log writes are {log_sync}: {why}", dir.display()));
        log_sync
    }
}

fn name(disk: &Path) -> String {
    disk.file_name().map_or_else(|| disk.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The directory of the whole disk that a device number belongs to, below `sys`.
fn find(sys: &Path, device: u64) -> Option<PathBuf> {
    let (major, minor) = (libc::major(device), libc::minor(device));
    whole_disk(&sys.join(format!("dev/block/{major}:{minor}")))
}

/// The directory of the disk that a device is, or is a partition of.
fn whole_disk(device: &Path) -> Option<PathBuf> {
    let device = fs::canonicalize(device).ok()?;
    let disk = if device.join("partition").exists() { device.parent()?.to_owned() } else { device };
    disk.join("queue").is_dir().then_some(disk)
}

/// Whether a disk, and every device that it is made of, writes through without a flush.
fn has_fua(disk: &Path, depth: usize) -> bool {
    let read = |file| fs::read_to_string(disk.join("queue").join(file)).unwrap_or_default();
    let writes_through = read("fua").trim() == "1" || read("write_cache").trim() == "write through";
    if !writes_through || depth == 0 {
        return false;
    }
    let Ok(below) = fs::read_dir(disk.join("slaves")) else { return true };
    below
        .map(|entry| entry.ok().and_then(|entry| whole_disk(&entry.path())))
        .all(|below| below.is_some_and(|below| has_fua(&below, depth - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A made-up /sys.
    struct Sys(tempfile::TempDir);

    impl Sys {
        fn new() -> Sys {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("dev/block")).unwrap();
            Sys(dir)
        }

        fn disk(&self, name: &str, number: &str, fua: &str, write_cache: &str) -> PathBuf {
            let disk = self.0.path().join("devices/pci0/block").join(name);
            fs::create_dir_all(disk.join("queue")).unwrap();
            fs::create_dir_all(disk.join("slaves")).unwrap();
            fs::write(disk.join("queue/fua"), format!("{fua}\n")).unwrap();
            fs::write(disk.join("queue/write_cache"), format!("{write_cache}\n")).unwrap();
            self.number(&disk, number);
            disk
        }

        fn partition(&self, disk: &Path, name: &str, number: &str) -> PathBuf {
            let partition = disk.join(name);
            fs::create_dir_all(&partition).unwrap();
            fs::write(partition.join("partition"), "1\n").unwrap();
            self.number(&partition, number);
            partition
        }

        fn number(&self, device: &Path, number: &str) {
            symlink(device, self.0.path().join("dev/block").join(number)).unwrap();
        }

        /// What is found out about a device number; `None` if there is no such device.
        fn look(&self, major: u32, minor: u32) -> Option<bool> {
            find(self.0.path(), libc::makedev(major, minor)).map(|disk| has_fua(&disk, DEPTH_MAX))
        }
    }

    #[test]
    fn a_disk_with_fua_or_without_a_volatile_cache_writes_through() {
        let sys = Sys::new();
        sys.disk("sda", "8:0", "0", "write back");
        sys.disk("nvme0n1", "259:0", "1", "write back");
        sys.disk("pmem0", "259:9", "0", "write through");
        assert_eq!(sys.look(8, 0), Some(false));
        assert_eq!(sys.look(259, 0), Some(true));
        assert_eq!(sys.look(259, 9), Some(true));
    }

    #[test]
    fn a_partition_is_as_its_disk() {
        let sys = Sys::new();
        for (disk, major, fua) in [("sda", 8, "0"), ("nvme0n1", 259, "1")] {
            let path = sys.disk(disk, &format!("{major}:0"), fua, "write back");
            sys.partition(&path, &format!("{disk}p1"), &format!("{major}:1"));
        }
        assert_eq!((sys.look(8, 1), sys.look(259, 1)), (Some(false), Some(true)));
    }

    #[test]
    fn a_stacked_device_writes_through_if_everything_below_it_does() {
        let sys = Sys::new();
        let fast = sys.disk("nvme0n1", "259:0", "1", "write back");
        let slow = sys.disk("sda", "8:0", "0", "write back");
        let part = sys.partition(&fast, "nvme0n1p1", "259:1");
        let stacked = |name: &str, minor: u32, below: &[&Path]| {
            let disk = sys.disk(name, &format!("253:{minor}"), "1", "write back");
            for device in below {
                symlink(device, disk.join("slaves").join(device.file_name().unwrap())).unwrap();
            }
            disk
        };
        let one = stacked("dm-0", 0, &[&part]);
        stacked("dm-1", 1, &[&one]);
        stacked("md0", 2, &[&fast, &slow]);
        assert_eq!((sys.look(253, 0), sys.look(253, 1)), (Some(true), Some(true)));
        assert_eq!(sys.look(253, 2), Some(false));
    }

    #[test]
    fn where_there_is_no_device_nothing_is_claimed() {
        let sys = Sys::new();
        assert_eq!(sys.look(0, 42), None);
        fs::create_dir_all(sys.0.path().join("devices/odd")).unwrap();
        sys.number(&sys.0.path().join("devices/odd"), "7:7");
        assert_eq!(sys.look(7, 7), None, "a device without a queue");
        let bare = sys.disk("vda", "254:0", "1", "write back");
        fs::remove_file(bare.join("queue/fua")).unwrap();
        assert_eq!(sys.look(254, 0), Some(false));
    }
}
