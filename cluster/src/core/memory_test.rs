use super::*;

const MIB: usize = 1 << 20;

#[test]
fn what_was_charged_leaves_nothing_behind() {
    let mut memory = Memory::new(8 * MIB);
    let (mut one, mut other) = (0, 0);
    memory.recharge(&mut one, 3 * MIB);
    memory.recharge(&mut other, MIB);
    memory.begin_turn(MIB);
    memory.note_appended(7);
    assert_eq!(memory.used(), 5 * MIB + 7);
    memory.recharge(&mut one, 0);
    memory.recharge(&mut other, 5);
    memory.release(other);
    memory.begin_turn(0);
    assert_eq!(memory.used(), 0);
}

#[test]
fn a_part_is_left_for_what_is_small() {
    let mut memory = Memory::new(8 * MIB);
    memory.claim(MIB);
    memory.recharge(&mut 0, 5 * MIB);
    assert!(memory.has_room(MIB, 0) && !memory.has_room(MIB + 1, 0));
    memory.recharge(&mut 0, MIB);
    assert!(memory.is_tight() && !memory.is_exhausted());
    // Of that, short commands have three quarters.
    assert!(memory.has_room(SHORT_BYTES, 0) && !memory.has_room(SHORT_BYTES + 1, 0));
    memory.recharge(&mut 0, MIB + MIB / 4);
    assert!(memory.has_room(SHORT_BYTES, 0) && !memory.has_room(SHORT_BYTES + 1, MIB));
    memory.recharge(&mut 0, 1);
    assert!(!memory.has_room(SHORT_BYTES, 0) && memory.has_room_for_answer(SHORT_BYTES - 1, 0));
    memory.release(MIB + MIB / 4 + 1);
    memory.recharge(&mut 0, 2 * MIB);
    assert!(memory.is_exhausted() && !memory.is_overdrawn());
    memory.recharge(&mut 0, MIB);
    assert!(memory.is_overdrawn());
}

#[test]
fn the_less_is_left_the_less_is_small() {
    let mut memory = Memory::new(8 * MIB);
    memory.recharge(&mut 0, 6 * MIB);
    assert!(memory.is_tight());
    assert_eq!(memory.small_max(), MIB / 4);
    memory.recharge(&mut 0, MIB);
    assert_eq!(memory.small_max(), MIB / 8);
    memory.recharge(&mut 0, 2 * MIB);
    assert_eq!(memory.small_max(), SMALL_BYTES_MIN);
}

#[test]
fn what_is_larger_than_the_room_goes_alone() {
    let mut memory = Memory::new(8 * MIB);
    memory.recharge(&mut 0, MIB);
    assert!(memory.has_room(6 * MIB, 0));
    memory.claim(4 * MIB);
    memory.note_sockets(4 * MIB);
    assert!(!memory.has_room(2 * MIB, 0) && memory.has_room(2 * MIB, 4 * MIB));
    memory.unclaim(4 * MIB);
    memory.note_sockets(0);
    assert!(memory.has_room(6 * MIB, 0));
    // The last is left for small ones.
    memory.recharge(&mut 0, MIB);
    assert!(!memory.has_room(6 * MIB, 0));
}

#[test]
fn a_short_answer_is_given_where_a_long_one_is_not() {
    let mut memory = Memory::new(8 * MIB);
    memory.recharge(&mut 0, 7 * MIB);
    assert!(memory.has_room_for_answer(SHORT_BYTES, 0) && !memory.has_room_for_answer(SHORT_BYTES + 1, 0));
    assert!(!memory.has_room_for_answer(1, SHORT_BYTES), "its client is to take what it was given first");
    memory.recharge(&mut 0, MIB - SHORT_BYTES + 1);
    assert!(!memory.has_room_for_answer(SHORT_BYTES, 0) && memory.has_room_for_answer(SHORT_BYTES - 1, 0));
    assert!(!memory.is_used_up());
    memory.lack(SHORT_BYTES, 0, 1000);
    assert!(memory.is_used_up(), "it doesn't wait for those who rest");
    memory.release(1);
    memory.forget_lack(1000);
    assert!(!memory.is_lacking() && !memory.is_used_up());
    // One behind others lacks room as long as a long one would.
    memory.lack(SHORT_BYTES - 1, 2, 1000);
    memory.forget_lack(1000);
    assert!(memory.is_lacking() && !memory.is_used_up());
    memory.release(MIB - 1);
    memory.forget_lack(1000);
    assert!(!memory.is_lacking());
}

#[test]
fn an_answer_is_given_while_it_fits_or_half_is_free() {
    let mut memory = Memory::new(8 * MIB);
    assert!(memory.has_room_for_answer(16 * MIB, 0));
    memory.recharge(&mut 0, 5 * MIB);
    assert!(memory.has_room_for_answer(2 * MIB, 0) && !memory.has_room_for_answer(2 * MIB + 1, 0));
    memory.release(MIB);
    assert!(!memory.has_room_for_answer(4 * MIB, 0));
}

#[test]
fn what_an_answer_lacks_is_looked_for_until_it_is_there_or_nobody_wants_it() {
    let mut memory = Memory::new(8 * MIB);
    memory.recharge(&mut 0, 5 * MIB);
    memory.lack(4 * MIB, 0, 1000);
    memory.forget_lack(1000);
    assert!(memory.has_waiting());
    assert_eq!(memory.missing(false), 2 * MIB);
    memory.note_leaving(MIB);
    assert_eq!(memory.missing(false), MIB);
    memory.release(2 * MIB);
    memory.forget_lack(1000);
    assert!(!memory.has_waiting());
    memory.recharge(&mut 0, 2 * MIB);
    memory.lack(4 * MIB, 0, 1000);
    memory.forget_lack(1001);
    assert!(!memory.has_waiting());
}

