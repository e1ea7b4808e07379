//! Clear errors for what the system may refuse: one line that names the limit and the remedy.

use super::syscalls;
use std::io;

/// What glommio needs locked at least, in bytes.
const MEMLOCK_MIN: u64 = 512 << 10;

/// Descriptors that a shard's background thread takes for its rings, counters and directory.
const BACKGROUND_FILES: usize = 24;
/// Files that its jobs have open at a time: the tables that merges read and write, besides the log and the manifest.
const JOB_FILES: usize = 128;

/// How many files a shard may have open at a time, at most: those that its driver keeps open, its background thread's
/// and its jobs'.
pub const FILES_PER_SHARD: usize = super::files::ALIVE_MAX + BACKGROUND_FILES + JOB_FILES;

/// Says why a ring or an executor couldn't be made.
pub(super) fn explain(what: &str, error: &io::Error) -> String {
    match syscalls::memlock_limit() {
        Ok(limit) if limit < MEMLOCK_MIN => format!(
            "can't make {what}: the limit on locked memory is {} KiB, {} KiB are needed; \
             raise it with `ulimit -l 8192` or LimitMEMLOCK=",
            limit >> 10,
            MEMLOCK_MIN >> 10
        ),
        _ => format!("can't make {what}: {error}; {}", remedy(error)),
    }
}

fn remedy(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no io_uring: use Linux 6.1 or later".to_owned(),
        Some(libc::EPERM) => denied(),
        Some(libc::EINVAL) => "this kernel's io_uring is too old: use Linux 6.1 or later".to_owned(),
        Some(libc::ENOMEM) => {
            "memory is short, or the limit on locked memory is used up: raise it with `ulimit -l` or LimitMEMLOCK="
                .to_owned()
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "too many files are open: raise the limit with `ulimit -n` or LimitNOFILE=".to_owned()
        }
        Some(libc::EAGAIN) => "too many threads: raise the limit with `ulimit -u` or TasksMax=".to_owned(),
        _ => "see the log of the kernel (dmesg)".to_owned(),
    }
}

fn denied() -> String {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match disabled.trim() {
        "" | "0" => {
            "io_uring is forbidden by a seccomp filter (as in many containers): allow io_uring_setup, \
                     io_uring_enter and io_uring_register, for example with --security-opt seccomp=unconfined"
                .to_owned()
        }
        level => format!(
            "io_uring is disabled by kernel.io_uring_disabled={level}: set it to 0 with `sysctl -w kernel.io_uring_disabled=0`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_comes_with_a_remedy_on_the_same_line() {
        let cases = [(libc::ENOSYS, "Linux 6.1"), (libc::EMFILE, "ulimit -n"), (libc::ENOMEM, "ulimit -l")];
        for (errno, remedy) in cases {
            let text = explain("an io_uring", &io::Error::from_raw_os_error(errno));
            assert!(text.contains(remedy), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }
}
