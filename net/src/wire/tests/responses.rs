use super::super::*;
use super::frame_of;

fn answer(opcode: Opcode, write: impl FnOnce(Responder, &mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(Responder::for_parts(77, opcode as u8, true), &mut bytes);
    bytes
}

fn reply(bytes: &[u8]) -> Reply<'_> {
    let response = Response::decode(&frame_of(bytes)).unwrap();
    assert_eq!((response.id, response.forwarded), (77, false));
    response.reply
}

const VALUE: ValueRef<'static> = ValueRef { bytes: b"bytes", version: 5, expiry: 6 };

#[test]
fn a_value_carries_its_version_and_expiry_and_exists_leaves_its_bytes_out() {
    let bytes = answer(Opcode::Get, |to, out| to.value(out, VALUE));
    assert_eq!(reply(&bytes), Reply::Value(VALUE));
    let bytes = answer(Opcode::Exists, |to, out| to.value(out, VALUE));
    assert_eq!(reply(&bytes), Reply::Value(ValueRef { bytes: b"", ..VALUE }));
}

#[test]
fn a_write_answers_its_version_and_the_old_value_where_there_is_one() {
    for old in [None, Some(VALUE), Some(ValueRef::default())] {
        let bytes = answer(Opcode::Put, |to, out| to.written(out, 9, old));
        assert_eq!(reply(&bytes), Reply::Written { version: 9, old });
        let bytes = answer(Opcode::Delete, |to, out| to.not_met(out, old));
        assert_eq!(reply(&bytes), Reply::NotMet { current: old });
    }
}

#[test]
fn plain_answers_come_back_as_they_were_given() {
    let bytes = answer(Opcode::Get, |to, out| to.not_found(out));
    assert_eq!(reply(&bytes), Reply::NotFound);
    let bytes = answer(Opcode::Increment, |to, out| to.integer(out, -3));
    assert_eq!(reply(&bytes), Reply::Integer(-3));
    let bytes = answer(Opcode::Clear, |to, out| to.done(out));
    assert_eq!(reply(&bytes), Reply::Done);
    let bytes = answer(Opcode::Ping, |to, out| to.bytes(out, b"echo"));
    assert_eq!(reply(&bytes), Reply::Bytes(b"echo"));
}

#[test]
fn errors_carry_number_and_text_and_a_long_text_is_cut_between_characters() {
    let bytes = answer(Opcode::Put, |to, out| to.refused(out, ErrorCode::BUSY, ""));
    assert_eq!(reply(&bytes), Reply::Refused { code: ErrorCode::BUSY, text: ErrorCode::BUSY.text() });
    let long = "ü".repeat(700);
    let bytes = answer(Opcode::Put, |to, out| to.unknown(out, ErrorCode::LOG_FAILED, &long));
    let Reply::Unknown { code, text } = reply(&bytes) else { panic!("no error") };
    assert_eq!((code, text), (ErrorCode::LOG_FAILED, "ü".repeat(512).as_str()));
    let bytes = answer(Opcode::Put, |to, out| to.error(out, &WireError::KeyLength { bytes: 0 }));
    assert!(matches!(reply(&bytes), Reply::Refused { code: ErrorCode::LIMIT, .. }));
}

#[test]
fn results_of_several_keys_keep_their_order() {
    let bytes = answer(Opcode::MultiGet, |to, out| {
        let mut results = to.results(out, 3, VALUE.bytes.len());
        results.push(out, Some(VALUE));
        results.push(out, None);
        results.push_refused(out, ErrorCode::DAMAGED, "shard-000/7.sst at 4096");
        results.finish(out);
    });
    let Reply::Values(results) = reply(&bytes) else { panic!("no results") };
    let refused = KeyResult::Refused { code: ErrorCode::DAMAGED, text: "shard-000/7.sst at 4096" };
    let expected = [KeyResult::Value(VALUE), KeyResult::NotFound, refused];
    assert_eq!(results.iter().collect::<Vec<_>>(), expected);
    assert_eq!(results.len(), 3);
}

/// The length of a response's value part must be one that a client takes; [`frame_of`] checks it.
fn kept_length(bytes: &[u8]) -> usize {
    frame_of(bytes).value.len()
}

#[test]
fn results_of_any_keys_and_texts_keep_to_the_limit_of_a_response() {
    let largest = vec![7; Limits::BYTES_MAX as usize];
    assert!(ResultsEncoder::fits(Limits::KEYS_MAX, largest.len()), "one value always fits");
    assert!(!ResultsEncoder::fits(Limits::KEYS_MAX, 2 * largest.len()));
    let bytes = answer(Opcode::MultiGet, |to, out| {
        let mut results = to.results(out, Limits::KEYS_MAX, largest.len());
        let text = "x".repeat(1024);
        (1..Limits::KEYS_MAX).for_each(|_| results.push_refused(out, ErrorCode::DAMAGED, &text));
        results.push(out, Some(ValueRef { bytes: &largest, version: 1, expiry: 0 }));
        results.finish(out);
    });
    assert!(kept_length(&bytes) <= Limits::RESPONSE_BYTES_MAX as usize);
    let Reply::Values(results) = reply(&bytes) else { panic!("no results") };
    assert_eq!(results.len(), Limits::KEYS_MAX);
    let results: Vec<_> = results.iter().collect();
    assert!(matches!(results[0], KeyResult::Refused { text, .. } if text.len() == 1024));
    assert!(matches!(results[Limits::KEYS_MAX - 2], KeyResult::Refused { text: "", .. }));
    assert!(matches!(results[Limits::KEYS_MAX - 1], KeyResult::Value(value) if value.bytes == largest));
}

