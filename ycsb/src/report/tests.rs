use super::*;
use crate::measure::{Recorder, Timeline};
use crate::run::{AWAY_MAX, Outages, Pacing};
use crate::workload::named;
use std::sync::Arc;
use std::time::Instant;

fn summary() -> Summary {
    let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
    let mut recorder = Recorder::new(start, timeline.clone());
    for at in 0..3000u64 {
        let (latency, now) = (Duration::from_micros(100 + at % 100), start + Duration::from_millis(at));
        let status = if at % 1000 == 0 { Status::NotFound } else { Status::Ok };
        recorder.operation(Kind::Read, latency, status, now);
    }
    recorder.finish();
    let run_time = Duration::from_secs(3);
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
        pacing: Pacing::Open(1000.0),
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
fn the_picture_has_lines_for_throughput_failures_and_three_latencies() {
    let svg = summary().svg();
    assert_eq!(svg.matches("<polyline").count(), 5);
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
}
