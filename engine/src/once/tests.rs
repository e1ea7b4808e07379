//! The table against the rules of its module, and its bytes.

use super::{Known, Once, Row, Section, SectionBuilder, Table};

fn once(client: u128, number: u64, lowest: u64, first_sent_us: u64) -> Once {
    Once { client, number, lowest, first_sent_us, is_again: false }
}

#[test]
fn an_answer_is_kept_until_its_client_has_it() {
    let mut table = Table::default();
    table.note(&once(1, 3, 1, 10), b"three");
    table.note(&once(1, 1, 1, 11), b"one");
    assert_eq!(table.known(&once(1, 3, 1, 10)), Known::Done(b"three"));
    assert_eq!(table.known(&once(1, 2, 1, 10)), Known::New);
    assert_eq!(table.known(&once(2, 3, 1, 10)), Known::New, "another client has numbers of its own");
    table.note(&once(1, 4, 3, 12), b"four");
    assert_eq!(table.known(&once(1, 1, 1, 11)), Known::Forgotten);
    assert_eq!(table.known(&once(1, 2, 1, 10)), Known::Forgotten, "a copy that was late on its way");
    assert_eq!(table.known(&once(1, 3, 1, 10)), Known::Done(b"three"));
    assert_eq!(table.answers(), 2);
}

#[test]
fn a_second_note_of_a_request_changes_nothing() {
    let mut table = Table::default();
    table.note(&once(1, 3, 1, 10), b"first");
    let bytes = table.bytes();
    table.note(&once(1, 3, 1, 10), b"second");
    table.note(&once(1, 2, 3, 10), b"below the lowest");
    assert_eq!(table.known(&once(1, 3, 1, 10)), Known::Done(b"first"));
    assert_eq!((table.answers(), table.bytes()), (1, bytes));
}

#[test]
fn what_is_at_or_below_the_floor_is_forgotten_and_never_done() {
    let mut table = Table::default();
    table.note(&once(1, 1, 1, 10), b"old");
    table.note(&once(1, 2, 1, 20), b"new");
    table.note(&once(2, 1, 1, 10), b"alone");
    table.raise_floor(10);
    assert_eq!(table.known(&once(1, 1, 1, 10)), Known::Forgotten);
    assert_eq!(table.known(&once(1, 2, 1, 20)), Known::Done(b"new"));
    assert_eq!(table.known(&once(2, 1, 1, 10)), Known::Forgotten);
    assert_eq!(table.known(&once(3, 1, 1, 10)), Known::Forgotten, "nobody knows whether it was");
    assert_eq!(table.known(&once(3, 1, 1, 11)), Known::New);
    assert_eq!((table.clients().len(), table.answers()), (1, 1));
    table.raise_floor(5);
    assert_eq!(table.floor_us(), 10, "a floor never falls");
}

#[test]
fn what_is_charged_is_what_is_there_and_what_is_answered_gives_its_memory_back() {
    let mut table = Table::default();
    for number in 1..300_u64 {
        let (client, lowest) = (u128::from(number % 7), number.saturating_sub(40).max(1));
        table.note(&once(client, number, lowest, number), &vec![0; number as usize % 33]);
        if number % 50 == 0 {
            table.raise_floor(table.middle_us());
        }
        let places =
            |rows: &super::ClientRows| if rows.kept.spilled() { rows.kept.capacity() * 40 } else { 0 };
        let answers = |rows: &super::ClientRows| -> usize {
            let lengths = rows.kept.iter().map(|kept| kept.answer.len());
            lengths.filter(|&length| length > 16).map(usize::next_power_of_two).sum()
        };
        let all = table.clients().map(|(_, rows)| 176 + places(rows) + answers(rows)).sum::<usize>();
        assert_eq!(table.bytes(), all, "after {number}");
        let copy = Table::restored(table.floor_us(), table.clients().map(|(id, rows)| (id, rows.clone())));
        assert_eq!(copy, table, "after {number}");
    }
    assert!(table.answers() > 20);
    (1..=30_000).for_each(|number| table.note(&once(99, number, 1, 1_000), &[7; 40]));
    let full = table.bytes();
    table.note(&once(99, 30_001, 30_001, 1_000), b"");
    assert!(full > 2_000_000 && table.bytes() < 60_000, "{full}, then {}", table.bytes());
    let rows = table.clients().find(|(client, _)| *client == 99).map(|(_, rows)| rows.kept.capacity());
    assert!(rows.is_some_and(|capacity| capacity < 8), "{rows:?}");
}

#[test]
fn what_comes_below_the_floor_is_not_remembered_any_more() {
    let mut table = Table::default();
    table.raise_floor(10);
    table.note(&once(1, 1, 1, 10), b"late");
    assert_eq!((table.known(&once(1, 1, 1, 10)), table.answers()), (Known::Forgotten, 0));
}

#[test]
fn a_copy_stays_as_it_is() {
    let mut table = Table::default();
    table.note(&once(1, 1, 1, 10), b"one");
    let copy = table.clone();
    table.note(&once(1, 2, 2, 11), b"two");
    table.raise_floor(11);
    assert_eq!(copy.known(&once(1, 1, 1, 10)), Known::Done(b"one"));
}

#[test]
fn half_is_older_than_the_middle() {
    let mut table = Table::default();
    assert_eq!(table.middle_us(), 0);
    (1..=100).for_each(|number| table.note(&once(1, number, 1, number * 10), b""));
    let middle_us = table.middle_us();
    assert!((400..=600).contains(&middle_us), "{middle_us}");
}

#[test]
fn a_section_hands_out_what_was_packed_and_is_malformed_cut_anywhere() {
    let mut builder = SectionBuilder::default();
    assert!(builder.is_empty() && !builder.raises_floor());
    builder.push(&once(u128::MAX, 7, 5, 9), b"answer");
    builder.raise_floor(77);
    builder.push(&once(1, 8, 5, 9), b"");
    assert!(builder.raises_floor());
    let section = Section::parse(builder.bytes()).unwrap();
    assert_eq!(section.floor_us, 77);
    let rows: Vec<_> = section.map(Result::unwrap).collect();
    let row = |once, answer| Row { once, answer };
    assert_eq!(rows, [row(once(u128::MAX, 7, 5, 9), &b"answer"[..]), row(once(1, 8, 5, 9), b"")]);
    for len in 0..builder.bytes().len() {
        let section = Section::parse(&builder.bytes()[..len]);
        let rows = section.and_then(|section| section.collect::<Result<Vec<_>, _>>());
        assert!(rows.is_err(), "cut at {len}");
    }
    let longer = [builder.bytes(), b"x"].concat();
    assert!(Section::parse(&longer).unwrap().any(|row| row.is_err()), "something follows");
    builder.clear();
    assert!(builder.is_empty());
}
