//! Requests and answers survive their batches.

use super::answers::{each_answer, write_answer};
use super::*;
use pinion_engine::clock::Clocks;
use pinion_engine::key::{Expiry, Version};
use pinion_engine::shard::request::{Answer, Condition, Op, Page, PutExpiry, Refusal, Unsure, Update, Value};

#[test]
fn requests_survive_their_batch() {
    let put = Update::Put {
        value: b"v",
        expiry: PutExpiry::After(9),
        condition: Condition::Version(Version(4)),
        want_old: true,
    };
    let ops = [Op::Get { key: b"k" }, Op::Update { key: b"k", update: put }, Op::Clear];
    let mut batch = Vec::new();
    let once = Once { client: 1 << 99, number: 4, lowest: 2, first_sent_us: 9, is_again: true };
    let request = |op: Op<'static>| {
        let once = op.is_write().then_some(&once);
        let request = Request { keyspace: Keyspace(3), ..Request::new(Partition(5), op) };
        request.until(7).at(Level::Strong).once(once)
    };
    let envelope = |slot: usize| Envelope { slot: slot as u64, deadline_us: 7, room_kib: 3 + slot as u32 };
    for (slot, &op) in ops.iter().enumerate() {
        write_request(&mut batch, envelope(slot), &request(op));
    }
    let mut seen = Seen::default();
    assert_eq!(each_request(&batch, &mut seen), batch.len());
    let sent: Vec<_> =
        ops.iter().enumerate().map(|(slot, &op)| (envelope(slot), format!("{:?}", request(op)))).collect();
    assert_eq!(seen.taken, sent);
}

#[test]
fn what_is_not_wanted_is_left_and_taken_the_next_time() {
    let mut batch = Vec::new();
    for slot in 0..3 {
        let request = Request::new(Partition(0), Op::Get { key: b"k" });
        write_request(&mut batch, Envelope { slot, deadline_us: 9, room_kib: 0 }, &request);
    }
    let mut seen = Seen { stop_at: Some(1), ..Seen::default() };
    let taken = each_request(&batch, &mut seen);
    assert_eq!((taken, seen.taken.len()), (batch.len() / 3, 1));
    assert_eq!(each_request(&batch[taken..], &mut seen), 0);
    seen.stop_at = None;
    assert_eq!(each_request(&batch[taken..], &mut seen), batch.len() - taken);
    assert_eq!(seen.taken.iter().map(|(envelope, _)| envelope.slot).collect::<Vec<_>>(), [0, 1, 2]);
}

/// What was taken, as text.
#[derive(Default)]
struct Seen {
    taken: Vec<(Envelope, String)>,
    stop_at: Option<u64>,
}

impl Taker for Seen {
    fn wants(&mut self, envelope: &Envelope) -> bool {
        Some(envelope.slot) != self.stop_at
    }

    fn take(&mut self, envelope: &Envelope, incoming: Incoming<'_>) {
        let text = match incoming {
            Incoming::Request(request) => format!("{request:?}"),
            Incoming::Question(question) => format!("question {question:?}"),
        };
        self.taken.push((*envelope, text));
    }
}

#[test]
fn answers_survive_their_batch() {
    let value = Value { bytes: b"v", version: Version(2), expiry: Expiry(3) };
    let mut page = Page::default();
    page.push(b"k1", value);
    page.push(b"k2", value);
    let answers = [
        Answer::Value(value),
        Answer::NotFound,
        Answer::Item { index: 7, value: Some(value) },
        Answer::Item { index: 8, value: None },
        Answer::Written { version: Version(1), existed: 2, old: Some(value) },
        Answer::NotMet { current: None },
        Answer::Integer(-9),
        Answer::Page { page: &page, next: Some(b"k3") },
        Answer::Page { page: &page, next: None },
        Answer::Refused(Refusal::ReadOnly("the disk is full")),
        Answer::Refused(Refusal::WrongShard),
        Answer::Refused(Refusal::NotLeader),
        Answer::Refused(Refusal::TimedOut),
        Answer::Unknown(Unsure::LogFailed("the disk is gone")),
        Answer::Unknown(Unsure::TimedOut),
        Answer::Unknown(Unsure::Forgotten),
        Answer::Unknown(Unsure::TooLong),
        Answer::Counted { keys: 7, expiring: 2, next: Some((Partition(3), b"k")) },
        Answer::Counted { keys: 8, expiring: 0, next: None },
        Answer::Waits { read: 9, partition: Partition(4), bytes: 1 << 20 },
    ];
    let mut batch = Vec::new();
    for (slot, answer) in answers.iter().enumerate() {
        write_answer(&mut batch, slot as u64, answer, &Clocks::default());
    }
    let mut seen = 0;
    each_answer(&batch, &mut Page::default(), &Clocks::default(), |slot, read| {
        assert_eq!(slot, seen);
        assert_eq!(format!("{read:?}"), format!("{:?}", answers[slot as usize]));
        seen += 1;
    });
    assert_eq!(seen as usize, answers.len());
}

#[test]
fn questions_come_as_they_were_asked() {
    let mut batch = Vec::new();
    let envelope = |slot| Envelope { slot, deadline_us: 9, room_kib: 0 };
    write_question(&mut batch, envelope(1), b"who?");
    write_question(&mut batch, envelope(2), b"");
    let mut seen = Seen::default();
    assert_eq!(each_request(&batch, &mut seen), batch.len());
    let sent = [&b"who?"[..], b""].map(|question| format!("question {question:?}"));
    assert_eq!(seen.taken, [(envelope(1), sent[0].clone()), (envelope(2), sent[1].clone())]);
}

#[test]
fn what_is_told_survives_its_batch() {
    let (mut batch, mut heard) = (Vec::new(), Vec::new());
    let told = [Told::Forget(1), Told::Forget(u64::MAX)];
    told.into_iter().for_each(|told| write_told(&mut batch, told));
    each_told(&batch, |told| heard.push(told));
    assert_eq!(heard, told);
}
