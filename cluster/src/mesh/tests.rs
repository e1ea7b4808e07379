//! The mesh's promises, tried by hand and at random.

use super::*;
use proptest::prelude::*;

fn small() -> Limits {
    Limits { requests: 4, request_bytes: 1000, answer_bytes: 40, spare_bytes: 1000 }
}

#[test]
fn what_lies_between_the_cores_scales_with_the_memory_of_their_connections() {
    const MIB: usize = 1 << 20;
    for (connections, cores) in [(4 * MIB, 1), (8 * MIB, 2), (64 * MIB, 4), (1024 * MIB, 16)] {
        let limits = Limits::of(connections, cores);
        let all = limits.request_bytes * (cores - 1);
        assert!(all <= connections / 8 || limits.request_bytes == BYTES_MIN, "{limits:?}");
        assert!(limits.spare_bytes <= connections / 32 && limits.answer_bytes >= BYTES_MIN);
    }
    let plenty = Limits::of(1024 * MIB, 2);
    assert_eq!((plenty.request_bytes, plenty.spare_bytes), (4 * MIB, 4 * MIB));
}

#[test]
fn one_message_over_the_limits_passes_and_spares_stay_within_theirs() {
    let mut ports = mesh(2, small());
    assert!(ports[0].has_credit(1));
    ports[0].request(1, |batch| batch.extend_from_slice(&[1; 5000]));
    assert!(!ports[0].has_credit(1));
    ports[0].flush(|_| ());
    let batch = ports[1].take_requests(0).expect("it was sent");
    assert_eq!(batch.len(), 5000);
    ports[1].answer(0, |batch| batch.extend_from_slice(&[2; 5000]));
    ports[1].flush(|_| ());
    assert!(!ports[1].keeps_up(0));
    assert_eq!(ports[0].take_answers(1).map(|batch| batch.len()), Some(5000));
    assert!(ports[1].keeps_up(0));
    ports[1].recycle(batch);
    (0..8).for_each(|_| ports[1].recycle(Batch::with_capacity(300)));
    assert_eq!((ports[1].spares.len(), ports[1].spare_bytes), (3, 900));
    ports[1].answer(0, |batch| batch.push(1));
    ports[1].flush(|_| ());
    assert_eq!((ports[1].spares.len(), ports[1].spare_bytes), (2, 600));
}

/// One random action of a core: send a request if there is a credit, answer, take answers, or flush.
fn act(ports: &mut [Port], core: usize, peer: usize, action: u8, owed: &mut [Vec<u8>], flying: &mut [usize]) {
    let port = &mut ports[core];
    match action {
        0 if port.has_credit(peer) => {
            assert_eq!(port.request(peer, |batch| batch.push(7)), 1);
            flying[core] += 1;
        }
        1 if port.keeps_up(peer) => {
            if let Some(batch) = port.take_requests(peer) {
                owed[core].extend_from_slice(&batch);
                port.recycle(batch);
            }
        }
        2 => {
            if owed[core].pop().is_some() {
                port.answer(peer, |batch| batch.extend_from_slice(&[1; 10]));
            }
        }
        3 => {
            while let Some(batch) = port.take_answers(peer) {
                for _ in batch.chunks(10) {
                    port.credit(peer, 1);
                    flying[core] -= 1;
                }
            }
        }
        _ => port.flush(|_| ()),
    }
}

proptest! {
    #[test]
    fn whatever_two_cores_do_no_push_fails_and_everything_is_answered_in_the_end(
        actions in prop::collection::vec((0_usize..2, 0_u8..5), 0..400),
    ) {
        let mut ports = mesh(2, small());
        let (mut owed, mut flying) = ([Vec::new(), Vec::new()], [0, 0]);
        for (core, action) in actions {
            act(&mut ports, core, 1 - core, action, &mut owed, &mut flying);
        }
        // Both go on without sending anything new: a few rounds settle all.
        for _ in 0..100 {
            for core in 0..2 {
                for action in [4, 3, 1, 2, 2, 2, 2, 4] {
                    act(&mut ports, core, 1 - core, action, &mut owed, &mut flying);
                }
            }
        }
        prop_assert_eq!(flying, [0, 0]);
        prop_assert!(ports.iter().all(|port| port.outstanding() == 0));
    }
}

#[test]
fn credits_run_out_and_come_back() {
    let mut ports = mesh(3, small());
    for _ in 0..4 {
        assert!(ports[0].has_credit(2));
        ports[0].request(2, |batch| batch.push(1));
    }
    assert!(!ports[0].has_credit(2));
    assert!(ports[0].has_credit(1), "credits are per pair");
    ports[0].credit(2, 1);
    assert!(ports[0].has_credit(2));
}

#[test]
fn what_is_left_of_a_batch_comes_before_the_next() {
    let mut ports = mesh(2, small());
    for message in [[1, 2], [3, 4]] {
        ports[0].request(1, |batch| batch.extend_from_slice(&message));
        ports[0].flush(|_| ());
    }
    let batch = ports[1].take_requests(0).unwrap();
    ports[1].put_back(0, batch, 1);
    assert!(ports[1].has_mail());
    assert_eq!(ports[1].take_requests(0), Some(vec![2]));
    assert_eq!(ports[1].take_requests(0), Some(vec![3, 4]));
    assert!(!ports[1].has_mail());
}

#[test]
fn all_cores_see_what_one_says_of_its_shard() {
    let ports = mesh(3, small());
    assert_eq!((ports[0].delay_us(1), ports[0].long_room(1)), (0, (u32::MAX as usize) << 10));
    ports[1].tell_pressure(7, (3 << 20) + 1);
    for port in [&ports[0], &ports[2]] {
        assert_eq!((port.delay_us(1), port.long_room(1)), (7, 3 << 20));
        assert_eq!(port.delay_us(0), 0);
    }
    ports[1].tell_pressure(0, usize::MAX);
    assert_eq!(ports[2].long_room(1), (u32::MAX as usize) << 10);
}

#[test]
fn a_batch_wakes_its_receiver_once() {
    let mut ports = mesh(3, small());
    ports[1].request(0, |batch| batch.push(1));
    ports[1].request(0, |batch| batch.push(2));
    let mut woken = Vec::new();
    ports[1].flush(|core| woken.push(core));
    assert_eq!(woken, [0]);
    assert!(ports[0].has_mail() && !ports[2].has_mail());
    assert_eq!(ports[0].take_requests(1), Some(vec![1, 2]));
}

#[test]
fn what_is_told_arrives_in_order_and_waits_with_its_sender_where_the_queue_is_full() {
    let mut ports = mesh(2, small());
    let mut sent = Vec::new();
    for n in 0..20_u8 {
        ports[0].tell(1, |batch| batch.push(n));
        ports[0].flush(|_| ());
        sent.push(n);
    }
    let mut heard = Vec::new();
    while ports[1].has_mail() {
        while let Some(batch) = ports[1].take_told(0) {
            heard.extend_from_slice(&batch);
        }
        ports[0].flush(|_| ());
    }
    assert_eq!(heard, sent);
}
