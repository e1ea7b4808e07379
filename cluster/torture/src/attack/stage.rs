//! What everybody in an attack shares: where the server is, how large the attacks are, and when to end.

use super::honest::Tally;
use super::log::Log;
use crate::kvd::Kvd;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where the server is.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub kv: SocketAddr,
    pub resp: SocketAddr,
    pub admin: SocketAddr,
}

impl Target {
    /// From the server's ready line.
    pub fn of(kvd: &Kvd) -> Result<Target, String> {
        let find = |name: &str| {
            let rest = kvd.ready.split(name).nth(1)?;
            rest.split([',', ' ']).next()?.to_socket_addrs().ok()?.next()
        };
        match (find("kv "), find("resp "), find("admin http://")) {
            (Some(kv), Some(resp), Some(admin)) => Ok(Target { kv, resp, admin }),
            _ => Err(format!("no addresses in {:?}", kvd.ready)),
        }
    }
}

/// How large the attacks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Full,
    /// For a machine with two cores that has other things to do.
    Short,
}

impl Size {
    /// One of two numbers.
    pub fn of<T>(self, full: T, short: T) -> T {
        if self == Size::Full { full } else { short }
    }
}

/// What goes on now.
const ATTACKING: u8 = 0;
const SETTLING: u8 = 1;
const OVER: u8 = 2;

/// Signals, each of which the server logs: more than the pipe of its log holds.
const LOG_SIGNALS: usize = 100;

/// See the module.
pub struct Stage {
    pub began: Instant,
    pub target: Target,
    pub size: Size,
    /// The server's `--connections-max`.
    pub connections_max: usize,
    /// Files that this process may open.
    pub files_max: usize,
    /// The largest value that the server takes; 0: nobody knows yet.
    pub value_bytes_max: AtomicUsize,
    pub honest: Tally,
    pub log: Log,
    /// The server's process, whose number may be another's when it has ended.
    process: OwnedFd,
    phase: AtomicU8,
    failed: AtomicBool,
    complaints: Mutex<Vec<String>>,
    /// The most memory since it was asked for last, KiB.
    peak_kib: AtomicU64,
}

impl Stage {
    pub fn new(kvd: &mut Kvd, size: Size, connections_max: usize, log: &Path) -> Result<Stage, String> {
        let stderr = kvd.stderr.take().ok_or("its log isn't piped")?;
        Ok(Stage {
            began: Instant::now(),
            target: Target::of(kvd)?,
            size,
            connections_max,
            files_max: raise_files_max(),
            value_bytes_max: AtomicUsize::new(0),
            honest: Tally::default(),
            log: Log::new(stderr, log)?,
            process: open_process(kvd.pid())?,
            phase: AtomicU8::new(ATTACKING),
            failed: AtomicBool::new(false),
            complaints: Mutex::default(),
            peak_kib: AtomicU64::new(0),
        })
    }

    /// Makes the server write more to its log than its pipe holds, while nobody reads it.
    pub fn fill_log(&self) {
        self.log.read(false);
        for _ in 0..LOG_SIGNALS {
            self.signal(libc::SIGHUP);
            // Signals that come at once count as one.
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Something is wrong that no honest client can see.
    pub fn complain(&self, what: String) {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// What was wrong so.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends the server a signal; nothing if it has ended.
    pub fn signal(&self, signal: i32) {
        let nothing = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open, and without details of the signal no memory is read.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.process.as_raw_fd(), signal, nothing, 0) };
    }

    /// The hostile clients are to leave.
    pub fn end_attacks(&self) {
        self.phase.fetch_max(SETTLING, Ordering::Relaxed);
    }

    /// Everybody is to leave.
    pub fn end(&self) {
        self.phase.fetch_max(OVER, Ordering::Relaxed);
    }

    /// Everybody is to leave, because nothing more can be learnt.
    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
        self.end();
    }

    pub fn is_attacked(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == ATTACKING
    }

    pub fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Takes note of the server's memory.
    pub fn saw_memory(&self, kib: u64) {
        self.peak_kib.fetch_max(kib, Ordering::Relaxed);
    }

    /// The most since it was asked for last, KiB.
    pub fn take_peak_kib(&self) -> u64 {
        self.peak_kib.swap(0, Ordering::Relaxed)
    }

    /// Lets time pass while the attack goes on.
    pub fn hold(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.is_attacked() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn open_process(pid: u32) -> Result<OwnedFd, String> {
    // SAFETY: pidfd_open takes and changes no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(format!("process {pid}: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: it was just opened, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Lets this process open as many files as it may; answers how many.
fn raise_files_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write this limit only.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}
