use std::num::NonZeroU128;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::*;
use super::frame_of;

/// The parts from which any request can be made.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    id: u64,
    level: u8,
    keyspace: u16,
    deadline_ms: u32,
    opcode: usize,
    keys: Vec<Vec<u8>>,
    value: Vec<u8>,
    number: u64,
    expiry: u8,
    condition: u8,
    flags: [bool; 2],
    name: String,
    once: Option<Once>,
}

pub(super) fn parts() -> impl Strategy<Value = Parts> {
    let key = vec(any::<u8>(), 1..40);
    let head = (any::<u64>(), 0..5u8, any::<u16>(), any::<u32>(), 0..14usize);
    let body = (
        vec(key, 1..6),
        vec(any::<u8>(), 0..100),
        any::<u64>(),
        0..4u8,
        0..4u8,
        any::<[bool; 2]>(),
        "\\PC{0,9}",
    );
    (head, body, option::of(once())).prop_map(|(head, body, once)| Parts {
        id: head.0,
        level: head.1,
        keyspace: head.2,
        deadline_ms: head.3,
        opcode: head.4,
        keys: body.0,
        value: body.1,
        number: body.2,
        expiry: body.3,
        condition: body.4,
        flags: body.5,
        name: body.6,
        once,
    })
}

fn once() -> impl Strategy<Value = Once> {
    (1..=u64::MAX, any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(number, below, first_sent_us, is_again)| Once {
            number,
            lowest: number - below % number,
            first_sent_us,
            is_again,
        },
    )
}

impl Parts {
    /// Hands out the request that the parts make.
    pub(super) fn with<T>(&self, use_request: impl FnOnce(Request<'_>) -> T) -> T {
        let mut keys = KeyListBuilder::default();
        let mut ops = BatchBuilder::default();
        for (at, key) in self.keys.iter().enumerate() {
            keys.push(key).unwrap();
            match at % 2 {
                0 => ops.put(key, &self.value, self.expiry()).unwrap(),
                _ => ops.delete(key).unwrap(),
            }
        }
        use_request(Request {
            id: self.id,
            level: Level::from_byte(self.level).unwrap(),
            keyspace: self.keyspace,
            deadline_ms: self.deadline_ms,
            once: self.once.filter(|_| self.may_have_once()),
            command: self.command(&keys, &ops),
        })
    }

    fn may_have_once(&self) -> bool {
        !matches!(self.level, 1 | 2) && !matches!(self.opcode, 0..=5 | 11 | 12)
    }

    fn command<'a>(&'a self, keys: &'a KeyListBuilder, ops: &'a BatchBuilder) -> Command<'a> {
        let key = self.keys[0].as_slice();
        let last = self.keys[self.keys.len() - 1].as_slice();
        let value = self.value.as_slice();
        let (expiry, condition) = (self.expiry(), self.condition());
        let [want_old, want_existed] = self.flags;
        let range = Range { from: key, to: last, prefix: value };
        match self.opcode {
            0 => {
                let client = self.once.and_then(|once| NonZeroU128::new(once.first_sent_us.into()));
                let hello = Hello::new(&self.name, Features(self.number), value);
                let without = Features::ONCE.with(Features::ONCE.required());
                Command::Hello(match client {
                    Some(client) => hello.with_client(client),
                    None => Hello { features: hello.features.without(without), ..hello },
                })
            }
            1 => Command::Ping { payload: value },
            2 => Command::Info,
            3 => Command::Get { key },
            4 => Command::Exists { key },
            5 => Command::MultiGet { keys: keys.list() },
            6 => Command::Put { key, value, expiry, condition, want_old },
            7 => Command::Delete { key, condition, want_old, want_existed },
            8 => Command::Increment { key, by: self.number as i64 },
            9 if expiry != Expiry::Keep => Command::Expire { key, expiry },
            10 => Command::Batch { ops: ops.ops() },
            11 => Command::Scan(Scan { range, cursor: last, limit: self.number as u32, keys_only: want_old }),
            12 => Command::Count(range),
            _ => Command::Clear,
        }
    }

    fn expiry(&self) -> Expiry {
        match self.expiry {
            0 => Expiry::Never,
            1 => Expiry::After(self.number),
            2 => Expiry::At(self.number),
            _ => Expiry::Keep,
        }
    }

    fn condition(&self) -> Condition {
        match self.condition {
            0 => Condition::None,
            1 => Condition::Absent,
            2 => Condition::Present,
            _ => Condition::Version(self.number),
        }
    }
}

proptest! {
    #[test]
    fn a_request_is_decoded_as_it_was_encoded(parts in parts(), checked: bool) {
        parts.with(|request| {
            let mut bytes = Vec::new();
            request.encode(&Limits::default(), checked, &mut bytes).unwrap();
            let decoded = Request::decode(&frame_of(&bytes), &Limits::default());
            prop_assert_eq!(decoded, Ok(request));
            Ok(())
        })?;
    }

    #[test]
    fn a_frame_is_incomplete_until_its_last_byte_and_says_how_many_it_needs(parts in parts(), checked: bool) {
        let mut bytes = Vec::new();
        parts.with(|request| request.encode(&Limits::default(), checked, &mut bytes)).unwrap();
        for len in 0..bytes.len() {
            let need = if len < HEADER_BYTES { HEADER_BYTES } else { bytes.len() };
            prop_assert_eq!(parse(&bytes[..len], &Limits::default()), Parsed::Incomplete { need });
        }
    }
}

