//! A table for people.

use std::fmt::Write;

use super::figures::{latency, number};
use super::summary::Summary;

/// Writes the report. Writing to a `String` can't fail, so results are dropped.
pub(super) fn write(summary: &Summary) -> String {
    let mut text = String::new();
    let Summary { command, workload, db, threads, connections, depth, .. } = summary;
    let target = match summary.target.is_empty() {
        true => String::new(),
        false => format!(" at {}", summary.target.join(",")),
    };
    let _ = writeln!(text, "{command} of workload {workload} on {db}{target}");
    let _ = writeln!(
        text,
        "{}, {}, {depth} in flight on each; {}",
        count(*threads, "thread"),
        count(*connections, "connection"),
        summary.pacing
    );
    let _ = writeln!(
        text,
        "{} records of {} of {} bytes; {} requests; seed {}\n",
        number(summary.record_count as f64),
        count(summary.field_count, "field"),
        summary.field_length,
        summary.request_distribution,
        summary.seed
    );
    let _ = writeln!(
        text,
        "{} operations in {:.2} s: {} operations/s",
        number(summary.operations as f64),
        summary.run_time_ms / 1000.0,
        number(summary.throughput)
    );
    if let Some(complaint) = summary.rate.and_then(|rate| rate.complaint()) {
        let _ = writeln!(text, "{complaint}");
    }
    text.push('\n');
    let heads = ["operations", "mean us", "p50", "p95", "p99", "p99.9", "p99.99", "max us"];
    let _ = write!(text, "{:<24}", "");
    for head in heads {
        let _ = write!(text, "{head:>12}");
    }
    text.push('\n');
    for kind in &summary.kinds {
        let _ = write!(text, "{:<24}{:>12}", kind.name, number(kind.operations as f64));
        let columns =
            [kind.mean_us, kind.p50_us, kind.p95_us, kind.p99_us, kind.p999_us, kind.p9999_us, kind.max_us];
        for us in columns {
            let _ = write!(text, "{:>12}", latency(us));
        }
        if kind.name.ends_with("-FAILED") {
            let returns: Vec<String> =
                kind.returns.iter().map(|(name, count)| format!("{name} {count}")).collect();
            let _ = write!(text, "  {}", returns.join(", "));
        }
        text.push('\n');
    }
    if summary.connections_broken > 0 {
        let _ = writeln!(
            text,
            "\n{} broke; the longest was away for {:.2} s. Operations under way then \
             are above: ERROR had no effect, UNKNOWN may have had.",
            count(summary.connections_broken as usize, "connection"),
            summary.away_ms_max / 1000.0
        );
    }
    if let Some(failure) = &summary.first_failure {
        let _ = writeln!(text, "\nthe first failure: {failure}");
    }
    if let Some(error) = &summary.error {
        let _ = writeln!(text, "\nended early: {error}");
    }
    text
}

/// What was run, how much and how fast.
pub(super) fn line(summary: &Summary) -> String {
    format!(
        "{} {}: {} operations in {:.1} s, {} operations/s",
        summary.command,
        summary.workload,
        number(summary.operations as f64),
        summary.run_time_ms / 1000.0,
        number(summary.throughput)
    )
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
