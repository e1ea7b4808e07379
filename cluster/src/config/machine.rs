//! What this process may use of the machine: CPUs by affinity and cgroup quota, memory by cgroup and RAM, open files.
//!
//! Everything is read from `/proc` and `/sys/fs/cgroup` (versions 1 and 2) under a root that tests replace.

use std::fs;
use std::path::{Path, PathBuf};

/// The machine as this process sees it.
pub struct Machine {
    root: PathBuf,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { root: PathBuf::from("/") }
    }
}

impl Machine {
    /// A machine whose `/proc` and `/sys` lie under `root`.
    pub fn at(root: impl Into<PathBuf>) -> Machine {
        Machine { root: root.into() }
    }

    /// The CPUs that the affinity mask allows, in order; CPU 0 if that can't be read.
    pub fn cpus_allowed(&self) -> Vec<usize> {
        let status = self.read("proc/self/status").unwrap_or_default();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        list.and_then(|list| parse_cpu_list(list.trim()).ok())
            .filter(|cpus| !cpus.is_empty())
            .unwrap_or(vec![0])
    }

    /// The CPUs to run on by default: the allowed ones, but not more than the quota pays for (at least one).
    pub fn cpus(&self) -> Vec<usize> {
        let mut cpus = self.cpus_allowed();
        if let Some(quota) = self.cpu_quota() {
            cpus.truncate((quota.floor() as usize).max(1));
        }
        cpus
    }

    /// Whether the quota, if there is one, pays for all CPUs that the affinity mask allows.
    pub fn grants_all_cpus(&self) -> bool {
        self.cpu_quota().is_none_or(|quota| quota >= self.cpus_allowed().len() as f64)
    }

    /// How many CPUs' time the cgroup grants, if it is limited.
    pub fn cpu_quota(&self) -> Option<f64> {
        let v2 = self.cgroup_values("", "cpu.max").into_iter().filter_map(|text| {
            let (quota, period) = text.split_once(' ')?;
            Some(quota.parse::<f64>().ok()? / period.trim().parse::<f64>().ok()?)
        });
        let quotas = self.cgroup_values("cpu", "cpu.cfs_quota_us");
        let periods = self.cgroup_values("cpu", "cpu.cfs_period_us");
        let v1 = quotas.iter().zip(&periods).filter_map(|(quota, period)| {
            let quota = quota.parse::<f64>().ok().filter(|&quota| quota > 0.0)?;
            Some(quota / period.parse::<f64>().ok()?)
        });
        v2.chain(v1).filter(|quota| quota.is_finite() && *quota > 0.0).reduce(f64::min)
    }

    /// The memory that this process may use: RAM, or the cgroup's limit if that is lower. In bytes.
    pub fn memory_bytes(&self) -> u64 {
        let meminfo = self.read("proc/meminfo").unwrap_or_default();
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let ram = total.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        let v2 = self.cgroup_values("", "memory.max");
        let v1 = self.cgroup_values("memory", "memory.limit_in_bytes");
        let limits = v2.iter().chain(&v1).filter_map(|text| text.parse::<u64>().ok());
        limits.chain(ram.map(|kib| kib * 1024)).min().unwrap_or(1 << 30)
    }

    /// How many files this process may open at most (the hard limit); `None` if there is no limit.
    pub fn open_files(&self) -> Option<usize> {
        let limits = self.read("proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    /// The values of a control file from this process's cgroup up to the root. `controller` is empty for version 2.
    fn cgroup_values(&self, controller: &str, file: &str) -> Vec<String> {
        let membership = self.read("proc/self/cgroup").unwrap_or_default();
        let group = membership.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            controllers
                .split(',')
                .any(|name| name == controller)
                .then(|| path.trim_start_matches('/').to_owned())
        });
        let base = Path::new("sys/fs/cgroup").join(controller);
        let mut groups: Vec<PathBuf> = vec![base.clone()];
        if let Some(group) = group {
            let inside = Path::new(&group).ancestors().filter(|path| !path.as_os_str().is_empty());
            groups.extend(inside.map(|path| base.join(path)));
        }
        groups.iter().filter_map(|group| Some(self.read(group.join(file))?.trim().to_owned())).collect()
    }
}

/// Reads a list of CPUs such as `0-3,8`.
pub fn parse_cpu_list(text: &str) -> Result<Vec<usize>, String> {
    const CPUS_MAX: usize = 4096;
    let wrong = || format!("{text:?} is no list of CPUs; write numbers and ranges, such as 0-3,8");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last >= CPUS_MAX {
            return Err(wrong());
        }
        if let Some(twice) = (first..=last).find(|cpu| cpus.contains(cpu)) {
            return Err(format!("{text:?} names CPU {twice} twice; name each once"));
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

/// Names CPUs as [`parse_cpu_list`] reads them.
pub fn cpu_list(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    const STATUS: (&str, &str) = ("proc/self/status", "Name:\tkvd\nCpus_allowed_list:\t0-2,7\n");
    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 1 kB\n");

    #[test]
    fn cpus_come_from_the_affinity_mask() {
        let (_root, machine) = machine(&[STATUS]);
        assert_eq!(machine.cpus(), [0, 1, 2, 7]);
        assert!(machine.grants_all_cpus());
    }

    #[test]
    fn a_version_2_quota_of_a_parent_group_lowers_the_cpus() {
        let (_root, machine) = machine(&[
            STATUS,
            ("proc/self/cgroup", "0::/system/kvd\n"),
            ("sys/fs/cgroup/system/kvd/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/system/cpu.max", "250000 100000\n"),
        ]);
        assert_eq!(machine.cpu_quota(), Some(2.5));
        assert_eq!(machine.cpus(), [0, 1]);
        assert!(!machine.grants_all_cpus());
    }

    #[test]
    fn a_version_1_quota_below_one_cpu_still_leaves_one() {
        let (_root, machine) = machine(&[
            STATUS,
            ("proc/self/cgroup", "4:cpu,cpuacct:/box\n3:memory:/box\n"),
            ("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(machine.cpus(), [0]);
    }

    #[test]
    fn memory_is_the_lower_of_ram_and_the_cgroups_limit() {
        let (_root, unlimited) = machine(&[MEMINFO, ("proc/self/cgroup", "0::/\n")]);
        assert_eq!(unlimited.memory_bytes(), 16_000_000 * 1024);
        let (_root, limited) =
            machine(&[MEMINFO, ("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "1000000\n")]);
        assert_eq!(limited.memory_bytes(), 1_000_000);
    }

    #[test]
    fn open_files_are_the_hard_limit() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 4096                 files\n";
        let (_root, limited) = machine(&[("proc/self/limits", limits)]);
        assert_eq!(limited.open_files(), Some(4096));
        let (_root, unlimited) = machine(&[("proc/self/limits", &limits.replace("4096", "unlimited"))]);
        assert_eq!(unlimited.open_files(), None);
    }

    #[test]
    fn a_list_of_cpus_names_each_once() {
        assert_eq!(parse_cpu_list("0-3,8"), Ok(vec![0, 1, 2, 3, 8]));
        for wrong in ["0,0", "0-3,8,2", "", "a", "3-1", "1,,2", "99999"] {
            assert!(parse_cpu_list(wrong).is_err(), "{wrong}");
        }
    }
}
