//! What the store's directory lies on: found in `/proc/self/mountinfo`, for a warning where nothing survives power loss.

use std::path::Path;

/// A warning if `dir` is on a file system that lives in memory.
pub fn warning(dir: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let real = dir.ancestors().find_map(|dir| std::fs::canonicalize(dir).ok())?;
    let kind = kind_of(&mounts, &real)?;
    matches!(kind, "tmpfs" | "ramfs").then(|| {
        format!(
            "{} is on {kind}, which is in memory: nothing there survives a restart of the machine or power loss, \
             whatever --durability says; choose a --dir on a disk",
            dir.display()
        )
    })
}

/// The type of the file system that a path is on: that of the longest mount point above it, the last one mounted there.
fn kind_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then_some((point.len(), kind.split(' ').next()?))
    });
    mounts.max_by_key(|&(len, _)| len).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_counts_and_the_last_one_mounted_there() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:26 / /tmp rw - tmpfs tmpfs rw\n\
                      31 30 8:2 / /tmp/disk rw - xfs /dev/sdb rw\n\
                      32 31 0:27 / /tmp/disk rw - tmpfs tmpfs rw\n";
        for (path, kind) in
            [("/var/lib", "ext4"), ("/tmp/x", "tmpfs"), ("/tmpx", "ext4"), ("/tmp/disk/a", "tmpfs")]
        {
            assert_eq!(kind_of(mounts, Path::new(path)), Some(kind), "{path}");
        }
    }
}