#[test]
fn lists_hand_out_their_parts_in_order() {
    let mut keys = KeyListBuilder::default();
    keys.push(b"one").unwrap();
    keys.push(b"two").unwrap();
    assert_eq!(keys.list().iter().collect::<Vec<_>>(), [b"one", b"two"]);
    let mut ops = BatchBuilder::default();
    ops.put(b"k", b"v", Expiry::After(5)).unwrap();
    ops.delete(b"k").unwrap();
    let put = BatchOp { key: b"k", kind: OpKind::Put { value: b"v", expiry: Expiry::After(5) } };
    let delete = BatchOp { key: b"k", kind: OpKind::Delete };
    assert_eq!(ops.ops().iter().collect::<Vec<_>>(), [put, delete]);
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Request<'a> {
    let command =
        Command::Put { key, value, expiry: Expiry::Never, condition: Condition::None, want_old: false };
    Request { id: 1, level: Level::Default, keyspace: 0, deadline_ms: 0, once: None, command }
}

#[test]
fn a_key_of_65535_bytes_is_taken_and_a_longer_or_empty_one_is_an_error_that_names_the_limit() {
    let key = vec![b'k'; Limits::KEY_BYTES_MAX + 1];
    let mut bytes = Vec::new();
    put(&key[1..], b"v").encode(&Limits::default(), false, &mut bytes).unwrap();
    assert!(Request::decode(&frame_of(&bytes), &Limits::default()).is_ok());
    bytes.clear();
    for key in [&key[..], b""] {
        let error = put(key, b"v").encode(&Limits::default(), false, &mut bytes).unwrap_err();
        assert_eq!(error.code(), ErrorCode::LIMIT);
        assert!(error.to_string().contains("65535"), "{error}");
    }
    assert!(bytes.is_empty());
}

#[test]
fn a_value_over_the_limit_is_an_error_on_both_sides_that_names_the_limit() {
    let small = Limits { value_bytes_max: 100, ..Limits::default() };
    let mut bytes = Vec::new();
    let error = put(b"k", &[0; 101]).encode(&small, false, &mut bytes).unwrap_err();
    assert_eq!(error.to_string(), "the value has 101 bytes, the limit is 100");
    put(b"k", &[0; 101]).encode(&Limits::default(), false, &mut bytes).unwrap();
    let Parsed::Invalid(error) = parse(&bytes[..HEADER_BYTES], &small) else { panic!("it was taken") };
    assert_eq!(error.to_string(), "the value has 101 bytes, the limit is 100");
    assert_eq!(Responder::for_error(&error).id(), 1);
}

#[test]
fn a_value_over_the_limit_inside_a_batch_is_refused() {
    let mut ops = BatchBuilder::default();
    ops.put(b"k", &[0; 101], Expiry::Never).unwrap();
    let command = Command::Batch { ops: ops.ops() };
    let mut bytes = Vec::new();
    Request { command, ..put(b"k", b"") }.encode(&Limits::default(), false, &mut bytes).unwrap();
    let small = Limits { value_bytes_max: 100, ..Limits::default() };
    let error = Request::decode(&frame_of(&bytes), &small).unwrap_err();
    assert_eq!(error.code(), ErrorCode::LIMIT);
}

#[test]
fn a_flipped_bit_in_key_or_value_is_found_where_a_checksum_was_agreed_on() {
    let mut bytes = Vec::new();
    put(b"key", b"value").encode(&Limits::default(), true, &mut bytes).unwrap();
    for at in HEADER_BYTES..HEADER_BYTES + 8 {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        let error = Request::decode(&frame_of(&damaged), &Limits::default()).unwrap_err();
        assert_eq!(error, WireError::BodyChecksum);
    }
}

#[test]
fn a_list_of_too_many_keys_is_over_the_limit_on_either_side() {
    let mut keys = KeyListBuilder::default();
    (0..Limits::KEYS_MAX).for_each(|_| keys.push(b"k").unwrap());
    assert!(!keys.has_room_for(b"k", usize::MAX));
    let mut bytes = Vec::new();
    let request = Request { command: Command::MultiGet { keys: keys.list() }, ..put(b"k", b"") };
    request.encode(&Limits::default(), false, &mut bytes).unwrap();
    assert!(Request::decode(&frame_of(&bytes), &Limits::default()).is_ok());
    let error = keys.push(b"k").unwrap_err();
    assert_eq!(error.code(), ErrorCode::LIMIT);
    // A client that doesn't count sends them all the same.
    let list = b"\x01\0k".repeat(1_000_000);
    let request = Request { command: Command::Ping { payload: b"" }, ..put(b"k", b"") };
    bytes.clear();
    request.encode(&Limits::default(), false, &mut bytes).unwrap();
    let mut header = *frame_of(&bytes).header;
    header.opcode = Opcode::MultiGet as u8;
    header.argument.set(1_000_000);
    header.value_len.set(list.len() as u32);
    let frame = Frame::of_parts(&header, &list);
    let error = Request::decode(&frame, &Limits::default()).unwrap_err();
    assert_eq!(error, WireError::TooManyKeys { keys: 1_000_000 });
    assert!(error.to_string().contains("4096"), "{error}");
}

#[test]
fn a_batch_of_too_many_operations_is_over_the_limit_before_they_are_looked_at() {
    let mut batch = BatchBuilder::default();
    (0..=Limits::OPS_MAX).for_each(|_| batch.delete(b"k").unwrap());
    let request = Request { command: Command::Batch { ops: batch.ops() }, ..put(b"k", b"") };
    let mut bytes = Vec::new();
    request.encode(&Limits::default(), false, &mut bytes).unwrap();
    let error = Request::decode(&frame_of(&bytes), &Limits::default()).unwrap_err();
    assert_eq!(error, WireError::TooManyOps { ops: Limits::OPS_MAX as u64 + 1 });
    assert_eq!(error.code(), ErrorCode::LIMIT);
}
