//! The table of medians.

use crate::engines::Peer;
use crate::measure::{Footprint, Sample};
use crate::work::Work;
use std::collections::HashMap;
use std::fmt;

/// Medians by work and peer.
pub struct Table {
    peers: Vec<Peer>,
    rows: Vec<Work>,
    samples: HashMap<(Work, Peer), Vec<Sample>>,
    footprints: HashMap<Peer, Footprint>,
}

impl Table {
    pub fn new(peers: &[Peer]) -> Table {
        Table { peers: peers.to_vec(), rows: Vec::new(), samples: HashMap::new(), footprints: HashMap::new() }
    }

    pub fn add(&mut self, work: Work, peer: Peer, sample: Sample) {
        if !self.rows.contains(&work) {
            self.rows.push(work);
        }
        self.samples.entry((work, peer)).or_default().push(sample);
    }

    pub fn loaded(&mut self, peer: Peer, footprint: Footprint) {
        self.footprints.insert(peer, footprint);
    }

    fn median(&self, work: Work, peer: Peer, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let mut values: Vec<f64> = self.samples.get(&(work, peer))?.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |work, peer| {
            let median = |of: fn(&Sample) -> f64| self.median(work, peer, of);
            let (kops, cpu_us) = (median(|sample| sample.kops)?, median(|sample| sample.cpu_us)?);
            let slowest_ms = median(|sample| sample.slowest_ms)?;
            Some(format!("{kops:.1}, {cpu_us:.2}, {slowest_ms:.1}"))
        };
        writeln!(
            f,
            "kops/s, CPU us an operation (of the whole process, background included), slowest ms:\n"
        )?;
        self.head(f)?;
        for &work in &self.rows {
            self.row(f, &work.to_string(), |peer| cell(work, peer))?;
        }
        let Some(&first) = self.peers.first() else { return Ok(()) };
        writeln!(f, "\nkops/s of {first} against the others':\n")?;
        self.head(f)?;
        for &work in &self.rows {
            let kops = |peer| self.median(work, peer, |sample| sample.kops);
            self.row(f, &work.to_string(), |peer| Some(format!("{:.2}", kops(first)? / kops(peer)?)))?;
        }
        if self.footprints.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nThe load until it has settled; per byte means per byte of keys and values:\n")?;
        self.head(f)?;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, of: fn(&Footprint) -> f64, digits| {
            self.row(f, name, |peer| Some(format!("{:.digits$}", of(self.footprints.get(&peer)?))))
        };
        row(f, "anonymous MB", |each| each.anonymous_mb, 0)?;
        row(f, "resident MB", |each| each.resident_mb, 0)?;
        row(f, "written/byte", |each| each.written, 2)?;
        row(f, "on disk/byte", |each| each.on_disk, 2)
    }
}

impl Table {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row(f, "", |peer| Some(peer.to_string()))?;
        writeln!(f, "|{:-<14}|{}", "", format!("{:-<22}|", "").repeat(self.peers.len()))
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        cell: impl Fn(Peer) -> Option<String>,
    ) -> fmt::Result {
        write!(f, "| {name:<12} |")?;
        for &peer in &self.peers {
            write!(f, " {:>20} |", cell(peer).unwrap_or_else(|| "-".into()))?;
        }
        writeln!(f)
    }
}
