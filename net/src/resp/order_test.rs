use super::*;
use proptest::prelude::*;

fn text(out: &[u8]) -> &str {
    std::str::from_utf8(out).unwrap()
}

#[test]
fn the_head_is_written_without_being_held() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let sequence = queue.begin(());
    assert!(queue.complete(sequence, &mut out, |reply| reply.ok()));
    assert_eq!((text(&out), queue.held_bytes()), ("+OK\r\n", 0));
    assert!(!queue.complete(sequence, &mut out, |reply| reply.ok()), "it was answered already");
}

#[test]
fn a_sum_adds_its_parts() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let sequence = queue.begin_sum((), 3);
    queue.add(sequence, 1, &mut out);
    queue.add(sequence, 2, &mut out);
    assert!(out.is_empty());
    queue.add(sequence, 4, &mut out);
    assert_eq!(text(&out), ":7\r\n");
}

#[test]
fn a_list_grows_until_its_parts_are_done() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let sequence = queue.begin_list((), 2);
    queue.push_item(sequence, |reply| reply.bulk(b"a"));
    queue.part_done(sequence, &mut out);
    queue.push_item(sequence, |reply| reply.bulk(b"b"));
    queue.part_done(sequence, &mut out);
    assert_eq!(text(&out), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
}

#[test]
fn one_failed_part_makes_the_whole_reply_an_error_once_all_have_come() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let sequence = queue.begin_array((), 3);
    queue.item(sequence, 0, &mut out, |reply| reply.bulk(b"a"));
    queue.fail(sequence, 1, "ERR damaged", &mut out);
    assert!(out.is_empty());
    queue.item(sequence, 2, &mut out, |reply| reply.bulk(b"c"));
    assert_eq!((text(&out), queue.held_bytes()), ("-ERR damaged\r\n", 0));
}

#[test]
fn an_empty_array_is_complete_when_flushed_by_the_next_completion() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let first = queue.begin(());
    queue.begin_array((), 0);
    queue.complete(first, &mut out, |reply| reply.ok());
    assert_eq!(text(&out), "+OK\r\n*0\r\n");
}

#[test]
fn a_reply_uses_the_protocol_its_command_came_under() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let old = queue.begin(());
    queue.set_protocol(Protocol::Resp3);
    queue.answer((), &mut out, |reply| reply.null());
    queue.complete(old, &mut out, |reply| reply.null());
    assert_eq!(text(&out), "$-1\r\n_\r\n");
}

#[test]
fn held_memory_stays_near_what_is_live_behind_a_head_that_never_comes() {
    let (mut queue, mut out) = (ReplyQueue::<u64>::new(), Vec::new());
    let mut waiting = queue.begin(0);
    for round in 1..2_000u64 {
        let next = queue.begin(round);
        queue.answer(round, &mut out, |reply| reply.bulk(&[b'x'; 1000]));
        queue.complete(waiting, &mut out, |reply| reply.ok());
        waiting = next;
        assert!(queue.held_bytes() < 16 << 10);
    }
}

#[derive(Debug, Clone)]
enum Shape {
    One,
    Array(usize),
    Sum(usize),
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let shape =
        prop_oneof![Just(Shape::One), (0..4usize).prop_map(Shape::Array), (1..4usize).prop_map(Shape::Sum)];
    proptest::collection::vec(shape, 1..40)
}

proptest! {
    #[test]
    fn any_order_of_completion_gives_the_replies_in_order(shapes in shapes(), seed: u64) {
        let (mut queue, mut out) = (ReplyQueue::<usize>::new(), Vec::new());
        let mut expected = Vec::new();
        let mut events = Vec::new();
        for (id, shape) in shapes.iter().enumerate() {
            let mut reply = Encoder::new(&mut expected, Protocol::Resp2);
            let (sequence, parts) = match shape {
                Shape::One => { reply.integer(id as i64); (queue.begin(id), 1) }
                Shape::Array(n) => {
                    reply.array(*n);
                    (0..*n).for_each(|part| reply.integer(part as i64));
                    (queue.begin_array(id, *n), *n)
                }
                Shape::Sum(n) => { reply.integer((0..*n as i64).sum()); (queue.begin_sum(id, *n), *n) }
            };
            events.extend((0..parts).map(|part| (sequence, part)));
        }
        let mut state = seed | 1;
        for index in (1..events.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            events.swap(index, (state >> 33) as usize % (index + 1));
        }
        for (sequence, part) in events {
            let id = *queue.context(sequence).unwrap();
            let accepted = match shapes[id] {
                Shape::One => queue.complete(sequence, &mut out, |reply| reply.integer(id as i64)),
                Shape::Array(_) => queue.item(sequence, part, &mut out, |reply| reply.integer(part as i64)),
                Shape::Sum(_) => queue.add(sequence, part as i64, &mut out),
            };
            prop_assert!(accepted);
        }
        // Empty arrays at the end are complete from the start; one more answer carries them out.
        queue.answer(0, &mut out, |reply| reply.ok());
        Encoder::new(&mut expected, Protocol::Resp2).ok();
        prop_assert_eq!(text(&out), text(&expected));
        prop_assert!(queue.is_empty());
        prop_assert_eq!(queue.held_bytes(), 0);
    }
}

