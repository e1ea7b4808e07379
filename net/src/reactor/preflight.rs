//! Whether this machine lets a reactor run, asked before anything is started.

use super::ring::{Ring, Wait};
use super::syscalls;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The oldest kernel with everything the reactor uses.
const KERNEL_MIN: (u32, u32) = (6, 1);
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;
const OPEN_FILES_MIN: u64 = 1024;
const NO_LIMIT: u64 = u64::MAX;

/// Something that keeps the server from running here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
        Problem { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Checks the kernel, io_uring, limits, and that `dir` (or, if it doesn't exist, the directory it would be
/// made in) can be written to. Empty if all is well.
pub fn preflight(dir: &Path) -> Vec<Problem> {
    let ring = Ring::new(8, 0).and_then(|mut ring| {
        ring.start()?;
        ring.enter(Wait::No)
    });
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let checks = [
        syscalls::kernel_release().ok().and_then(|release| check_kernel(&release)),
        ring.err().map(|error| check_ring(&error, sysctl.trim())),
        syscalls::limits(libc::RLIMIT_MEMLOCK).ok().and_then(|(soft, _)| check_memlock(soft)),
        syscalls::limits(libc::RLIMIT_NOFILE).ok().and_then(|(_, hard)| check_open_files(hard)),
        check_directory(dir),
    ];
    checks.into_iter().flatten().collect()
}

/// Lets this process open as many files as it may at most (the hard limit), and says how many that are.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = syscalls::limits(libc::RLIMIT_NOFILE)?;
    syscalls::raise_open_files(hard)?;
    Ok(hard)
}

/// An error of setting up a ring, with its cause and remedy.
pub(super) fn explain_ring_error(error: io::Error) -> io::Error {
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    io::Error::new(error.kind(), check_ring(&error, sysctl.trim()).to_string())
}

fn check_kernel(release: &str) -> Option<Problem> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (version < KERNEL_MIN).then(|| {
        let (major, minor) = KERNEL_MIN;
        Problem::new(
            format!("the kernel is {release}, and {major}.{minor} or newer is needed"),
            "boot a newer kernel",
        )
    })
}

fn check_ring(error: &io::Error, disabled: &str) -> Problem {
    let forbidden = matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES));
    match (error.raw_os_error(), disabled) {
        (_, "2") => Problem::new(
            "io_uring is switched off (kernel.io_uring_disabled = 2)",
            "run: sysctl -w kernel.io_uring_disabled=0",
        ),
        (_, "1") if forbidden => Problem::new(
            "io_uring is for privileged processes only (kernel.io_uring_disabled = 1)",
            "run: sysctl -w kernel.io_uring_disabled=0, or put the user into the group kernel.io_uring_group",
        ),
        _ if forbidden => Problem::new(
            "io_uring is forbidden here, most likely by a container's seccomp profile",
            "allow io_uring_setup, io_uring_enter and io_uring_register (Docker: --security-opt seccomp=unconfined or a profile of your own)",
        ),
        (Some(libc::ENOSYS), _) => Problem::new(
            "this kernel has no io_uring, or a sandbox hides it",
            "use a kernel with CONFIG_IO_URING, outside of the sandbox",
        ),
        (Some(libc::EINVAL), _) => {
            Problem::new("this kernel's io_uring lacks what the reactor needs", "boot kernel 6.1 or newer")
        }
        (Some(libc::ENOMEM), _) => Problem::new(
            "the kernel has no memory for an io_uring",
            "raise the memlock limit (ulimit -l, LimitMEMLOCK=) or free memory",
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => Problem::new(
            "too many files are open",
            "raise the limit of open files (ulimit -n, LimitNOFILE=) or allow fewer connections",
        ),
        _ => Problem::new(format!("io_uring can't be set up: {error}"), "see the kernel's log (dmesg)"),
    }
}

fn check_memlock(soft: u64) -> Option<Problem> {
    (soft != NO_LIMIT && soft < MEMLOCK_BYTES_MIN).then(|| {
        Problem::new(
            format!("only {} KiB of memory may be locked, and 512 KiB are needed", soft >> 10),
            "run: ulimit -l 512, or set LimitMEMLOCK=512K in the unit (Docker: --ulimit memlock=524288)",
        )
    })
}

