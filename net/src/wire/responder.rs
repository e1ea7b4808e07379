//! Responses from typed answers to frames: the server's side.
//!
//! A [`Responder`] is what a server remembers of a request to answer it later: 16 bytes, plain data.
//! Each method appends one whole frame. Answers of many parts are begun, extended and finished in
//! place, so their bytes are copied once.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::error::{ErrorCode, WireError};
use super::frame::{Frame, Open, append};
use super::header::{Flags, Header, Opcode, RESPONSE_BIT, Status};
use super::hello::ServerHello;
use super::limits::Limits;
use super::request::Request;
use super::results::{ItemHead, OldHead, OutcomeHead, ResultHead, ValueRef};

/// An error's text is cut after so many bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// Answers one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responder {
    id: u64,
    opcode: u8,
    flags: Flags,
}

impl Responder {
    /// For a decoded request; `checked` if the connection agreed on checksums.
    pub fn new(request: &Request<'_>, checked: bool) -> Responder {
        Responder::for_parts(request.id, request.command.opcode() as u8, checked)
    }

    /// For a frame that is no request.
    pub fn for_frame(frame: &Frame<'_>, checked: bool) -> Responder {
        Responder::for_parts(frame.id(), frame.header.opcode, checked)
    }

    /// For the request that an error names; else a notice about the whole connection, which is closed
    /// after it.
    pub fn for_error(error: &WireError) -> Responder {
        match error {
            WireError::TooLong { id, opcode, .. } => Responder::for_parts(*id, *opcode, false),
            _ => Responder::notice(),
        }
    }

    /// For a notice about the whole connection: the last frame before it is closed.
    pub fn notice() -> Responder {
        Responder::for_parts(0, 0, false)
    }

    /// For a request kept as its parts.
    pub fn for_parts(id: u64, opcode: u8, checked: bool) -> Responder {
        Responder { id, opcode: opcode | RESPONSE_BIT, flags: Flags::NONE.with_if(checked, Flags::CHECKED) }
    }

    /// The same, telling that another core or node answered.
    pub fn forwarded(self) -> Responder {
        Responder { flags: self.flags.with(Flags::FORWARDED), ..self }
    }

    /// The request's id.
    pub fn id(self) -> u64 {
        self.id
    }

    /// The request's opcode, if it is one.
    pub fn opcode(self) -> Option<Opcode> {
        Opcode::from_byte(self.opcode & !RESPONSE_BIT)
    }

    fn header(self, status: Status) -> Header {
        let mut header = Header::new(self.opcode, self.flags, self.id);
        header.level = status as u8;
        header
    }

    /// GET and EXISTS: the key is there. EXISTS leaves the bytes out.
    pub fn value(self, out: &mut Vec<u8>, value: ValueRef<'_>) {
        let mut header = self.header(Status::Ok);
        header.argument = U64::new(value.version);
        header.expiry = U64::new(value.expiry);
        let bytes = if self.opcode() == Some(Opcode::Exists) { b"" } else { value.bytes };
        append(out, header, b"", &[bytes]);
    }

    /// GET, EXISTS, EXPIRE, and DELETE where asked for: there is no such key.
    pub fn not_found(self, out: &mut Vec<u8>) {
        append(out, self.header(Status::NotFound), b"", &[]);
    }

    /// PUT and DELETE: done. `old` is the value before, where asked for.
    pub fn written(self, out: &mut Vec<u8>, version: u64, old: Option<ValueRef<'_>>) {
        let mut header = self.header(Status::Ok);
        header.argument = U64::new(version);
        append_with_old(out, header, old);
    }

    /// PUT and DELETE: the condition didn't hold. EXPIRE: there was no expiry to clear. `current` is what is
    /// there (its bytes only where asked for).
    pub fn not_met(self, out: &mut Vec<u8>, current: Option<ValueRef<'_>>) {
        append_with_old(out, self.header(Status::NotMet), current);
    }

    /// INCREMENT and COUNT.
    pub fn integer(self, out: &mut Vec<u8>, integer: i64) {
        let mut header = self.header(Status::Ok);
        header.argument = U64::new(integer as u64);
        append(out, header, b"", &[]);
    }

    /// EXPIRE and CLEAR.
    pub fn done(self, out: &mut Vec<u8>) {
        append(out, self.header(Status::Ok), b"", &[]);
    }

    /// PING (the payload) and INFO (JSON).
    pub fn bytes(self, out: &mut Vec<u8>, bytes: &[u8]) {
        append(out, self.header(Status::Ok), b"", &[bytes]);
    }

