//! Requests and answers survive their batches.

use super::*;
use pinion_engine::key::Expiry;
use pinion_engine::shard::request::{Condition, Op, PutExpiry, Update};

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
    let request = |op| Request { keyspace: Keyspace(3), partition: Partition(5), op };
    for (slot, &op) in ops.iter().enumerate() {
        write_request(&mut batch, slot as u64, 3 + slot as u32, &request(op));
    }
    let mut seen = 0;
    each_request(&batch, |(slot, room_kib), read| {
        assert_eq!((slot, u64::from(room_kib)), (seen, 3 + seen));
        let Incoming::Request(read) = read else { panic!("a request was written") };
        assert_eq!(format!("{read:?}"), format!("{:?}", request(ops[slot as usize])));
        seen += 1;
        true
    });
    assert_eq!(seen as usize, ops.len());
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
        Answer::Unknown("the log failed"),
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
fn questions_that_no_shard_answers_survive_their_batch() {
    let wanted = Wanted {
        ids: vec![1, 7, u64::MAX],
        address: b"1.2.3.4:5".to_vec(),
        local: Vec::new(),
        age_s: 9,
        except: 3,
        asker: 4,
        kills: true,
    };
    let mut batch = Vec::new();
    write_clients(&mut batch, 1, &wanted, 77);
    write_random(&mut batch, 2, u64::MAX - 1);
    write_cursor(&mut batch, 3, 12);
    write_clients(&mut batch, 4, &Wanted::default(), 0);
    let mut seen = Vec::new();
    let taken = each_request(&batch, |(slot, _), incoming| {
        seen.push(match incoming {
            Incoming::Clients(found, from) => (slot, found == wanted, from.into()),
            Incoming::Random(dice) => (slot, true, dice),
            Incoming::Cursor(cursor) => (slot, true, cursor),
            Incoming::Request(_) => panic!("no shard is asked"),
        });
        true
    });
    assert_eq!(taken, batch.len());
    assert_eq!(seen, [(1, true, 77), (2, true, u64::MAX - 1), (3, true, 12), (4, false, 0)]);
}
