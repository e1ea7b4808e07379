//! The table at the end.

use super::director::Row;
use super::hostile::Attack;
use super::stage::Stage;
use super::verdict::Verdict;
use std::collections::BTreeMap;

/// Answers of an attack that are printed, the most frequent first.
const ANSWERS_MAX: usize = 6;

/// Prints everything.
pub fn print(rows: &BTreeMap<&'static str, Row>, stage: &Stage, verdict: &Verdict) {
    println!(
        "{:<20} {:>6} {:>12} {:>10} {:>10} {:>10} {:>8} {:>6}",
        "attack", "rounds", "connections", "sent", "received", "RssAnon", "honest", "late"
    );
    for (name, row) in rows {
        println!(
            "{name:<20} {:>6} {:>12} {:>10} {:>10} {:>10} {:>8} {:>6}",
            row.rounds,
            row.connections,
            bytes(row.sent_bytes),
            bytes(row.received_bytes),
            bytes(row.peak_kib << 10),
            row.honest.all,
            row.honest.late,
        );
        print_counts(&row.answers, ANSWERS_MAX);
    }
    let seen = stage.honest.seen();
    for (what, counts) in
        [("refused to the honest", &seen.refusals), ("honest connections lost", &seen.losses)]
    {
        let total: u64 = counts.values().sum();
        println!("{what}: {total}");
        print_counts(counts, usize::MAX);
    }
    println!("the slowest, from when they were sent to when they were answered:");
    for slow in &seen.slowest {
        let (took, at) =
            (slow.took.as_secs_f64() * 1e3, slow.ended.duration_since(stage.began).as_secs_f64());
        println!("    {took:>8.1} ms {:<4} {at:>6.1} s after the beginning", slow.what);
    }
    verdict.measured.iter().for_each(|line| println!("{line}"));
    if !verdict.broken.is_empty() {
        println!("kvd's last lines:");
        stage.log.last_lines().iter().for_each(|line| println!("    {line}"));
    }
}

/// Names the attacks that the time wasn't enough for.
pub fn print_left_out(attacks: &[&Attack], rows: &BTreeMap<&'static str, Row>) {
    let names: Vec<_> =
        attacks.iter().map(|attack| attack.name).filter(|name| !rows.contains_key(name)).collect();
    if !names.is_empty() {
        println!("not come to: {}", names.join(", "));
    }
}

fn print_counts(counts: &BTreeMap<String, u64>, most: usize) {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (text, count) in counts.into_iter().take(most) {
        println!("    {count:>6} x {text}");
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
