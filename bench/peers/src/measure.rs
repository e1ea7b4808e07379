//! What is measured: throughput, CPU, the slowest operation, memory, bytes written.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One store at one work in one round.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Thousand operations a second.
    pub kops: f64,
    /// CPU of the whole process per operation, background included, microseconds.
    pub cpu_us: f64,
    /// The slowest operation, milliseconds.
    pub slowest_ms: f64,
}

impl Sample {
    /// From the numbers of a child's line, of which there are at least three.
    pub fn read(numbers: &[f64]) -> Sample {
        Sample { kops: numbers[0], cpu_us: numbers[1], slowest_ms: numbers[2] }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kops, self.cpu_us, self.slowest_ms)
    }
}

/// What a load takes, settling included.
#[derive(Clone, Copy)]
pub struct Footprint {
    /// Anonymous memory at its highest, MB.
    pub anonymous_mb: f64,
    /// Resident memory at its highest, mapped files included, MB.
    pub resident_mb: f64,
    /// Bytes that the process caused to be written, for each byte of keys and values.
    pub written: f64,
    /// Bytes its files take on the disk, for each byte of keys and values.
    pub on_disk: f64,
}

impl Footprint {
    pub fn read(numbers: &[f64]) -> Option<Footprint> {
        let &[anonymous_mb, resident_mb, written, on_disk] = numbers else { return None };
        Some(Footprint { anonymous_mb, resident_mb, written, on_disk })
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.anonymous_mb, self.resident_mb, self.written, self.on_disk)
    }
}

/// Watches this process's memory and writes from its making to [`Watch::footprint`].
pub struct Watch {
    stop: Arc<AtomicBool>,
    anonymous_kb: Arc<AtomicU64>,
    thread: JoinHandle<()>,
    written: u64,
}

impl Watch {
    pub fn start() -> Watch {
        let (stop, anonymous_kb) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, most) = (stop.clone(), anonymous_kb.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                most.fetch_max(field("/proc/self/status", "RssAnon:"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Watch { stop, anonymous_kb, thread, written: field("/proc/self/io", "write_bytes:") }
    }

    pub fn footprint(self, user_bytes: u64, dir: &Path) -> crate::engines::Result<Footprint> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the watch panicked")?;
        let written = field("/proc/self/io", "write_bytes:") - self.written;
        Ok(Footprint {
            anonymous_mb: self.anonymous_kb.load(Ordering::Relaxed) as f64 / 1e3,
            resident_mb: field("/proc/self/status", "VmHWM:") as f64 / 1e3,
            written: written as f64 / user_bytes as f64,
            on_disk: disk_bytes(dir)? as f64 / user_bytes as f64,
        })
    }
}

/// A number from a file of /proc; 0 where the kernel doesn't tell.
fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn disk_bytes(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Measures from its making to [`Meter::sample`].
pub struct Meter {
    start: Instant,
    cpu: Duration,
}

impl Meter {
    pub fn start() -> Meter {
        Meter { start: Instant::now(), cpu: process_cpu() }
    }

    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn sample(&self, operations: u64, slowest: Duration) -> Sample {
        let cpu = process_cpu() - self.cpu;
        Sample {
            kops: operations as f64 / self.start.elapsed().as_secs_f64() / 1e3,
            cpu_us: cpu.as_secs_f64() * 1e6 / operations.max(1) as f64,
            slowest_ms: slowest.as_secs_f64() * 1e3,
        }
    }
}

fn process_cpu() -> Duration {
    // SAFETY: rusage is plain data, valid when zeroed, and getrusage only writes to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}
