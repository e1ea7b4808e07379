//! Scans, counts and clears.

use super::super::{About, Covered, Window};
use super::*;
use std::ops::Bound;

const ALL: About<'_> = About { prefix: b"", core: None };

/// A scan of everything in one page that is answered with these items; in between, `during` happens.
fn scan(story: &mut Story, items: &[(&str, &str)], during: impl FnOnce(&mut Story)) -> Checked {
    let from = story.tick();
    let scan = story.history.scan_began(from);
    during(story);
    let now = story.tick();
    let items: Vec<_> = items.iter().map(|(name, value)| (key(name), there(value, None))).collect();
    let covered = Covered { from: Bound::Unbounded, to: Bound::Unbounded, gap: None };
    let done = story.history.page_seen(&items, ALL, covered, Window { from, now });
    story.history.scan_ended(scan);
    done
}

fn count(story: &mut Story, count: u64) -> Checked {
    let from = story.tick();
    let now = story.tick();
    let all = (Bound::Unbounded, Bound::Unbounded);
    story.history.count_seen(count, ALL, all, Window { from, now })
}

#[test]
fn a_scan_finds_what_was_there_all_the_time() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.has_put("b", "2");
    scan(&mut story, &[("a", "1"), ("b", "2")], |_| {}).unwrap();
    scan(&mut story, &[("b", "2")], |_| {}).unwrap_err();
}

#[test]
fn a_scan_is_in_the_order_of_keys() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.has_put("b", "2");
    scan(&mut story, &[("b", "2"), ("a", "1")], |_| {}).unwrap_err();
}

#[test]
fn a_scan_may_see_what_changes_meanwhile_before_or_after() {
    for (seen, is_right) in
        [(vec![("a", "1")], true), (vec![("a", "2")], true), (vec![("a", "3")], false), (vec![], false)]
    {
        let mut story = Story::new();
        story.has_put("a", "1");
        let done = scan(&mut story, &seen, |story| story.has_put("a", "2"));
        assert_eq!(done.is_ok(), is_right, "{seen:?}");
    }
}

#[test]
fn a_scan_sees_a_batch_as_a_whole() {
    let both = [("{t}a", "1"), ("{t}b", "2")];
    for (seen, is_right) in [(&both[..], true), (&both[..1], false), (&[], true)] {
        let mut story = Story::new();
        let done = scan(&mut story, seen, |story| {
            let batch = story.batch(1, &both);
            story.tell(batch, Told::Whole(Seen::Done)).unwrap();
        });
        assert_eq!(done.is_ok(), is_right, "{seen:?}");
    }
}

#[test]
fn a_scan_may_find_a_value_expired_before_it_finds_a_write_that_a_read_waits_for() {
    let tell = |asks: &[&str], seen: &[&str]| {
        let mut story = Story::new();
        let put = story.put_after(9, "{t}a", "1", 20);
        story.tell(put, ok()).unwrap();
        story.has_put("{t}b", "1");
        let (write, read) = (story.put(1, "{t}b", "2"), story.read(2, asks));
        scan(&mut story, &[("{t}b", "1")], |story| story.us += 40_000).unwrap();
        story.tell(write, ok()).unwrap();
        story.tell(read, values(seen))
    };
    tell(&["{t}a", "{t}b"], &["1", "2"]).unwrap();
    tell(&["{t}a", "{t}b"], &["-", "2"]).unwrap();
    tell(&["{t}a", "{t}b"], &["2", "2"]).unwrap_err();
}

#[test]
fn what_a_scan_finds_expired_is_gone_for_whoever_asks_later() {
    for asks_late in [false, true] {
        let mut story = Story::new();
        let put = story.put_after(9, "{t}a", "1", 20);
        story.tell(put, ok()).unwrap();
        story.has_put("{t}b", "1");
        let write = story.put(1, "{t}b", "2");
        let early = (!asks_late).then(|| story.read(2, &["{t}a", "{t}b"]));
        scan(&mut story, &[("{t}b", "1")], |story| story.us += 40_000).unwrap();
        let read = early.unwrap_or_else(|| story.read(2, &["{t}a", "{t}b"]));
        story.tell(write, ok()).unwrap();
        assert_eq!(story.tell(read, values(&["1", "2"])).is_ok(), !asks_late);
    }
}

#[test]
fn what_a_scan_has_seen_stays_after_a_crash() {
    let mut story = Story::new();
    let open = story.put(1, "a", "1");
    scan(&mut story, &[("a", "1")], |_| {}).unwrap();
    story.crash(vec![open]).unwrap();
    story.sees(&["a"], &["-"]).unwrap_err();
}

#[test]
fn a_scan_revives_nothing() {
    let mut story = Story::new();
    story.has_put("a", "1");
    let delete = story.delete(1, "a");
    story.tell(delete, ok()).unwrap();
    scan(&mut story, &[("a", "1")], |_| {}).unwrap_err();
}

#[test]
fn a_count_is_between_what_surely_and_what_possibly_was_there() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.has_put("b", "1");
    let open = story.delete(1, "b");
    count(&mut story, 0).unwrap_err();
    count(&mut story, 1).unwrap();
    count(&mut story, 2).unwrap();
    count(&mut story, 3).unwrap_err();
    story.tell(open, ok()).unwrap();
    count(&mut story, 2).unwrap_err();
}

#[test]
fn a_clear_takes_everything_before_it_and_nothing_behind_it() {
    let mut story = Story::new();
    story.has_put("a", "1");
    story.has_put("b", "1");
    let clear = story.ask(1, Ask::Clear);
    story.sees(&["a"], &["1"]).unwrap();
    story.tell(clear, Told::Whole(Seen::Done)).unwrap();
    story.has_put("b", "2");
    story.sees(&["b"], &["2"]).unwrap();
    story.sees(&["a"], &["1"]).unwrap_err();
}

#[test]
fn a_key_that_is_first_touched_while_a_clear_runs_may_be_cleared_too() {
    for seen in ["1", "-"] {
        let mut story = Story::new();
        let clear = story.ask(1, Ask::Clear);
        story.has_put("a", "1");
        story.tell(clear, Told::Whole(Seen::Done)).unwrap();
        story.sees(&["a"], &[seen]).unwrap();
    }
}