    /// HELLO.
    ///
    /// # Panics
    /// If the map isn't sound, see [`Map::is_sound`](super::Map::is_sound).
    pub fn hello(self, out: &mut Vec<u8>, hello: &ServerHello) {
        let mut header = self.header(Status::Ok);
        header.argument = U64::new(hello.features.0);
        header.expiry = U64::new(hello.server_us);
        let frame = Open::begin(out, header, 0);
        hello.encode_value(out);
        frame.finish(out, 0);
    }

    /// Not done, and certainly not applied. An empty text stands for the code's own.
    pub fn refused(self, out: &mut Vec<u8>, code: ErrorCode, text: &str) {
        self.failed(out, Status::Refused, code, text);
    }

    /// May or may not have been applied.
    pub fn unknown(self, out: &mut Vec<u8>, code: ErrorCode, text: &str) {
        self.failed(out, Status::Unknown, code, text);
    }

    /// Refused because of its bytes.
    pub fn error(self, out: &mut Vec<u8>, error: &WireError) {
        self.refused(out, error.code(), &error.to_string());
    }

    fn failed(self, out: &mut Vec<u8>, status: Status, code: ErrorCode, text: &str) {
        let mut header = self.header(status);
        header.keyspace = U16::new(code.0);
        append(out, header, b"", &[text_bytes(code, text)]);
    }

    /// Begins the answer of a MULTI-GET of so many keys, of which those that have a value to answer have
    /// `value_bytes` together. See [`ResultsEncoder::fits`].
    pub fn results(self, out: &mut Vec<u8>, keys: usize, value_bytes: usize) -> ResultsEncoder {
        let due = keys * size_of::<ResultHead>() + value_bytes;
        ResultsEncoder { frame: Open::begin(out, self.header(Status::Ok), due), count: 0, due }
    }

    /// Begins the answer of a BATCH.
    pub fn outcomes(self, out: &mut Vec<u8>) -> OutcomesEncoder {
        OutcomesEncoder { frame: Open::begin(out, self.header(Status::Ok), 0), count: 0 }
    }

    /// Begins the answer of a SCAN.
    pub fn page(self, out: &mut Vec<u8>) -> PageEncoder {
        PageEncoder { frame: Open::begin(out, self.header(Status::Ok), 0), count: 0 }
    }
}

fn append_with_old(out: &mut Vec<u8>, mut header: Header, old: Option<ValueRef<'_>>) {
    let Some(old) = old else { return append(out, header, b"", &[]) };
    header.flags = U16::new(Flags(header.flags.get()).with(Flags::HAS_OLD).0);
    let head = OldHead { version: U64::new(old.version), expiry: U64::new(old.expiry) };
    append(out, header, b"", &[head.as_bytes(), old.bytes]);
}

fn text_bytes(code: ErrorCode, text: &str) -> &[u8] {
    let text = if text.is_empty() { code.text() } else { text };
    let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|&end| text.is_char_boundary(end));
    &text.as_bytes()[..end.unwrap_or_default()]
}

fn length(len: usize) -> U32 {
    U32::new(u32::try_from(len).expect("values are limited to 16 MiB"))
}

/// The answer of a MULTI-GET in the making: results in the order of the keys.
///
/// It never gets longer than a response may: what the results of all keys need is set aside at the beginning, and texts
/// of errors get what is left.
#[derive(Debug)]
#[must_use = "an answer that isn't finished leaves half a frame"]
pub struct ResultsEncoder {
    frame: Open,
    count: u64,
    /// Bytes that are still to come for sure.
    due: usize,
}

impl ResultsEncoder {
    /// Whether the results of so many keys fit a response if values of so many bytes together are among them. One value
    /// always does.
    pub fn fits(keys: usize, value_bytes: usize) -> bool {
        keys * size_of::<ResultHead>() + value_bytes <= Limits::RESPONSE_BYTES_MAX as usize
    }

    /// The next key's value, `None` if it has none.
    pub fn push(&mut self, out: &mut Vec<u8>, value: Option<ValueRef<'_>>) {
        match value {
            Some(value) => {
                self.push_head(out, value.bytes.len(), value.version, value.expiry);
                out.extend_from_slice(value.bytes);
            }
            None => self.head(out, (Status::NotFound, ErrorCode(0)), 0, (0, 0)),
        }
    }

    /// The next key's value, all but its `len` bytes: the caller appends those to `out` behind it.
    pub fn push_head(&mut self, out: &mut Vec<u8>, len: usize, version: u64, expiry: u64) {
        self.due = self.due.saturating_sub(len);
        self.head(out, (Status::Ok, ErrorCode(0)), len, (version, expiry));
    }

