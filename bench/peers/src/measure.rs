//! Samples, and the table of their medians.

use crate::engines::Peer;
use crate::work::Work;
use std::collections::HashMap;
use std::fmt;
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

/// Medians by work and peer.
pub struct Table {
    peers: Vec<Peer>,
    rows: Vec<Work>,
    samples: HashMap<(Work, Peer), Vec<Sample>>,
}

impl Table {
    pub fn new(peers: &[Peer]) -> Table {
        Table { peers: peers.to_vec(), rows: Vec::new(), samples: HashMap::new() }
    }

    pub fn add(&mut self, work: Work, peer: Peer, sample: Sample) {
        if !self.rows.contains(&work) {
            self.rows.push(work);
        }
        self.samples.entry((work, peer)).or_default().push(sample);
    }

    fn median(&self, work: Work, peer: Peer, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.get(&(work, peer))?.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {:<12} |", "work")?;
        for peer in &self.peers {
            write!(f, " {:>32} |", format!("{peer}: kops/s, CPU us, slowest ms"))?;
        }
        writeln!(f, " {:>20} |", "first / second")?;
        writeln!(f, "|{:-<14}|{}{:-<22}|", "", format!("{:-<34}|", "").repeat(self.peers.len()), "")?;
        for &work in &self.rows {
            write!(f, "| {:<12} |", work.to_string())?;
            let kops = |peer: &Peer| self.median(work, *peer, |sample| sample.kops);
            for peer in &self.peers {
                let cell = kops(peer).map(|kops| {
                    let cpu = self.median(work, *peer, |sample| sample.cpu_us).unwrap_or_default();
                    let slowest = self.median(work, *peer, |sample| sample.slowest_ms).unwrap_or_default();
                    format!("{kops:.1}, {cpu:.2}, {slowest:.1}")
                });
                write!(f, " {:>32} |", cell.unwrap_or_else(|| "-".into()))?;
            }
            let ratio = match (self.peers.first().and_then(kops), self.peers.get(1).and_then(kops)) {
                (Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs),
                _ => "-".into(),
            };
            writeln!(f, " {ratio:>20} |")?;
        }
        Ok(())
    }
}
