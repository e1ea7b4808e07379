//! Responses, typed: the client's side.

use super::error::{ErrorCode, WireError};
use super::frame::Frame;
use super::header::{Flags, Opcode, RESPONSE_BIT, Status};
use super::hello::ServerHello;
use super::results::{KeyResults, OldHead, Outcomes, Page, ValueRef};
use super::take::take;

/// One response. Its bytes are borrowed from the received frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Response<'a> {
    /// The request's id; zero: a notice about the whole connection, which is closed after it.
    pub id: u64,
    /// Whether another core or node answered, so that the map in use may be old.
    pub forwarded: bool,
    /// What came of the request.
    pub reply: Reply<'a>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// GET, EXISTS: the key is there.
    Value(ValueRef<'a>),
    /// GET, EXISTS, EXPIRE, DELETE: it isn't.
    NotFound,
    /// PUT, DELETE: done.
    Written {
        /// The version written.
        version: u64,
        /// The value before, where asked for and there.
        old: Option<ValueRef<'a>>,
    },
    /// PUT, DELETE: the condition didn't hold. EXPIRE: the key has no expiry that could be cleared.
    NotMet {
        /// What is there, if anything; its bytes only where asked for.
        current: Option<ValueRef<'a>>,
    },
    /// INCREMENT, COUNT.
    Integer(i64),
    /// EXPIRE, CLEAR.
    Done,
    /// PING, INFO.
    Bytes(&'a [u8]),
    /// MULTI-GET.
    Values(KeyResults<'a>),
    /// BATCH.
    Outcomes(Outcomes<'a>),
    /// SCAN.
    Page(Page<'a>),
    /// HELLO.
    Hello(Box<ServerHello>),
    /// Not done, and certainly not applied.
    Refused {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        text: &'a str,
    },
    /// May or may not have been applied.
    Unknown {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        text: &'a str,
    },
}

impl<'a> Response<'a> {
    /// Types a frame.
    pub fn decode(frame: &Frame<'a>) -> Result<Response<'a>, WireError> {
        if !frame.is_intact() {
            return Err(WireError::BodyChecksum);
        }
        if frame.header.opcode & RESPONSE_BIT == 0 {
            return Err(WireError::Malformed("a request where a response is due"));
        }
        let Some(status) = Status::from_byte(frame.header.level) else {
            return Err(WireError::Malformed("the status is none of 0 to 4"));
        };
        let code = ErrorCode(frame.header.keyspace.get());
        let reply = match status {
            Status::Ok => decode_done(frame)?,
            Status::NotFound => Reply::NotFound,
            Status::NotMet => Reply::NotMet { current: decode_old(frame)? },
            Status::Refused => Reply::Refused { code, text: decode_text(frame)? },
            Status::Unknown => Reply::Unknown { code, text: decode_text(frame)? },
        };
        Ok(Response { id: frame.id(), forwarded: frame.flags().has(Flags::FORWARDED), reply })
    }
}

fn decode_done<'a>(frame: &Frame<'a>) -> Result<Reply<'a>, WireError> {
    let Frame { header, value, .. } = *frame;
    let (argument, expiry) = (header.argument.get(), header.expiry.get());
    let Some(opcode) = Opcode::from_byte(header.opcode & !RESPONSE_BIT) else {
        return Err(WireError::UnknownOpcode { opcode: header.opcode });
    };
    Ok(match opcode {
        Opcode::Get | Opcode::Exists => Reply::Value(ValueRef { bytes: value, version: argument, expiry }),
        Opcode::Put | Opcode::Delete => Reply::Written { version: argument, old: decode_old(frame)? },
        Opcode::Increment | Opcode::Count => Reply::Integer(argument as i64),
        Opcode::Expire | Opcode::Clear => Reply::Done,
        Opcode::Ping | Opcode::Info => Reply::Bytes(value),
        Opcode::MultiGet => Reply::Values(KeyResults::check(value, argument)?),
        Opcode::Batch => Reply::Outcomes(Outcomes::check(value, argument)?),
        Opcode::Scan => Reply::Page(Page::check(value, argument, expiry)?),
        Opcode::Hello => Reply::Hello(Box::new(ServerHello::decode(argument, expiry, value)?)),
    })
}

fn decode_old<'a>(frame: &Frame<'a>) -> Result<Option<ValueRef<'a>>, WireError> {
    if !frame.flags().has(Flags::HAS_OLD) {
        return Ok(None);
    }
    let Some((head, bytes)) = take::<OldHead>(frame.value) else {
        return Err(WireError::Malformed("an old value without its version"));
    };
    Ok(Some(ValueRef { bytes, version: head.version.get(), expiry: head.expiry.get() }))
}

fn decode_text<'a>(frame: &Frame<'a>) -> Result<&'a str, WireError> {
    str::from_utf8(frame.value).map_err(|_| WireError::Malformed("an error's text isn't UTF-8"))
}