#[test]
fn what_is_promised_counts_against_what_is_long_until_it_is_here() {
    let mut memory = Memory::new(8 * MIB);
    memory.recharge(&mut 0, MIB);
    // The first gets all that long ones may have, the next ones nothing.
    assert_eq!((memory.promise(1000), memory.promise(1000)), (6 * MIB, 0));
    assert!(!memory.is_lacking(), "so much is enough");
    assert!(!memory.has_room_for_answer(SHORT_BYTES + 1, 0) && memory.has_room_for_answer(SHORT_BYTES, 0));
    assert!(!memory.has_room(SHORT_BYTES + 1, 0) && memory.has_room(SHORT_BYTES, 0));
    assert!(!memory.is_tight(), "what is small goes on");
    memory.keep_promise(6 * MIB);
    assert!(memory.has_room_for_answer(6 * MIB, 0));
    memory.recharge(&mut 0, 4 * MIB);
    assert_eq!(memory.promise(1000), 2 * MIB);
    assert!(memory.is_lacking(), "who holds the memory is looked for");
}

#[test]
fn a_long_old_value_needs_room_twice() {
    let mut memory = Memory::new(8 * MIB);
    assert!(memory.has_room_for_old(7 * MIB / 2) && !memory.has_room_for_old(7 * MIB / 2 + 1));
    memory.recharge(&mut 0, 7 * MIB);
    assert!(memory.has_room_for_old(SHORT_BYTES) && !memory.has_room_for_old(SHORT_BYTES + 1));
    let long = [0, 1, SHORT_BYTES, SHORT_BYTES + 1, 4 * MIB].map(Memory::old_value_max);
    assert_eq!(long, [0, 1, SHORT_BYTES, SHORT_BYTES, 2 * MIB]);
}

#[test]
fn where_there_is_plenty_many_are_promised_the_longest() {
    let mut memory = Memory::new(1024 * MIB);
    assert!((0..16).all(|_| memory.promise(1000) == 32 * MIB));
    assert_eq!(memory.promise(1000), SHORT_BYTES);
}

fn claim(conn: u64, bytes: usize, has: usize) -> Claim {
    Claim { conn: ConnId::from_u64(conn), bytes, has }
}

#[test]
fn small_ones_that_wait_do_not_wait_for_large_ones() {
    let mut memory = Memory::new(8 * MIB);
    memory.claim(MIB);
    memory.recharge(&mut 0, 9 * MIB);
    let (large, small, other) = (claim(1, 4 * MIB, 0), ConnId::from_u64(2), ConnId::from_u64(3));
    memory.wait_for_claim(large);
    memory.wait(small, true);
    memory.wait(other, false);
    assert_eq!((memory.next_small(), memory.next_admissible()), (None, None));
    memory.release(1);
    assert_eq!((memory.next_small(), memory.next_admissible()), (Some(small), None));
    memory.release(3 * MIB);
    assert_eq!(memory.next_admissible(), Some(other));
    assert_eq!(memory.next_claim(), Some((large, false)));
    memory.release(4 * MIB);
    assert_eq!(memory.next_claim(), Some((large, true)));
    memory.drop_claim(large);
    assert!(!memory.has_waiting());
}

#[test]
fn a_short_claim_does_not_wait_for_long_ones() {
    let mut memory = Memory::new(8 * MIB);
    memory.claim(MIB);
    memory.recharge(&mut 0, 6 * MIB);
    let (long, short) = (claim(1, 4 * MIB, 0), claim(2, 40 << 10, 0));
    memory.wait_for_claim(long);
    assert!(memory.may_claim(short.bytes, 0));
    memory.wait_for_claim(short);
    assert!(!memory.may_claim(short.bytes, 0), "one waits that came before");
    assert_eq!(memory.next_claim(), Some((short, true)));
    memory.drop_claim(short);
    assert_eq!(memory.next_claim(), Some((long, false)));
}

#[test]
fn a_command_that_has_room_goes_before_those_that_have_none() {
    let mut memory = Memory::new(8 * MIB);
    memory.claim(5 * MIB);
    memory.recharge(&mut 0, 5 * MIB);
    let (first, second) = (claim(1, 2 * MIB, 0), claim(2, 2 * MIB, 3 * MIB));
    memory.wait_for_claim(first);
    memory.wait_for_claim(second);
    assert_eq!(memory.next_claim(), Some((second, false)));
    memory.unclaim(2 * MIB);
    assert_eq!(memory.next_claim(), Some((second, true)));
}

#[test]
fn room_is_made_for_several_at_once_and_not_for_what_goes_back_by_itself() {
    let mut memory = Memory::new(8 * MIB);
    memory.recharge(&mut 0, 6 * MIB);
    for conn in 0..20 {
        memory.wait_for_claim(claim(conn, MIB / 4 + 1, 0));
    }
    assert_eq!(memory.missing(false), 8 * (MIB / 4 + 1));
    memory.wait_for_claim(claim(20, 4 * MIB, 1));
    assert_eq!(memory.missing(false), 4 * MIB);
    memory.recharge(&mut 0, 3 * MIB);
    assert!(memory.is_used_up());
    assert_eq!(memory.missing(true), 2 * MIB);
    memory.note_leaving(2 * MIB);
    assert!(!memory.is_used_up());
    assert_eq!(memory.missing(true), 0);
}
