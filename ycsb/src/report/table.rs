//! One table for several runs.

use std::fmt::Write;

use super::Summary;
use super::text::{latency, number};

/// Writes a row for each kind of request of each run. Writing to a `String` can't fail, so results are dropped.
pub fn write(summaries: &[Summary]) -> String {
    let mut text = String::new();
    let heads = ["operations/s", "p50 us", "p95 us", "p99 us", "p99.9 us", "p99.99 us", "max us"];
    let _ = write!(text, "{:<10}{:<24}", "", "");
    for head in heads {
        let _ = write!(text, "{head:>13}");
    }
    text.push('\n');
    for summary in summaries {
        let name = format!("{} {}", summary.command, summary.workload);
        let _ = writeln!(text, "{name:<10}{:<24}{:>13}", "all", number(summary.throughput));
        for kind in &summary.kinds {
            let rate = kind.operations as f64 / summary.run_time_ms * 1000.0;
            let _ = write!(text, "{:<10}{:<24}{:>13}", "", kind.name, number(rate));
            for us in [kind.p50_us, kind.p95_us, kind.p99_us, kind.p999_us, kind.p9999_us, kind.max_us] {
                let _ = write!(text, "{:>13}", latency(us));
            }
            text.push('\n');
        }
    }
    text
}
