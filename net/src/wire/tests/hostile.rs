use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use zerocopy::{FromBytes, IntoBytes};

use super::super::*;
use super::requests::parts;
use super::responses::server_hello;

/// Does all that a server and a client do with received bytes.
fn digest(bytes: &[u8]) {
    let mut rest = bytes;
    while let Parsed::Frame(frame, consumed) = parse(rest, &Limits::default()) {
        assert!((HEADER_BYTES..=rest.len()).contains(&consumed));
        if let Ok(request) = Request::decode(&frame, &Limits::default()) {
            match request.command {
                Command::MultiGet { keys } => assert_eq!(keys.iter().count(), keys.len()),
                Command::Batch { ops } => assert_eq!(ops.iter().count(), ops.len()),
                _ => {}
            }
        }
        if let Ok(response) = Response::decode(&frame) {
            match response.reply {
                Reply::Values(results) => assert_eq!(results.iter().count(), results.len()),
                Reply::Outcomes(outcomes) => assert_eq!(outcomes.iter().count(), outcomes.len()),
                Reply::Page(page) => assert_eq!(page.iter().count(), page.len()),
                Reply::Hello(hello) => drop(hello.map.home_of(b"key")),
                _ => {}
            }
        }
        rest = &rest[consumed..];
    }
}

/// Frames of every kind of answer.
fn answers() -> Vec<Vec<u8>> {
    let value = ValueRef { bytes: b"some bytes", version: 1 << 40, expiry: 77 };
    let mut frames = vec![Vec::new(); 4];
    let to = |opcode: Opcode| Responder::for_parts(1, opcode as u8, false);
    let mut results = to(Opcode::MultiGet).results(&mut frames[0], 2, 0);
    results.push(&mut frames[0], Some(value));
    results.push_refused(&mut frames[0], ErrorCode::DAMAGED, "text");
    results.finish(&mut frames[0]);
    let mut outcomes = to(Opcode::Batch).outcomes(&mut frames[1]);
    outcomes.refused(&mut frames[1], 1, ErrorCode::BUSY, "text");
    outcomes.finish(&mut frames[1]);
    let mut page = to(Opcode::Scan).page(&mut frames[2]);
    page.push(&mut frames[2], b"key", value);
    page.finish(&mut frames[2], Some(b"cursor"));
    to(Opcode::Hello).hello(&mut frames[3], &server_hello());
    frames
}

/// Makes the header's checksum right again, so that what is behind it is looked at.
pub(super) fn seal(frame: &mut [u8]) {
    if let Ok((header, _)) = Header::mut_from_prefix(frame) {
        header.checksum = crc32c::crc32c(&header.as_bytes()[..HEADER_BYTES - 4]).into();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_bytes_do_harm(bytes in vec(any::<u8>(), 0..200)) {
        digest(&bytes);
    }

    #[test]
    fn no_bytes_behind_a_sound_start_do_harm(mut bytes in vec(any::<u8>(), 48..200)) {
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes[12..16].copy_from_slice(&100u32.to_le_bytes());
        bytes[10..12].copy_from_slice(&3u16.to_le_bytes());
        seal(&mut bytes);
        digest(&bytes);
    }

    #[test]
    fn no_change_to_a_request_does_harm(
        parts in parts(), checked: bool, changes in vec((any::<Index>(), any::<u8>()), 1..4), sealed: bool,
    ) {
        let mut bytes = Vec::new();
        parts.with(|request| request.encode(&Limits::default(), checked, &mut bytes)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if sealed {
            seal(&mut bytes);
        }
        digest(&bytes);
    }

    #[test]
    fn no_change_to_an_answer_does_harm(
        which in 0..4usize, changes in vec((any::<Index>(), any::<u8>()), 1..4), sealed: bool,
    ) {
        let mut bytes = answers().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if sealed {
            seal(&mut bytes);
        }
        digest(&bytes);
    }

    #[test]
    fn a_change_to_a_header_is_found(parts in parts(), at in 0..HEADER_BYTES, bit in 0..8) {
        let mut bytes = Vec::new();
        parts.with(|request| request.encode(&Limits::default(), false, &mut bytes)).unwrap();
        bytes[at] ^= 1u8 << bit;
        prop_assert!(matches!(parse(&bytes, &Limits::default()), Parsed::Invalid(_)));
    }

    #[test]
    fn needed_bytes_never_exceed_the_limits(mut header in any::<[u8; HEADER_BYTES]>()) {
        header[..2].copy_from_slice(&MAGIC);
        header[2] = VERSION;
        seal(&mut header);
        match parse(&header, &Limits::default()) {
            Parsed::Incomplete { need } => prop_assert!(need <= Limits::FRAME_BYTES_MAX),
            Parsed::Frame(_, consumed) => prop_assert_eq!(consumed, HEADER_BYTES),
            Parsed::Invalid(error) => prop_assert_eq!(error.code(), ErrorCode::LIMIT),
        }
    }
}

#[test]
fn another_protocol_is_told_apart_by_its_first_byte() {
    assert_eq!(parse(b"G", &Limits::default()), Parsed::Invalid(WireError::Magic));
    assert_eq!(parse(b"*1\r\n$4\r\nPING\r\n", &Limits::default()), Parsed::Invalid(WireError::Magic));
    assert_eq!(parse(b"", &Limits::default()), Parsed::Incomplete { need: HEADER_BYTES });
}

#[test]
fn an_opcode_or_a_flag_of_tomorrow_is_an_error_about_its_request_only() {
    let mut bytes = Vec::new();
    let request = Request {
        id: 5,
        level: Level::Default,
        keyspace: 0,
        deadline_ms: 0,
        once: None,
        command: Command::Info,
    };
    request.encode(&Limits::default(), false, &mut bytes).unwrap();
    let decode = |change: fn(&mut Header)| {
        let mut bytes = bytes.clone();
        change(Header::mut_from_bytes(&mut bytes).unwrap());
        seal(&mut bytes);
        Request::decode(&super::frame_of(&bytes), &Limits::default()).unwrap_err()
    };
    let error = decode(|header| header.opcode = 0x7f);
    assert_eq!(error, WireError::UnknownOpcode { opcode: 0x7f });
    let error = decode(|header| header.flags = 0x8000.into());
    assert_eq!(error, WireError::UnknownFlags { opcode: Opcode::Info as u8, flags: 0x8000 });
    assert!(matches!(decode(|header| header.level = 9), WireError::Malformed(_)));
}

#[test]
fn a_version_of_tomorrow_is_named() {
    let mut header = [0; HEADER_BYTES];
    header[..2].copy_from_slice(&MAGIC);
    header[2] = 9;
    assert_eq!(parse(&header, &Limits::default()), Parsed::Invalid(WireError::Version { found: 9 }));
}
