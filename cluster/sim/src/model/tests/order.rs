//! Order: of one key, of one connection, of conditions and counts.

use super::super::seen::Refusal;
use super::super::{Permits, op::Condition};
use super::*;

#[test]
fn a_read_sees_what_was_acknowledged_before_it_was_sent() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.has_put("a", "2");
    story.sees(&["a"], &["2"]).unwrap();
    story.sees(&["a"], &["1"]).unwrap_err();
}

#[test]
fn a_read_beside_a_write_sees_either_but_time_goes_forward() {
    for (first, second, is_right) in [("1", "1", true), ("1", "2", true), ("2", "2", true), ("2", "1", false)]
    {
        let mut story = Story::new();
        story.has_put("a", "1");
        let put = story.put(1, "a", "2");
        story.sees(&["a"], &[first]).unwrap();
        assert_eq!(story.sees(&["a"], &[second]).is_ok(), is_right, "{first} then {second}");
        if is_right {
            story.tell(put, ok()).unwrap();
            story.sees(&["a"], &["2"]).unwrap();
        }
    }
}

#[test]
fn pipelined_requests_on_one_key_take_effect_as_sent() {
    let mut story = Story::new();
    let (first, second) = (story.add(1, "n", 5), story.add(1, "n", 7));
    story.tell(second, Told::Whole(Seen::Number(12))).unwrap();
    story.tell(first, Told::Whole(Seen::Number(5))).unwrap();

    let mut story = Story::new();
    let (first, second) = (story.add(1, "n", 5), story.add(1, "n", 7));
    let swapped = story.tell(second, Told::Whole(Seen::Number(7)));
    assert!(swapped.and_then(|()| story.tell(first, Told::Whole(Seen::Number(12)))).is_err());
}

#[test]
fn increments_of_two_connections_take_effect_in_either_order_but_both() {
    let mut story = Story::new();
    let (first, second) = (story.add(1, "n", 5), story.add(2, "n", 7));
    story.tell(second, Told::Whole(Seen::Number(7))).unwrap();
    story.tell(first, Told::Whole(Seen::Number(12))).unwrap();

    let mut story = Story::new();
    let (first, second) = (story.add(1, "n", 5), story.add(2, "n", 7));
    story.tell(second, Told::Whole(Seen::Number(7))).unwrap();
    story.tell(first, Told::Whole(Seen::Number(5))).unwrap_err();
}

#[test]
fn pipelined_reads_of_one_connection_go_forward_in_time_whichever_is_answered_first() {
    let mut story = Story::new();
    story.has_put("a", "1");
    let put = story.put(1, "a", "2");
    let (first, second) = (story.read(2, &["a"]), story.read(2, &["a"]));
    story.tell(put, ok()).unwrap();
    story.tell(second, values(&["1"])).unwrap();
    story.tell(first, values(&["2"])).unwrap_err();
}

#[test]
fn only_one_of_two_that_race_for_an_absent_key_wins() {
    let absent = || Update::Put {
        bytes: b"x".as_slice().into(),
        expiry: NewExpiry::Never,
        condition: Condition::Absent,
        old: false,
    };
    let mut story = Story::new();
    let first = story.ask(1, Ask::Update(key("a"), absent()));
    let second = story.ask(2, Ask::Update(key("a"), absent()));
    story.tell(first, ok()).unwrap();
    story.tell(second, ok()).unwrap_err();
}

#[test]
fn a_batch_of_one_tag_is_seen_as_a_whole() {
    for (seen, is_right) in [(["-", "-"], true), (["1", "2"], true), (["1", "-"], false), (["-", "2"], false)]
    {
        let mut story = Story::new();
        let _open = story.batch(1, &[("{t}a", "1"), ("{t}b", "2")]);
        assert_eq!(story.sees(&["{t}a", "{t}b"], &seen).is_ok(), is_right, "{seen:?}");
    }
}

#[test]
fn a_batch_over_tags_is_seen_in_parts() {
    let mut story = Story::new();
    let _open = story.batch(1, &[("{t}a", "1"), ("{u}b", "2")]);
    story.sees(&["{t}a", "{u}b"], &["1", "-"]).unwrap();
}