#[test]
fn outcomes_of_every_partition_keep_to_the_limit_of_a_response() {
    let text = "x".repeat(1024);
    let bytes = answer(Opcode::Batch, |to, out| {
        let mut outcomes = to.outcomes(out);
        (0..16_384).for_each(|partition| outcomes.refused(out, partition, ErrorCode::READ_ONLY, &text));
        outcomes.finish(out);
    });
    assert!(kept_length(&bytes) <= Limits::RESPONSE_BYTES_MAX as usize);
    let Reply::Outcomes(outcomes) = reply(&bytes) else { panic!("no outcomes") };
    assert_eq!(outcomes.len(), 16_384);
}

#[test]
fn a_batch_answers_one_outcome_for_each_partition() {
    let bytes = answer(Opcode::Batch, |to, out| {
        let mut outcomes = to.outcomes(out);
        outcomes.done(out, 3, 99);
        outcomes.refused(out, 1, ErrorCode::READ_ONLY, "disk full");
        outcomes.unknown(out, 2, ErrorCode::LOG_FAILED, "");
        outcomes.finish(out);
    });
    let Reply::Outcomes(outcomes) = reply(&bytes) else { panic!("no outcomes") };
    let outcomes: Vec<_> = outcomes.iter().map(|o| (o.partition, o.status, o.version, o.text)).collect();
    let text = ErrorCode::LOG_FAILED.text();
    let expected =
        [(3, Status::Ok, 99, ""), (1, Status::Refused, 0, "disk full"), (2, Status::Unknown, 0, text)];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_page_carries_items_and_a_cursor_until_the_last() {
    for cursor in [None, Some(&b"opaque"[..])] {
        let bytes = answer(Opcode::Scan, |to, out| {
            let mut page = to.page(out);
            assert!(page.has_room_for(out, Limits::KEY_BYTES_MAX, Limits::BYTES_MAX as usize));
            page.push(out, b"a", VALUE);
            page.push(out, b"bb", ValueRef::default());
            page.finish(out, cursor);
        });
        let Reply::Page(page) = reply(&bytes) else { panic!("no page") };
        assert_eq!(page.next_cursor(), cursor);
        let items: Vec<_> = page.iter().map(|item| (item.key, item.value)).collect();
        assert_eq!(items, [(&b"a"[..], VALUE), (b"bb", ValueRef::default())]);
    }
}

pub(super) fn server_hello() -> ServerHello {
    let node = NodePorts { id: 8, host: "10.0.0.1".into(), port: 7400, core_ports: vec![8400, 8401] };
    let homes = (0..4).map(|partition| Home { node: 0, core: partition % 2 }).collect();
    ServerHello {
        version: VERSION,
        features: Features::CHECKSUM,
        limits: Limits { value_bytes_max: 1 << 20, ..Limits::default() },
        cluster_id: [7; 16],
        server_version: "0.1.0".into(),
        home: Home { node: 0, core: 1 },
        server_us: 1_790_000_000_000_000,
        map: Map { epoch: 3, nodes: vec![node], homes },
    }
}

#[test]
fn hello_hands_over_limits_and_map() {
    let hello = server_hello();
    let bytes = answer(Opcode::Hello, |to, out| to.hello(out, &hello));
    let Reply::Hello(decoded) = reply(&bytes) else { panic!("no hello") };
    assert_eq!(*decoded, hello);
    assert_eq!(decoded.map.partition_of(b"foo"), 12_182 / 4_096);
}

#[test]
fn a_map_that_names_a_core_that_is_not_there_is_an_error() {
    let hello = server_hello();
    let mut bytes = Vec::new();
    Responder::for_parts(77, Opcode::Hello as u8, false).hello(&mut bytes, &hello);
    let homes_end = HEADER_BYTES + frame_of(&bytes).value.len();
    bytes[homes_end - 2] = 9;
    assert!(matches!(Response::decode(&frame_of(&bytes)), Err(WireError::Malformed(_))));
}

#[test]
fn a_notice_about_the_connection_has_no_request() {
    let mut bytes = Vec::new();
    Responder::for_error(&WireError::Magic).error(&mut bytes, &WireError::Magic);
    let response = Response::decode(&frame_of(&bytes)).unwrap();
    assert_eq!(response.id, 0);
    assert!(matches!(response.reply, Reply::Refused { code: ErrorCode::BAD_FRAME, .. }));
}

#[test]
fn every_error_has_a_number_of_its_own_a_name_and_a_text() {
    let numbers: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().collect();
    assert_eq!(numbers.len(), ErrorCode::ALL.len());
    assert_eq!(ErrorCode::BUSY.to_string(), "BUSY (12)");
    assert_eq!(ErrorCode(999).name(), "UNLISTED");
}