fn check_open_files(hard: u64) -> Option<Problem> {
    (hard < OPEN_FILES_MIN).then(|| {
        Problem::new(
            format!("only {hard} files may be open, and {OPEN_FILES_MIN} are needed"),
            "run: ulimit -Hn 65536, or set LimitNOFILE=65536 in the unit",
        )
    })
}

fn check_directory(dir: &Path) -> Option<Problem> {
    let existing = dir.ancestors().find(|dir| dir.exists()).filter(|dir| !dir.as_os_str().is_empty());
    let existing = existing.unwrap_or(Path::new("."));
    let shown = existing.display();
    if !existing.is_dir() {
        return Some(Problem::new(format!("{shown} is not a directory"), "choose another --dir"));
    }
    let probe = existing.join(format!(".pinion-preflight-{}", std::process::id()));
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(true).mode(0o600).open(&probe);
    let written =
        made.and_then(|mut file| file.write_all(b"pinion")).and_then(|()| std::fs::remove_file(&probe));
    let error = written.err()?;
    // Of a full disk the empty file may be left.
    let _ = std::fs::remove_file(&probe);
    // Without room a store can still be read; what needs some says so itself.
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    (!is_full).then(|| {
        Problem::new(format!("{shown} can't be written to: {error}"), unwritable_remedy(existing, &error))
    })
}

/// What to do about a directory that can't be written to.
fn unwritable_remedy(dir: &Path, error: &io::Error) -> String {
    let uid = |path: &Path| std::fs::metadata(path).map_or(u32::MAX, |of| of.uid());
    let (mine, owner, shown) = (uid(Path::new("/proc/self")), uid(dir), dir.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "this process runs as user {mine} and the directory belongs to user {owner}: run `chown -R {mine} {shown}`, \
             start as user {owner}, or choose another --dir"
        ),
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only: run `mount -o remount,rw` on it, or choose another --dir"
                .to_owned()
        }
        _ => "fix its owner or mode, or choose another --dir".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_user_is_refused_with_the_user_and_the_command() {
        let denied = io::ErrorKind::PermissionDenied.into();
        let remedy = unwritable_remedy(Path::new("/proc/self"), &denied);
        assert!(remedy.contains("runs as user") && remedy.contains("chown -R"), "{remedy}");
        assert!(
            unwritable_remedy(Path::new("/"), &io::ErrorKind::ReadOnlyFilesystem.into()).contains("remount")
        );
    }

    #[test]
    fn kernels_before_6_1_are_named() {
        for old in ["5.15.0-91-generic", "6.0.19", "4.4"] {
            assert!(check_kernel(old).unwrap().to_string().contains(old));
        }
        for new in ["6.1.0-13-amd64", "6.18.44", "7.0-rc1", "10.2"] {
            assert_eq!(check_kernel(new), None);
        }
    }

    #[test]
    fn a_forbidden_ring_is_explained_by_its_cause() {
        let forbidden = io::Error::from_raw_os_error(libc::EPERM);
        assert!(check_ring(&forbidden, "2").what.contains("switched off"));
        assert!(check_ring(&forbidden, "1").remedy.contains("io_uring_group"));
        assert!(check_ring(&forbidden, "0").what.contains("seccomp"));
        let hidden = io::Error::from_raw_os_error(libc::ENOSYS);
        assert!(check_ring(&hidden, "").what.contains("sandbox"));
    }

    #[test]
    fn low_limits_are_named_and_no_limit_is_none() {
        assert!(check_memlock(64 << 10).unwrap().what.contains("64 KiB"));
        assert_eq!(check_memlock(NO_LIMIT), None);
        assert!(check_open_files(256).unwrap().what.contains("256"));
        assert_eq!(check_open_files(1 << 20), None);
    }

    #[test]
    fn a_directory_that_does_not_exist_yet_is_fine_below_a_writable_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(check_directory(&dir.path().join("a/b")), None);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        std::fs::write(dir.path().join("file"), b"").unwrap();
        assert!(check_directory(&dir.path().join("file/x")).unwrap().what.contains("not a directory"));
    }
}
