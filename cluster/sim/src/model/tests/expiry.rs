//! Expiry, to the millisecond that the shards' clocks are known by.

use super::super::op::ExpireCondition;
use super::super::seen::TtlUnit;
use super::*;

fn expiring(value: &str, expiry: NewExpiry) -> Update {
    Update::Put { bytes: value.as_bytes().into(), expiry, condition: Condition::Always, old: false }
}

fn story_with(expiry: NewExpiry) -> Story {
    let mut story = Story::new();
    let put = story.ask(1, Ask::Update(key("a"), expiring("1", expiry)));
    story.tell(put, ok()).unwrap();
    story
}

#[test]
fn a_key_is_there_until_its_time_and_gone_from_then_on() {
    let mut story = story_with(NewExpiry::At(CLOCK_MS + 50));
    story.us = 47_000;
    story.sees(&["a"], &["1"]).unwrap(); // looked at between 48 and 49
    story.us = 49_000;
    let read = story.read(1, &["a"]);
    story.tell(read, values(&["1"])).unwrap_err(); // between 50 and 51
}

#[test]
fn a_key_does_not_go_before_its_time() {
    let mut story = story_with(NewExpiry::At(CLOCK_MS + 50));
    story.us = 40_000;
    story.sees(&["a"], &["-"]).unwrap_err();
}

#[test]
fn a_relative_expiry_counts_from_some_time_between_request_and_answer() {
    for (at_ms, alive, is_right) in
        [(98, true, true), (98, false, false), (101, true, true), (101, false, true), (103, true, false)]
    {
        let mut story = story_with(NewExpiry::After(100)); // sent at 1 ms, answered at 2 ms
        story.us = at_ms * 1000 - 1000;
        let read = story.read(1, &["a"]);
        story.us -= 1000;
        let done = story.tell(read, values(&[if alive { "1" } else { "-" }]));
        assert_eq!(done.is_ok(), is_right, "alive {alive} at {at_ms}");
    }
}

#[test]
fn a_key_that_was_seen_gone_does_not_come_back_with_the_clock() {
    let mut story = story_with(NewExpiry::At(CLOCK_MS + 50));
    story.us = 60_000;
    story.sees(&["a"], &["-"]).unwrap();
    story.crash(vec![]).unwrap();
    story.us = 20_000; // the clock goes back
    story.sees(&["a"], &["1"]).unwrap_err();
}

#[test]
fn a_time_to_live_says_when() {
    let mut story = story_with(NewExpiry::After(100));
    let ttl =
        |left| Told::Whole(Seen::Values(SmallVec::from_elem(SeenValue::Ttl(TtlUnit::Milliseconds, left), 1)));
    let read = story.read(1, &["a"]); // at 3 ms, answered at 4: expires at 101 or 102
    story.tell(read, ttl(98)).unwrap();
    let read = story.read(1, &["a"]);
    story.tell(read, ttl(99)).unwrap_err();
}

#[test]
fn an_expiry_that_is_kept_or_taken_away_is_the_value_s() {
    let mut story = story_with(NewExpiry::At(CLOCK_MS + 50));
    let put = story.ask(1, Ask::Update(key("a"), expiring("2", NewExpiry::Keep)));
    story.tell(put, ok()).unwrap();
    story.us = 60_000;
    story.sees(&["a"], &["2"]).unwrap_err();

    let mut story = story_with(NewExpiry::At(CLOCK_MS + 50));
    let persist = Update::Expire { expiry: NewExpiry::Never, condition: ExpireCondition::HasOne };
    let persist = story.ask(1, Ask::Update(key("a"), persist));
    story.tell(persist, ok()).unwrap();
    story.us = 60_000;
    story.sees(&["a"], &["1"]).unwrap();
}