    /// The next key couldn't be read. The text is left out where there is no room for it.
    pub fn push_refused(&mut self, out: &mut Vec<u8>, code: ErrorCode, text: &str) {
        let text = text_bytes(code, text);
        let has_room =
            self.frame.body_len(out) + self.due + text.len() <= Limits::RESPONSE_BYTES_MAX as usize;
        let bytes = if has_room { text } else { b"" };
        self.head(out, (Status::Refused, code), bytes.len(), (0, 0));
        out.extend_from_slice(bytes);
    }

    fn head(
        &mut self,
        out: &mut Vec<u8>,
        (status, error): (Status, ErrorCode),
        len: usize,
        (version, expiry): (u64, u64),
    ) {
        let head = ResultHead {
            version: U64::new(version),
            expiry: U64::new(expiry),
            value_len: length(len),
            status: status as u8,
            reserved: 0,
            error: U16::new(error.0),
        };
        out.extend_from_slice(head.as_bytes());
        self.count += 1;
        self.due = self.due.saturating_sub(size_of::<ResultHead>());
    }

    /// Completes the frame.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.frame.set_argument(self.count);
        self.frame.finish(out, 0);
    }
}

/// The answer of a BATCH in the making: one outcome for each partition that it touched.
#[derive(Debug)]
#[must_use = "an answer that isn't finished leaves half a frame"]
pub struct OutcomesEncoder {
    frame: Open,
    count: u64,
}

impl OutcomesEncoder {
    /// A partition's operations were done.
    pub fn done(&mut self, out: &mut Vec<u8>, partition: u16, version: u64) {
        self.push(out, partition, Status::Ok, version, ErrorCode(0), b"");
    }

    /// A partition's operations were certainly not applied.
    pub fn refused(&mut self, out: &mut Vec<u8>, partition: u16, code: ErrorCode, text: &str) {
        self.push(out, partition, Status::Refused, 0, code, self.text(out, code, text));
    }

    /// A partition's operations may or may not have been applied.
    pub fn unknown(&mut self, out: &mut Vec<u8>, partition: u16, code: ErrorCode, text: &str) {
        self.push(out, partition, Status::Unknown, 0, code, self.text(out, code, text));
    }

    /// The text, or none once thousands of them have filled the frame.
    fn text<'a>(&self, out: &[u8], code: ErrorCode, text: &'a str) -> &'a [u8] {
        let has_room = self.frame.body_len(out) < Limits::BYTES_MAX as usize / 2;
        if has_room { text_bytes(code, text) } else { b"" }
    }

    fn push(
        &mut self,
        out: &mut Vec<u8>,
        partition: u16,
        status: Status,
        version: u64,
        error: ErrorCode,
        text: &[u8],
    ) {
        let head = OutcomeHead {
            partition: U16::new(partition),
            status: status as u8,
            reserved: 0,
            error: U16::new(error.0),
            text_len: U16::new(text.len() as u16),
            version: U64::new(version),
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(text);
        self.count += 1;
    }

    /// Completes the frame.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.frame.set_argument(self.count);
        self.frame.finish(out, 0);
    }
}

/// The answer of a SCAN in the making.
#[derive(Debug)]
#[must_use = "an answer that isn't finished leaves half a frame"]
pub struct PageEncoder {
    frame: Open,
    count: u64,
}

impl PageEncoder {
    /// Whether an item of these lengths still fits, and a cursor behind it. The first always does.
    pub fn has_room_for(&self, out: &[u8], key_bytes: usize, value_bytes: usize) -> bool {
        let cursor = Limits::KEY_BYTES_MAX + 1024;
        let item = size_of::<ItemHead>() + key_bytes + value_bytes;
        self.frame.body_len(out) + item + cursor <= Limits::RESPONSE_BYTES_MAX as usize
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of items and their framing so far.
    pub fn bytes(&self, out: &[u8]) -> usize {
        self.frame.body_len(out)
    }

    /// The next item.
    ///
    /// # Panics
    /// If the key has over 65,535 bytes.
    pub fn push(&mut self, out: &mut Vec<u8>, key: &[u8], value: ValueRef<'_>) {
        let head = ItemHead {
            version: U64::new(value.version),
            expiry: U64::new(value.expiry),
            value_len: length(value.bytes.len()),
            key_len: U16::new(u16::try_from(key.len()).expect("keys are limited to 65,535 bytes")),
            reserved: U16::ZERO,
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.bytes);
        self.count += 1;
    }

    /// Completes the frame. `cursor`: what the server needs to go on, `None` at the end of the scan.
    pub fn finish(mut self, out: &mut Vec<u8>, cursor: Option<&[u8]>) {
        let cursor = cursor.unwrap_or_default();
        self.frame.set_argument(self.count);
        self.frame.set_expiry(cursor.len() as u64);
        out.extend_from_slice(cursor);
        self.frame.finish(out, 0);
    }
}
