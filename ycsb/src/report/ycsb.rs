//! YCSB's own lines.

use std::fmt::Write;

use super::summary::Summary;

/// Writes the report. Writing to a `String` can't fail, so results are dropped.
pub(super) fn write(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "[OVERALL], RunTime(ms), {:.0}", summary.run_time_ms);
    let _ = writeln!(text, "[OVERALL], Throughput(ops/sec), {}", summary.throughput);
    if let Some(rate) = summary.rate {
        let _ = writeln!(text, "[OVERALL], TargetThroughput(ops/sec), {}", rate.asked);
        let _ = writeln!(text, "[OVERALL], TargetReached, {}", rate.was_kept);
    }
    for kind in &summary.kinds {
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "[{}], {name}, {value}", kind.name);
        };
        line("Operations", &kind.operations.to_string());
        line("AverageLatency(us)", &kind.mean_us.to_string());
        for (name, us) in [
            ("MinLatency(us)", kind.min_us),
            ("MaxLatency(us)", kind.max_us),
            ("50thPercentileLatency(us)", kind.p50_us),
            ("95thPercentileLatency(us)", kind.p95_us),
            ("99thPercentileLatency(us)", kind.p99_us),
            ("99.9PercentileLatency(us)", kind.p999_us),
            ("99.99PercentileLatency(us)", kind.p9999_us),
        ] {
            line(name, &format!("{us:.0}"));
        }
        kind.returns.iter().for_each(|(status, count)| line(&format!("Return={status}"), &count.to_string()));
    }
    text
}
