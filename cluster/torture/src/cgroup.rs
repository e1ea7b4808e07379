//! A memory cgroup of our own, version 1 or 2, removed when dropped.

use std::path::{Path, PathBuf};

/// See the module.
pub struct Cgroup {
    path: PathBuf,
    /// Which kind it is.
    pub version: &'static str,
}

impl Cgroup {
    /// A group whose processes may use so many bytes together, files in memory included.
    pub fn new(label: &str, bytes: u64) -> Result<Cgroup, String> {
        let name = format!("pinion-torture-{label}-{}", std::process::id());
        let (v1, v2) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (path, version, limit) = if v2.join("cgroup.controllers").exists() {
            // Without the controller handed down, the limit's file isn't there, and the write below says so.
            (v2.join(&name), "cgroup v2", "memory.max")
        } else if v1.exists() {
            (v1.join(&name), "cgroup v1", "memory.limit_in_bytes")
        } else {
            return Err("no memory cgroups here".to_owned());
        };
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let group = Cgroup { path, version };
        let limit = group.path.join(limit);
        std::fs::write(&limit, bytes.to_string()).map_err(|error| format!("{}: {error}", limit.display()))?;
        Ok(group)
    }

    /// The file that takes a process in.
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// The most that it used, in bytes, where the kernel tells.
    pub fn peak_bytes(&self) -> Option<u64> {
        let names = ["memory.max_usage_in_bytes", "memory.peak"];
        let read = |name| std::fs::read_to_string(self.path.join(name)).ok()?.trim().parse().ok();
        names.into_iter().find_map(read)
    }

    /// How many of its processes the kernel killed for want of memory.
    pub fn kills(&self) -> u64 {
        let names = ["memory.oom_control", "memory.events"];
        let texts = names.into_iter().filter_map(|name| std::fs::read_to_string(self.path.join(name)).ok());
        let count = |text: String| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        texts.filter_map(count).next().unwrap_or(0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nobody is in it any more; what is left of it costs nothing.
        let _ = std::fs::remove_dir(&self.path);
    }
}
