//! The few system calls that std has no safe face for, each wrapped in one.

use std::fs::File;
use std::io::{Error, Result};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// How far the background thread stands back from the hot thread of its core.
const BACKGROUND_NICE: libc::c_int = 10;

/// Whether a directory lies in memory (tmpfs, ramfs), where O_DIRECT means nothing.
pub(super) fn is_in_memory(dir: &File) -> Result<bool> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the descriptor is open and `stat` has room for what the kernel writes.
    let stat = unsafe {
        check(libc::fstatfs(dir.as_raw_fd(), stat.as_mut_ptr()))?;
        stat.assume_init()
    };
    // The field's type differs between targets; the magic numbers fit 32 bits everywhere.
    let magic = stat.f_type as u32;
    Ok(magic == libc::TMPFS_MAGIC as u32 || magic == 0x8584_58f6)
}

/// Puts the calling thread, and threads that it starts, behind the hot thread: SCHED_BATCH, nice 10.
pub(super) fn stand_back() -> Result<()> {
    let no_priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread and the parameter outlives the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const no_priority) })?;
    // SAFETY: takes numbers only. On Linux 0 names the calling thread, not the whole process.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND_NICE) })
}

/// Pins the calling thread, and threads that it starts, to one CPU.
pub(super) fn pin_to_cpu(cpu: usize) -> Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a cpu_set_t is an array of words for which all zeroes is the empty set; `cpu` was
    // checked to lie inside it.
    let set = unsafe {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: 0 names the calling thread; the set is as large as the length says.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// How many bytes this process may lock in memory, `u64::MAX` for no limit.
pub(super) fn memlock_limit() -> Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit has room for what the kernel writes.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    Ok(limit.rlim_cur)
}

/// A new event counter, blocking to read.
pub(super) fn event_counter() -> Result<File> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    check(fd)?;
    // SAFETY: the descriptor was just made and nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// CLOCK_BOOTTIME, microseconds.
pub(super) fn boot_time_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time has room for what the kernel writes. A kernel that runs us has this clock, so it can't fail.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

fn check(result: libc::c_int) -> Result<()> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// Makes the C heap map every allocation of at least `bytes` by itself, so that freeing it gives it back to the system.
/// Without this, glibc learns from freed mappings to keep ever larger ones (up to 32 MiB) in its heaps.
#[cfg(target_env = "gnu")]
pub fn map_allocations_from(bytes: i32) {
    // SAFETY: mallopt only sets a parameter of the allocator, under the allocator's own lock. It fails for values
    // over its limit only, and then everything stays as it was.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) };
}

/// Other C libraries give large allocations back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn map_allocations_from(_: i32) {}

/// Gives back to the system what is free in the arenas of the C heap, under the lock of each.
#[cfg(target_env = "gnu")]
pub fn trim_heap() {
    // SAFETY: the allocator gives back only pages in which nothing is allocated.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries have no such call.
#[cfg(not(target_env = "gnu"))]
pub fn trim_heap() {}
