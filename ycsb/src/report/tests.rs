use super::*;
use crate::measure::{Recorder, Status, Timeline};
use crate::run::{AWAY_MAX, Measured, Outages, Pacing, Settings};
use crate::workload::{Kind, Workload, named};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn summary() -> Summary {
    summary_of(Pacing::Open(1000.0), 3, |_| true)
}

/// A run of so many seconds with an operation a millisecond, answered in those seconds that `is_there` tells.
fn summary_of(pacing: Pacing, seconds: u64, is_there: fn(u64) -> bool) -> Summary {
    let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
    let mut recorder = Recorder::new(start, timeline.clone());
    let mut since_ms = None;
    for at in 0..1000 * seconds {
        let now = start + Duration::from_millis(at);
        if !is_there(at / 1000) {
            since_ms.get_or_insert(at);
            continue;
        }
        let waited = since_ms.take().map_or(Duration::ZERO, |since| Duration::from_millis(at - since));
        let status = if at % 1000 == 0 { Status::NotFound } else { Status::Ok };
        recorder.operation(Kind::Read, waited + Duration::from_micros(100 + at % 100), status, now);
    }
    recorder.finish();
    let run_time = Duration::from_secs(seconds);
    let first_failure = Some("ERR <no>".to_owned());
    let outages = Outages { breaks: 2, longest: Duration::from_millis(1500) };
    let measured =
        Measured { recorder, run_time, seconds: timeline.seconds(), outages, first_failure, error: None };
    let workload = Workload::new("c", &named("c").unwrap()).unwrap();
    let settings = Settings {
        threads: 1,
        connections: 2,
        depth: 3,
        operations: 3000,
        duration: None,
        pacing,
        seed: 1,
        away_max: AWAY_MAX,
    };
    let target = vec!["127.0.0.1:1".to_owned()];
    Summary::new(&Context { command: "run", workload: &workload, db: "resp", target, settings }, &measured)
}

#[test]
fn the_json_has_percentiles_and_a_timeline_and_says_which_loop() {
    let json: serde_json::Value = serde_json::from_str(&summary().write(Form::Json)).unwrap();
    assert_eq!((&json["operations"], &json["throughput"]), (&3000.into(), &1000.0.into()));
    assert_eq!(json["loop"], "open loop of 1000 operations/s, latency from the scheduled time");
    assert_eq!(json["kinds"][0]["name"], "READ");
    assert_eq!(json["kinds"][1]["returns"]["NOT_FOUND"], 3);
    let p50 = json["kinds"][0]["p50_us"].as_f64().unwrap();
    assert!((149.0..151.0).contains(&p50), "{p50}");
    assert_eq!(json["timeline"].as_array().unwrap().len(), 3);
    assert_eq!(json["timeline"][1]["operations"], 1000);
    assert!(json["kinds"][0]["p9999_us"].is_f64() && json["timeline"][1]["max_us"].is_f64());
    assert_eq!((&json["connections_broken"], &json["away_ms_max"]), (&2.into(), &1500.0.into()));
}

#[test]
fn ycsb_lines_are_spelled_as_its_tools_expect() {
    let text = summary().write(Form::Ycsb);
    for line in [
        "[OVERALL], RunTime(ms), 3000",
        "[OVERALL], Throughput(ops/sec), 1000",
        "[READ], Operations, 2997",
        "[READ], 99thPercentileLatency(us), 199",
        "[READ], Return=OK, 2997",
        "[READ-FAILED], Return=NOT_FOUND, 3",
    ] {
        assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_text_has_a_row_for_each_kind_and_the_first_failure() {
    let text = summary().write(Form::Text);
    assert!(text.contains("3,000 operations in 3.00 s: 1,000 operations/s"), "{text}");
    assert!(text.contains("\nREAD                           2,997"), "{text}");
    assert!(text.contains("\n2 connections broke; the longest was away for 1.50 s"), "{text}");
    assert!(text.contains("NOT_FOUND 3") && text.contains("the first failure: ERR <no>"), "{text}");
}

#[test]
fn a_rate_that_was_not_kept_is_told_in_every_report() {
    let summary = summary_of(Pacing::Open(4000.0), 3, |_| true);
    let text = summary.write(Form::Text);
    let told = "the rate wasn't kept: 4,000 operations/s asked for, 1,000 reached; latencies hold the wait";
    assert!(text.contains(told), "{text}");
    let json: serde_json::Value = serde_json::from_str(&summary.write(Form::Json)).unwrap();
    let rate = &json["rate"];
    assert_eq!(
        (&rate["asked"], &rate["reached"], &rate["was_kept"]),
        (&4000.0.into(), &1000.0.into(), &false.into())
    );
    let ycsb = summary.write(Form::Ycsb);
    assert!(
        ycsb.contains("[OVERALL], TargetThroughput(ops/sec), 4000\n[OVERALL], TargetReached, false\n"),
        "{ycsb}"
    );
    assert!(summary.svg().contains("the rate wasn't kept"));
    let throttled = summary_of(Pacing::Throttled(4000.0), 3, |_| true).write(Form::Text);
    assert!(throttled.contains("latencies count from sending"), "{throttled}");
}

#[test]
fn a_rate_that_was_kept_needs_no_words() {
    let kept = summary();
    assert!(!kept.write(Form::Text).contains("the rate") && !kept.svg().contains("the rate"));
    assert!(kept.write(Form::Ycsb).contains("[OVERALL], TargetReached, true\n"));
    let closed = summary_of(Pacing::Closed, 3, |_| true);
    assert!(closed.rate.is_none() && !closed.write(Form::Ycsb).contains("Target"));
}

#[test]
fn a_run_of_a_second_is_drawn() {
    let svg = summary_of(Pacing::Closed, 1, |_| true).svg();
    assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (0, 5), "{svg}");
}

#[test]
fn while_the_server_is_away_latencies_have_a_gap_and_the_wait_is_drawn() {
    let there = summary_of(Pacing::Closed, 12, |_| true).svg();
    assert!(!there.contains("no answer") && !there.contains("waiting"));
    let summary = summary_of(Pacing::Closed, 12, |second| !(4..7).contains(&second));
    let waits: Vec<_> = summary.timeline.iter().map(|second| second.waiting_us as u64 / 1_000_000).collect();
    assert_eq!(waits[3..8], [0, 1, 2, 3, 0]);
    let svg = summary.svg();
    assert_eq!(
        svg.matches("class=\"away\"").count(),
        2 * 3,
        "three seconds are marked in both panels: {svg}"
    );
    assert!(svg.contains(">no answer<") && svg.contains(">waiting us<"), "{svg}");
    let [p50] = svg.lines().filter(|line| line.contains("#2b8a3e")).collect::<Vec<_>>()[..] else {
        panic!("{svg}")
    };
    assert_eq!(p50.matches("<polyline").count(), 2, "a gap splits the line: {p50}");
    let json: serde_json::Value = serde_json::from_str(&summary.write(Form::Json)).unwrap();
    assert!(json["timeline"][5]["p99_us"].is_null() && json["timeline"][5]["waiting_us"].is_f64());
}

#[test]
fn the_picture_has_lines_for_throughput_failures_and_three_latencies() {
    let svg = summary().svg();
    assert_eq!(svg.matches("<polyline").count(), 5);
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
}
