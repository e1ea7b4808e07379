//! Every operation comes back as it was, and no bytes do harm.

use super::*;
use crate::shard::owned::OwnedOp;
use proptest::prelude::*;

fn scan() -> Scan<'static> {
    Scan { from: b"f", to: b"t", limit: 3, limit_bytes: 4, keys_only: true }
}

/// One operation of each kind, with everything that an update may say.
fn operations() -> Vec<Op<'static>> {
    let put =
        Update::Put { value: b"v", expiry: PutExpiry::Keep, condition: Condition::Absent, want_old: true };
    let at = Update::Put {
        value: b"",
        expiry: PutExpiry::At(8),
        condition: Condition::Version(Version(4)),
        want_old: false,
    };
    let delete = Update::Delete { condition: Condition::Present, want_old: false, want_existed: true };
    let expire = |condition| Update::Expire { expiry: PutExpiry::After(9), condition, want_old: true };
    let update = |update| Op::Update { key: b"k", update };
    vec![
        Op::Get { key: b"k" },
        Op::GetMany { keys: &[b"a", b"", b"c"], values: false },
        Op::GoOn { read: 5 },
        update(put),
        update(at),
        update(delete),
        update(Update::Increment { by: -3 }),
        update(Update::Append { suffix: b"s" }),
        update(expire(ExpireCondition::None)),
        update(expire(ExpireCondition::HasNone)),
        update(expire(ExpireCondition::HasOne)),
        update(expire(ExpireCondition::Later)),
        update(expire(ExpireCondition::Earlier)),
        Op::UpdateMany {
            updates: &[(b"a", Update::Increment { by: 1 }), (b"b", Update::Append { suffix: b"" })],
        },
        Op::Scan(scan()),
        Op::ScanMany { partitions: &[Partition(3), Partition(900)], scan: scan(), oversized: true },
        Op::Count(Count { partitions: &[Partition(2)], place: b"p", from: b"f", to: b"t" }),
        Op::Clear,
    ]
}

fn encoded(op: &Op<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(op, &mut bytes);
    bytes
}

#[test]
fn operations_come_back_one_behind_the_other() {
    let mut bytes = Vec::new();
    operations().iter().for_each(|op| encode(op, &mut bytes));
    let mut fields = Reader(&bytes);
    for op in operations() {
        assert_eq!(decode(&mut fields, |back| format!("{back:?}")), Ok(format!("{op:?}")));
        assert_eq!(OwnedOp::new(&op).with(|lent| format!("{lent:?}")), format!("{op:?}"));
        let is_update = matches!(op, Op::Update { .. } | Op::UpdateMany { .. });
        assert_eq!(OwnedOp::new(&op).is_update(), is_update);
    }
    assert!(fields.is_empty());
}

#[test]
fn an_operation_that_is_cut_anywhere_is_refused() {
    for op in operations() {
        let bytes = encoded(&op);
        for cut in 0..bytes.len() {
            assert!(decode(&mut Reader(&bytes[..cut]), |_| ()).is_err(), "{op:?} cut at {cut}");
        }
    }
}

#[test]
fn a_count_reserves_nothing_that_does_not_follow() {
    for opcode in [GET_MANY, UPDATE_MANY, SCAN_MANY, COUNT] {
        let mut bytes = vec![opcode];
        bytes.extend((opcode == GET_MANY).then_some(1));
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend([0; 64]);
        assert_eq!(decode(&mut Reader(&bytes), |_| ()), Err(Malformed("a count promises more than follows")));
    }
}

#[test]
fn the_keys_that_are_answered_are_cut_out() {
    let keys = [&b"x"[..], b"", b"long", b"z"];
    for skipped in 0..=keys.len() {
        let mut rest = OwnedOp::new(&Op::GetMany { keys: &keys, values: true });
        (0..skipped).for_each(|_| rest.skip(1));
        let expected = format!("{:?}", Op::GetMany { keys: &keys[skipped..], values: true });
        assert_eq!(rest.with(|lent| format!("{lent:?}")), expected);
    }
    let mut other = OwnedOp::new(&Op::Get { key: b"k" });
    other.skip(3);
    assert_eq!(other.with(|lent| format!("{lent:?}")), format!("{:?}", Op::Get { key: b"k" }));
}

proptest! {
    #[test]
    fn no_bytes_do_harm_and_what_decodes_is_what_its_encoding_says(
        opcode in 0u8..12, mut bytes in prop::collection::vec(0u8..6, 0..80),
    ) {
        bytes.insert(0, opcode);
        let mut fields = Reader(&bytes);
        if let Ok(again) = decode(&mut fields, |op| encoded(&op)) {
            // A field that doesn't matter beside others may differ: what comes back is the same.
            let said = decode(&mut Reader(&bytes), |op| format!("{op:?}"));
            prop_assert_eq!(decode(&mut Reader(&again), |op| format!("{op:?}")), said);
        }
    }
}
