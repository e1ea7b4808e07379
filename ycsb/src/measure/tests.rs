use super::*;

#[test]
fn seconds_hold_what_ended_in_them() {
    let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
    let mut recorder = Recorder::new(start, timeline.clone());
    for (at_ms, latency_us, status) in
        [(100, 10, Status::Ok), (900, 30, Status::Error), (2_500, 50, Status::Ok)]
    {
        let now = start + Duration::from_millis(at_ms);
        recorder.operation(Kind::Read, Duration::from_micros(latency_us), status, now);
    }
    recorder.finish();
    let seconds = timeline.seconds();
    let counts: Vec<_> = seconds.iter().map(|each| (each.second, each.operations, each.failed)).collect();
    assert_eq!(counts, [(0, 2, 1), (1, 0, 0), (2, 1, 0)]);
    assert_eq!(timeline.operations(), 3);
    // Each second has the slowest of its own; one without an end of anything has none.
    let slowest = |at: usize| seconds[at].max_us.map(f64::round);
    assert_eq!([slowest(0), slowest(1), slowest(2)], [Some(30.0), None, Some(50.0)]);
    assert_eq!(seconds[1].p99_us, None);
}

#[test]
fn the_slowest_of_a_second_is_not_the_slowest_until_then() {
    let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
    let mut recorder = Recorder::new(start, timeline.clone());
    for (at_ms, latency_us) in [(100, 9_000), (1_100, 10), (2_100, 20)] {
        let now = start + Duration::from_millis(at_ms);
        recorder.operation(Kind::Read, Duration::from_micros(latency_us), Status::Ok, now);
    }
    recorder.finish();
    let slowest: Vec<_> = timeline.seconds().iter().map(|second| second.max_us.unwrap().round()).collect();
    assert!((8_900.0..9_100.0).contains(&slowest[0]), "{slowest:?}");
    assert_eq!(slowest[1..], [10.0, 20.0]);
}

#[test]
fn while_nothing_is_answered_the_wait_grows() {
    let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
    let mut recorder = Recorder::new(start, timeline.clone());
    let mut end = |at_ms, latency_ms| {
        let now = start + Duration::from_millis(at_ms);
        recorder.operation(Kind::Read, Duration::from_millis(latency_ms), Status::Ok, now);
    };
    end(300, 1);
    end(5_200, 4_700);
    end(5_300, 4_900);
    end(5_400, 100);
    recorder.finish();
    let waits: Vec<_> = timeline.seconds().iter().map(|second| second.waiting_us / 1000.0).collect();
    assert_eq!(waits, [600.0, 1600.0, 2600.0, 3600.0, 4600.0, 0.0]);
}

#[test]
fn what_a_worker_hands_in_late_is_counted() {
    let (start, timeline) = (Instant::now(), Arc::new(Timeline::default()));
    let mut held = Recorder::new(start, timeline.clone());
    held.operation(Kind::Read, Duration::from_millis(5), Status::Ok, start + Duration::from_millis(10));
    let mut other = Recorder::new(start, timeline.clone());
    for second in 0..10 {
        other.operation(
            Kind::Read,
            Duration::from_micros(9),
            Status::Ok,
            start + Duration::from_secs(second),
        );
    }
    other.finish();
    held.operation(Kind::Read, Duration::from_secs(9), Status::Ok, start + Duration::from_millis(9_100));
    held.finish();
    let seconds = timeline.seconds();
    assert_eq!(seconds.iter().map(|second| second.operations).sum::<u64>(), 12);
    assert!(seconds[0].max_us.unwrap() > 4_900.0 && seconds[4].is_stalled());
}

#[test]
fn failures_have_a_histogram_of_their_own() {
    let mut recorder = Recorder::new(Instant::now(), Arc::default());
    recorder.part(Kind::Update, Duration::from_micros(5), Status::Ok);
    recorder.part(Kind::Update, Duration::from_micros(500), Status::NotFound);
    let mut sum = Recorder::new(Instant::now(), Arc::default());
    sum.add(&recorder);
    sum.add(&recorder);
    let series = sum.series(Kind::Update).unwrap();
    assert_eq!((series.succeeded.len(), series.failed.len(), series.statuses), (2, 2, [2, 2, 0, 0, 0]));
    assert!(sum.series(Kind::Read).is_none());
}

#[test]
fn a_long_run_keeps_only_a_few_seconds_open() {
    let timeline = Arc::new(Timeline::default());
    let start = Instant::now();
    let mut recorder = Recorder::new(start, timeline.clone());
    for second in 0..1000 {
        recorder.operation(
            Kind::Read,
            Duration::from_micros(1),
            Status::Ok,
            start + Duration::from_secs(second),
        );
    }
    assert!(timeline.open_seconds() <= timeline::OPEN_SECONDS);
    recorder.finish();
    assert_eq!(timeline.seconds().len(), 1000);
}
