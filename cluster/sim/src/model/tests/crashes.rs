//! Crashes, lost connections, and writes whose outcome nobody knows.

use super::super::Loss;
use super::*;

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.crash(vec![]).unwrap();
    story.sees(&["a"], &["-"]).unwrap_err();
}

#[test]
fn what_was_deleted_stays_deleted() {
    let mut story = Story::new();
    story.has_put("a", "1");
    let delete = story.delete(1, "a");
    story.tell(delete, ok()).unwrap();
    story.crash(vec![]).unwrap();
    story.sees(&["a"], &["1"]).unwrap_err();
}

#[test]
fn what_was_open_is_there_or_not_and_then_stays_so() {
    for (first, second, is_right) in
        [("-", "-", true), ("2", "2", true), ("-", "2", false), ("2", "-", false)]
    {
        let mut story = Story::new();
        let open = story.put(1, "a", "2");
        story.crash(vec![open]).unwrap();
        story.sees(&["a"], &[first]).unwrap();
        assert_eq!(story.sees(&["a"], &[second]).is_ok(), is_right, "{first} then {second}");
    }
}

#[test]
fn what_was_seen_stays_after_a_crash_although_nobody_acknowledged_it() {
    let mut story = Story::new();
    let open = story.put(1, "a", "1");
    story.sees(&["a"], &["1"]).unwrap();
    story.crash(vec![open]).unwrap();
    story.sees(&["a"], &["-"]).unwrap_err();
}

#[test]
fn an_open_batch_is_recovered_as_a_whole() {
    for (seen, is_right) in [(["-", "-"], true), (["1", "2"], true), (["1", "-"], false)] {
        let mut story = Story::new();
        let open = story.batch(1, &[("{t}a", "1"), ("{t}b", "2")]);
        story.crash(vec![open]).unwrap();
        assert_eq!(story.sees(&["{t}a", "{t}b"], &seen).is_ok(), is_right, "{seen:?}");
    }
}

#[test]
fn what_was_open_at_a_crash_does_not_come_behind_what_was_sent_after_it() {
    let mut story = Story::new();
    let open = story.put(1, "a", "1");
    story.crash(vec![open]).unwrap();
    story.has_put("a", "2");
    story.sees(&["a"], &["1"]).unwrap_err();
}

#[test]
fn a_lost_request_takes_effect_late_until_it_is_settled() {
    for (settles, is_right) in [(false, true), (true, false)] {
        let mut story = Story::new();
        let open = story.put(1, "a", "1");
        let now = story.tick();
        story.history.lost(open, now).unwrap();
        if settles {
            story.history.settled(now);
        }
        story.has_put("a", "2");
        assert_eq!(story.sees(&["a"], &["1"]).is_ok(), is_right);
    }
}

#[test]
fn a_write_of_unknown_outcome_is_there_or_not() {
    for seen in ["1", "2"] {
        let mut story = Story::new();
        story.history.permit(super::super::Permits { read_only: true, ..Default::default() });
        story.has_put("a", "1");
        let put = story.put(1, "a", "2");
        story.tell(put, Told::Whole(Seen::Unknown)).unwrap();
        story.sees(&["a"], &[seen]).unwrap();
    }
}

/// Three writes in this order, the second on another key; then a crash that may lose what follows the first.
fn after_a_loss() -> Story {
    let mut story = Story::of_loss();
    for (name, value, version) in [("a", "1", 11), ("b", "2", 12), ("a", "3", 13)] {
        let put = story.put(1, name, value);
        story.tell(put, written(Some(version))).unwrap();
    }
    let acknowledged_before_us = story.us - 3500;
    story.crash_with(Loss::Suffix { acknowledged_before_us }, vec![]).unwrap();
    story
}

#[test]
fn a_crash_that_may_lose_keeps_a_prefix() {
    for (seen, is_right) in [
        (["1", "-"], true),
        (["1", "2"], true),
        (["3", "2"], true),
        (["3", "-"], false), // a later write without an earlier one
        (["-", "-"], false), // what was acknowledged in time
    ] {
        let mut story = after_a_loss();
        let mut done = story.sees(&["a"], &seen[..1]);
        done = done.and_then(|()| story.sees(&["b"], &seen[1..]));
        assert_eq!(done.is_ok(), is_right, "{seen:?}");
    }
}

#[test]
fn what_a_crash_kept_is_not_lost_later() {
    let mut story = after_a_loss();
    story.sees(&["a"], &["1"]).unwrap();
    story.crash(vec![]).unwrap();
    story.sees(&["a"], &["3"]).unwrap_err();
}
