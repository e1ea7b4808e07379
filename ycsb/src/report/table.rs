//! One table for several runs.

use std::fmt::Write;

use super::figures::{latency, number};
use super::summary::Summary;

const COLUMNS: usize = 6;

/// Writes a row for each kind of request of each run, and one for all of them where there are several. Writing to a
/// `String` can't fail, so results are dropped.
pub fn write(summaries: &[Summary]) -> String {
    let mut text = String::new();
    let heads = ["operations/s", "p50 us", "p95 us", "p99 us", "p99.9 us", "p99.99 us", "max us"];
    let _ = write!(text, "{:<10}{:<24}", "", "");
    for head in heads {
        let _ = write!(text, "{head:>13}");
    }
    text.push('\n');
    for summary in summaries {
        let mut name = format!("{} {}", summary.command, summary.workload);
        if summary.kinds.len() != 1 {
            // Latencies of requests of several kinds have no percentiles that mean anything.
            let none = format!("{:>13}", "-").repeat(COLUMNS);
            let _ = writeln!(text, "{name:<10}{:<24}{:>13}{none}", "all", number(summary.throughput));
            name.clear();
        }
        for kind in &summary.kinds {
            let rate = kind.operations as f64 / summary.run_time_ms * 1000.0;
            let _ = write!(text, "{name:<10}{:<24}{:>13}", kind.name, number(rate));
            name.clear();
            for us in [kind.p50_us, kind.p95_us, kind.p99_us, kind.p999_us, kind.p9999_us, kind.max_us] {
                let _ = write!(text, "{:>13}", latency(us));
            }
            text.push('\n');
        }
    }
    text
}