#[test]
fn what_was_refused_is_never_seen() {
    let mut story = Story::new();
    let put = story.put(1, "a", "1");
    story.tell(put, Told::Whole(Seen::Refused(Refusal::Busy))).unwrap();
    story.sees(&["a"], &["1"]).unwrap_err();

    let mut story = Story::new();
    let put = story.put(1, "a", "1");
    story.sees(&["a"], &["1"]).unwrap();
    story.tell(put, Told::Whole(Seen::Refused(Refusal::Busy))).unwrap_err();
}

#[test]
fn a_request_may_take_effect_without_an_earlier_one_that_was_refused() {
    let mut story = Story::new();
    let (first, second) = (story.put(1, "a", "1"), story.add(1, "a", 5));
    // As if the first hadn't been there. That it was refused is told later.
    story.tell(second, Told::Whole(Seen::Number(5))).unwrap();
    story.tell(first, Told::Whole(Seen::Refused(Refusal::Busy))).unwrap();
    story.sees(&["a"], &["5"]).unwrap();

    let mut story = Story::new();
    let (first, second) = (story.put(1, "a", "1"), story.add(1, "a", 5));
    story.tell(second, Told::Whole(Seen::Number(5))).unwrap();
    story.tell(first, ok()).unwrap_err();
}

#[test]
fn refusals_need_a_reason() {
    let mut story = Story::new();
    let put = story.put(1, "a", "1");
    story.tell(put, Told::Whole(Seen::Refused(Refusal::Damaged))).unwrap_err();
    story.history.permit(Permits { damaged: true, ..Permits::default() });
    let put = story.put(1, "a", "1");
    story.tell(put, Told::Whole(Seen::Refused(Refusal::Damaged))).unwrap();
}

#[test]
fn versions_rise() {
    let mut story = Story::new();
    let put = story.put(1, "a", "1");
    story.tell(put, written(Some(10))).unwrap();
    let put = story.put(1, "a", "2");
    story.tell(put, written(Some(9))).unwrap_err();
}

#[test]
fn versions_tell_the_order_of_writes_that_raced() {
    for (last, is_right) in [("1", false), ("2", true)] {
        let mut story = Story::new();
        let (first, second) = (story.put(1, "a", "1"), story.put(2, "a", "2"));
        story.tell(second, written(Some(11))).unwrap();
        story.tell(first, written(Some(10))).unwrap();
        assert_eq!(story.sees(&["a"], &[last]).is_ok(), is_right);
    }
}

#[test]
fn bytes_that_nobody_wrote_are_never_right() {
    let mut story = Story::new();
    story.has_put("a", "right");
    story.history.permit(Permits { damaged: true, ..Permits::default() });
    story.sees(&["a"], &["wrong"]).unwrap_err();
}

#[test]
fn a_count_over_several_keys_is_one_that_can_be() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.has_put("b", "1");
    let open = story.put(1, "c", "1");
    for (count, is_right) in [(1, false), (2, true), (3, true), (4, false)] {
        let read = story.read(2, &["a", "b", "c", "d"]);
        assert_eq!(story.tell(read, Told::Whole(Seen::Count(count))).is_ok(), is_right, "{count}");
    }
    story.tell(open, ok()).unwrap();
}

#[test]
fn a_key_that_was_refused_beside_others_needs_a_reason_and_the_others_are_checked() {
    let per_key = |told: &[Result<&str, Refusal>]| {
        Told::PerKey(told.iter().map(|told| told.map(|value| there(value, None))).collect())
    };
    let names = ["a{t}", "b{t}", "c"];
    let damaged = Refusal::Damaged;
    for (first, third, may_be_damaged, is_right) in [
        (Ok("1"), Ok("3"), true, true),
        (Ok("1"), Err(damaged), true, true),
        (Err(damaged), Ok("3"), true, true),
        (Ok("1"), Ok("3"), false, false),
        (Ok("2"), Ok("3"), true, false),
        (Err(damaged), Ok("2"), true, false),
    ] {
        let mut story = Story::new();
        for (name, value) in names.into_iter().zip(["1", "2", "3"]) {
            story.has_put(name, value);
        }
        story.history.permit(Permits { damaged: may_be_damaged, ..Permits::default() });
        let read = story.read(1, &names);
        let told = story.tell(read, per_key(&[first, Err(damaged), third]));
        assert_eq!(told.is_ok(), is_right, "{first:?}, {third:?}, may be damaged: {may_be_damaged}");
        if is_right {
            story.sees(&names, &["1", "2", "3"]).unwrap();
        }
    }
}