#[test]
fn an_array_that_leaves_is_written_as_it_comes_and_in_order() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let first = queue.begin(());
    let array = queue.begin_array((), 4);
    let last = queue.begin(());
    queue.item(array, 1, &mut out, |reply| reply.bulk(b"b"));
    queue.leave(array, &mut out);
    assert!(out.is_empty() && queue.is_leaving(array), "it isn't the first that is owed");
    queue.complete(first, &mut out, |reply| reply.ok());
    assert_eq!(text(&out), "+OK\r\n*4\r\n");
    queue.complete(last, &mut out, |reply| reply.ok());
    assert_eq!(queue.next_item(array), Some(0));
    queue.item(array, 0, &mut out, |reply| reply.bulk(b"a"));
    assert_eq!(text(&out), "+OK\r\n*4\r\n$1\r\na\r\n$1\r\nb\r\n");
    queue.item(array, 3, &mut out, |reply| reply.null());
    queue.item(array, 2, &mut out, |reply| reply.error("ERR damaged"));
    assert_eq!(text(&out), "+OK\r\n*4\r\n$1\r\na\r\n$1\r\nb\r\n-ERR damaged\r\n$-1\r\n+OK\r\n");
    assert!(queue.is_empty() && queue.held_bytes() == 0);
}

#[test]
fn a_long_array_is_expected_in_runs_and_holds_no_more_than_one() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let array = queue.begin_long_array((), 1000);
    queue.leave(array, &mut out);
    let mut expected = b"*1000\r\n".to_vec();
    for run in 0..100 {
        queue.expect(array, 10);
        for item in (run * 10..run * 10 + 10).rev() {
            assert!(queue.item(array, item, &mut out, |reply| reply.integer(item as i64)));
        }
        assert!(queue.held_bytes() < 4 << 10);
        (run * 10..run * 10 + 10)
            .for_each(|item| Encoder::new(&mut expected, Protocol::Resp2).integer(item as i64));
    }
    assert_eq!(text(&out), text(&expected));
    assert!(queue.is_empty());
}

#[test]
fn an_array_that_has_failed_does_not_leave_before_its_error() {
    let (mut queue, mut out) = (ReplyQueue::<()>::new(), Vec::new());
    let array = queue.begin_array((), 2);
    queue.fail(array, 1, "ERR damaged", &mut out);
    queue.leave(array, &mut out);
    assert!(out.is_empty() && !queue.is_leaving(array));
    queue.item(array, 1, &mut out, |reply| reply.bulk(b"b"));
    assert_eq!(text(&out), "-ERR damaged\r\n");
}

#[test]
fn an_idle_queue_keeps_little_memory_and_tells_all_of_it() {
    let (mut queue, mut out) = (ReplyQueue::new(), Vec::new());
    let sequences: Vec<Sequence> = (0..200).map(|_| queue.begin(())).collect();
    for &sequence in sequences.iter().rev() {
        assert!(queue.complete(sequence, &mut out, |reply| reply.bulk(&[7; 1000])));
        assert!(queue.memory_bytes() >= queue.held_bytes());
    }
    assert!(queue.is_empty());
    let most = KEEP_SLOTS_MAX * size_of::<Slot<()>>() + super::super::held::KEEP_BYTES_MAX;
    assert!(queue.memory_bytes() <= most, "{} bytes are kept", queue.memory_bytes());
}

#[test]
fn a_queue_that_is_used_as_much_again_and_again_makes_its_memory_in_two_steps_and_comes_down_when_it_is_not()
{
    let (mut queue, mut out) = (ReplyQueue::new(), Vec::new());
    let mut capacities = |queue: &mut ReplyQueue, count: usize| {
        let mut seen = Vec::new();
        let sequences: Vec<Sequence> = (0..count)
            .map(|_| {
                let sequence = queue.begin(());
                seen.push(queue.slots.capacity());
                sequence
            })
            .collect();
        sequences
            .iter()
            .for_each(|&sequence| assert!(queue.complete(sequence, &mut out, |reply| reply.null())));
        seen.dedup();
        seen
    };
    assert!(capacities(&mut queue, 64).len() > 2);
    assert_eq!(capacities(&mut queue, 64), [32, 64]);
    assert_eq!(capacities(&mut queue, 64), [32, 64]);
    assert_eq!(capacities(&mut queue, 1), [32]);
    assert_eq!(capacities(&mut queue, 1), [16]);
    assert_eq!(capacities(&mut queue, 1), [16]);
}
