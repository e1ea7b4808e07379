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
    memory.charge(5 * MIB);
    assert!(memory.has_room(MIB) && !memory.has_room(MIB + 1));
    memory.charge(MIB);
    assert!(memory.is_tight() && !memory.is_exhausted());
    memory.charge(2 * MIB);
    assert!(memory.is_exhausted());
}

#[test]
fn what_is_larger_than_the_room_goes_alone() {
    let mut memory = Memory::new(8 * MIB);
    memory.charge(2 * MIB);
    assert!(memory.has_room(6 * MIB));
    memory.claim(6 * MIB);
    memory.note_sockets(6 * MIB);
    assert!(!memory.has_room(1));
    memory.unclaim(6 * MIB);
    memory.note_sockets(0);
    assert!(memory.has_room(6 * MIB));
    memory.charge(MIB);
    assert!(!memory.has_room(6 * MIB));
}

#[test]
fn an_answer_is_given_while_it_fits_or_half_is_free() {
    let mut memory = Memory::new(8 * MIB);
    assert!(memory.has_room_for_answer(16 * MIB));
    memory.charge(5 * MIB);
    assert!(memory.has_room_for_answer(3 * MIB) && !memory.has_room_for_answer(3 * MIB + 1));
}

#[test]
fn what_an_answer_lacks_is_looked_for_until_it_is_there_or_nobody_wants_it() {
    let mut memory = Memory::new(8 * MIB);
    memory.charge(5 * MIB);
    memory.lack(4 * MIB, 1000);
    memory.forget_lack(1000);
    assert!(memory.has_waiting());
    assert_eq!(memory.missing(false), MIB);
    memory.release(MIB);
    memory.forget_lack(1000);
    assert!(!memory.has_waiting());
    memory.charge(MIB);
    memory.lack(4 * MIB, 1000);
    memory.forget_lack(1001);
    assert!(!memory.has_waiting());
}

#[test]
fn small_ones_that_wait_do_not_wait_for_large_ones() {
    let mut memory = Memory::new(8 * MIB);
    memory.claim(MIB);
    memory.charge(6 * MIB);
    let (large, small) = (ConnId::from_u64(1), ConnId::from_u64(2));
    memory.wait_for_claim(large, 4 * MIB);
    memory.wait(small);
    assert_eq!((memory.next_admissible(), memory.first_claim()), (None, Some((large, 4 * MIB, false))));
    memory.release(MIB);
    assert_eq!(memory.next_admissible(), Some(small));
    assert_eq!(memory.first_claim(), Some((large, 4 * MIB, false)));
    memory.release(3 * MIB);
    assert_eq!(memory.first_claim(), Some((large, 4 * MIB, true)));
    memory.drop_first_claim();
    assert!(!memory.has_waiting());
}

#[test]
fn the_two_parts_are_the_whole_and_the_limits_fit() {
    for bytes in [16 * MIB, 32 * MIB + 3, 1 << 40] {
        let split = Split::of(bytes);
        assert_eq!(split.shard + split.connections, bytes);
        assert!(split.command_bytes_max() > split.value_bytes_max() + (64 << 10));
        let idle = split.connections_max() * CONNECTION_BYTES + split.spare_bytes_max();
        assert!(idle + split.connections / 32 + split.command_bytes_max() <= split.connections);
        assert!(split.connections_max() >= 1024);
    }
}
