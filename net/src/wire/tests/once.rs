//! What writes carry so that they are done exactly once, and what clients say of themselves for it.

use std::num::NonZeroU128;

use zerocopy::FromBytes;

use super::super::*;
use super::frame_of;
use super::hostile::seal;

const ONCE: Once = Once { number: 9, lowest: 7, first_sent_us: 0x0102, is_again: false };

fn put(value: &[u8]) -> Request<'_> {
    let (expiry, condition) = (Expiry::Never, Condition::None);
    let command = Command::Put { key: b"k", value, expiry, condition, want_old: false };
    Request { id: 1, level: Level::Default, keyspace: 0, deadline_ms: 0, once: Some(ONCE), command }
}

fn encoded(request: Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.encode(&Limits::default(), false, &mut bytes).unwrap();
    bytes
}

fn decode(bytes: &[u8]) -> Result<Request<'_>, WireError> {
    Request::decode(&frame_of(bytes), &Limits::default())
}

/// The same frame with another header.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    change(Header::mut_from_prefix(&mut bytes).unwrap().0);
    seal(&mut bytes);
    bytes
}

#[test]
fn the_number_the_lowest_open_one_and_the_time_precede_the_value() {
    let bytes = encoded(put(b"value"));
    let frame = frame_of(&bytes);
    assert_eq!(frame.flags(), Flags::ONCE);
    assert_eq!(frame.value[..8], [9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(frame.value[8..16], [7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(frame.value[16..24], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(frame.value[24..], *b"value");
    let again = Request { once: Some(Once { is_again: true, ..ONCE }), ..put(b"value") };
    assert_eq!(frame_of(&encoded(again)).flags(), Flags::ONCE.with(Flags::AGAIN));
}

#[test]
fn a_write_without_a_value_has_nothing_but_them_in_its_value_part() {
    let command = Command::Increment { key: b"k", by: 1 };
    let bytes = encoded(Request { command, ..put(b"") });
    assert_eq!(decode(&bytes).unwrap().once, Some(ONCE));
    let longer = with_header(&bytes, |header| header.value_len = 25.into());
    assert_eq!(decode(&longer), Err(WireError::Malformed("this request has no value part")));
}

#[test]
fn less_than_24_bytes_are_refused() {
    let bytes = encoded(put(b""));
    let frame = with_header(&bytes, |header| header.value_len = 23.into());
    // The key and 23 bytes need no padding.
    assert!(matches!(decode(&frame[..HEADER_BYTES + 24]), Err(WireError::Malformed(_))));
}

#[test]
fn numbers_that_cannot_be_are_refused_on_both_sides() {
    for (number, lowest) in [(0, 0), (0, 1), (9, 0), (9, 10)] {
        let once = Once { number, lowest, ..ONCE };
        let request = Request { once: Some(once), ..put(b"value") };
        let mut bytes = Vec::new();
        let error = request.encode(&Limits::default(), false, &mut bytes).unwrap_err();
        assert_eq!((error.code(), bytes.len()), (ErrorCode::BAD_REQUEST, 0));
        let mut bytes = encoded(put(b"value"));
        bytes[HEADER_BYTES + 1..][..8].copy_from_slice(&number.to_le_bytes());
        bytes[HEADER_BYTES + 9..][..8].copy_from_slice(&lowest.to_le_bytes());
        assert_eq!(decode(&bytes).unwrap_err().code(), ErrorCode::BAD_REQUEST);
    }
}

#[test]
fn again_without_a_number_is_refused() {
    let bytes = encoded(Request { once: None, ..put(b"value") });
    let bytes = with_header(&bytes, |header| header.flags = Flags::AGAIN.0.into());
    assert_eq!(decode(&bytes), Err(WireError::Malformed("AGAIN is set without ONCE")));
}

#[test]
fn levels_that_are_not_exactly_once_are_refused_on_both_sides() {
    for level in [Level::Eventual, Level::Session] {
        let request = Request { level, ..put(b"value") };
        let error = request.encode(&Limits::default(), false, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BAD_REQUEST);
        let bytes = with_header(&encoded(put(b"value")), |header| header.level = level as u8);
        assert_eq!(decode(&bytes).unwrap_err().code(), ErrorCode::BAD_REQUEST);
    }
    for level in [Level::Default, Level::Strong, Level::All] {
        assert!(decode(&encoded(Request { level, ..put(b"value") })).is_ok());
    }
}

#[test]
fn reads_have_no_number() {
    let range = Range::default();
    let hello = Command::Hello(Hello::new("name", Features::NONE, b""));
    for command in [Command::Get { key: b"k" }, Command::Count(range), Command::Info, hello] {
        let request = Request { command, ..put(b"") };
        let error = request.encode(&Limits::default(), false, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BAD_REQUEST);
        let plain = encoded(Request { once: None, ..request });
        let bytes = with_header(&plain, |header| header.flags = Flags::ONCE.0.into());
        let opcode = command.opcode() as u8;
        assert_eq!(decode(&bytes), Err(WireError::UnknownFlags { opcode, flags: Flags::ONCE.0 }));
    }
}

#[test]
fn they_do_not_count_for_the_limit_of_the_value() {
    let small = Limits { value_bytes_max: 100, batch_bytes_max: 100, ..Limits::default() };
    let mut bytes = Vec::new();
    put(&[0; 100]).encode(&small, false, &mut bytes).unwrap();
    let Parsed::Frame(frame, _) = parse(&bytes, &small) else { panic!("it wasn't taken") };
    assert_eq!(Request::decode(&frame, &small), Ok(put(&[0; 100])));
    let error = put(&[0; 101]).encode(&small, false, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "the value has 101 bytes, the limit is 100");
    let longer = encoded(put(&[0; 101]));
    assert_eq!(parse(&longer, &small), Parsed::Invalid(error));
    // Without a number the 24 bytes are the value's.
    let plain = encoded(Request { once: None, ..put(&[0; 124]) });
    assert!(matches!(parse(&plain, &small), Parsed::Invalid(_)));
}

fn hello(features: Features, client: Option<NonZeroU128>) -> Request<'static> {
    let hello = Hello { client, ..Hello::new("name", features, b"proof") };
    Request { once: None, command: Command::Hello(hello), ..put(b"") }
}

const CLIENT: Option<NonZeroU128> = NonZeroU128::new(0x0102);

#[test]
fn a_client_says_who_it_is_behind_its_proof() {
    for features in [Features::ONCE, Features::ONCE.required(), Features::NONE] {
        let bytes = encoded(hello(features, CLIENT));
        let value = frame_of(&bytes).value;
        assert_eq!(value[6..8], [16, 0]);
        assert_eq!(value[8..17], *b"nameproof");
        assert_eq!(value[17..], [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode(&bytes), Ok(hello(features, CLIENT)));
    }
}

#[test]
fn who_asks_for_once_without_saying_who_it_is_is_refused() {
    for features in [Features::ONCE, Features::ONCE.required(), Features::KNOWN] {
        let error = hello(features, None).encode(&Limits::default(), false, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::BAD_REQUEST);
        let bytes = encoded(hello(Features::NONE, None));
        let bytes = with_header(&bytes, |header| header.argument = features.0.into());
        assert_eq!(decode(&bytes).unwrap_err().code(), ErrorCode::BAD_REQUEST);
    }
}

#[test]
fn a_clients_id_of_another_length_or_of_zeros_is_refused() {
    let bytes = encoded(hello(Features::NONE, CLIENT));
    // The id begins behind 48 bytes of header, 8 of lengths, "name" and "proof"; its length is at 48 + 6.
    for length in [1u8, 15, 17] {
        let mut bytes = with_header(&bytes, |header| header.value_len = (17 + u32::from(length)).into());
        bytes.resize(HEADER_BYTES + (17 + usize::from(length)).next_multiple_of(8), 0);
        bytes[HEADER_BYTES + 6] = length;
        assert_eq!(decode(&bytes), Err(WireError::Malformed("a client's id has 16 bytes, or none")));
    }
    let mut zeros = bytes.clone();
    zeros[HEADER_BYTES + 17..].fill(0);
    assert_eq!(decode(&zeros), Err(WireError::Malformed("a client's id isn't zero")));
    let mut short = bytes;
    short[HEADER_BYTES + 6] = 0;
    assert!(matches!(decode(&short), Err(WireError::Malformed(_))), "the bytes are whose?");
}
