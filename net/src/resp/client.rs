//! The other direction: commands are written, replies are read, in place.
//!
//! ```
//! use pinion_net::resp::client::{Reply, decode, encode};
//! let mut request = Vec::new();
//! encode(&[b"GET", b"a"], &mut request);
//! assert_eq!(request, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
//! let (reply, length) = decode(b"$1\r\nx\r\n+OK\r\n").unwrap().unwrap();
//! assert_eq!((reply, length), (Reply::Bulk(b"x"), 7));
//! assert!(decode(b"$5\r\nhal").unwrap().is_none()); // incomplete
//! ```

use super::number::{parse_i64, push_u64};

/// A reply of RESP2 or RESP3, its bytes borrowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply<'a> {
    /// A simple string.
    Simple(&'a [u8]),
    /// An error.
    Error(&'a [u8]),
    /// An integer.
    Integer(i64),
    /// A bulk string, or a verbatim string without its format.
    Bulk(&'a [u8]),
    /// The absent value or array.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A floating-point or a big number, as text.
    Number(&'a [u8]),
    /// An array or a set.
    Array(Vec<Reply<'a>>),
    /// A map.
    Map(Vec<(Reply<'a>, Reply<'a>)>),
    /// A message that answers no command.
    Push(Vec<Reply<'a>>),
}

/// Bytes that are no reply; the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An unknown type.
    #[error("a reply of unknown type '{}'", char::from(*.0))]
    Type(u8),
    /// A length or number that is none.
    #[error("a reply with an invalid number")]
    Number,
    /// More levels than [`DEPTH_MAX`].
    #[error("a reply nested deeper than {DEPTH_MAX}")]
    Depth,
    /// The line break after a bulk string is missing.
    #[error("a reply longer than it said")]
    LineBreak,
}

/// How deep replies may be nested.
pub const DEPTH_MAX: usize = 16;

/// Appends a command.
pub fn encode(args: &[&[u8]], out: &mut Vec<u8>) {
    push_header(b'*', args.len(), out);
    for arg in args {
        push_header(b'$', arg.len(), out);
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn push_header(kind: u8, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    push_u64(out, length as u64);
    out.extend_from_slice(b"\r\n");
}

/// Reads the reply at the start of `bytes` and tells its length; `None` if it isn't complete.
pub fn decode(bytes: &[u8]) -> Result<Option<(Reply<'_>, usize)>, DecodeError> {
    let mut reader = Reader { bytes, at: 0 };
    Ok(reader.reply(DEPTH_MAX)?.map(|reply| (reply, reader.at)))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Option<Reply<'a>>, DecodeError> {
        let Some(line) = self.line() else { return Ok(None) };
        let Some((&kind, text)) = line.split_first() else { return Err(DecodeError::Type(b'\r')) };
        let reply = match kind {
            b'+' => Reply::Simple(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(number(text)?),
            b'_' => Reply::Null,
            b'#' => Reply::Boolean(text == b"t"),
            b',' | b'(' => Reply::Number(text),
            b'$' | b'=' | b'!' => return self.bulk(kind, text),
            b'*' | b'~' | b'%' | b'>' => return self.aggregate(kind, text, depth),
            other => return Err(DecodeError::Type(other)),
        };
        Ok(Some(reply))
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        self.at += end + 1;
        Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
    }

    fn bulk(&mut self, kind: u8, text: &[u8]) -> Result<Option<Reply<'a>>, DecodeError> {
        let Ok(length) = usize::try_from(number(text)?) else { return Ok(Some(Reply::Null)) };
        let end = self.at.checked_add(length).ok_or(DecodeError::Number)?;
        let Some(bytes) = self.bytes.get(self.at..end) else { return Ok(None) };
        match self.bytes.get(end..).and_then(|rest| rest.get(..2)) {
            Some(b"\r\n") => self.at = end + 2,
            Some(_) => return Err(DecodeError::LineBreak),
            None => return Ok(None),
        }
        Ok(Some(match kind {
            b'=' => Reply::Bulk(bytes.get(4..).unwrap_or_default()),
            b'!' => Reply::Error(bytes),
            _ => Reply::Bulk(bytes),
        }))
    }

    fn aggregate(&mut self, kind: u8, text: &[u8], depth: usize) -> Result<Option<Reply<'a>>, DecodeError> {
        let Ok(length) = usize::try_from(number(text)?) else { return Ok(Some(Reply::Null)) };
        let depth = depth.checked_sub(1).ok_or(DecodeError::Depth)?;
        // The announced length allocates nothing: elements are pushed as they are found.
        if kind == b'%' {
            let mut pairs = Vec::new();
            for _ in 0..length {
                let Some(key) = self.reply(depth)? else { return Ok(None) };
                let Some(value) = self.reply(depth)? else { return Ok(None) };
                pairs.push((key, value));
            }
            return Ok(Some(Reply::Map(pairs)));
        }
        let mut items = Vec::new();
        for _ in 0..length {
            let Some(item) = self.reply(depth)? else { return Ok(None) };
            items.push(item);
        }
        Ok(Some(if kind == b'>' { Reply::Push(items) } else { Reply::Array(items) }))
    }
}

fn number(text: &[u8]) -> Result<i64, DecodeError> {
    parse_i64(text).ok_or(DecodeError::Number)
}

#[cfg(test)]
mod tests {
    use super::super::{Encoder, Protocol};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_encoder_writes_is_read_back() {
        let mut out = Vec::new();
        let mut reply = Encoder::new(&mut out, Protocol::Resp3);
        reply.map(2);
        reply.simple("a");
        reply.null();
        reply.bulk(b"b\r\n");
        reply.set(3);
        reply.boolean(true);
        reply.double(0.5);
        reply.text("t");
        let expected = Reply::Map(vec![
            (Reply::Simple(b"a"), Reply::Null),
            (
                Reply::Bulk(b"b\r\n"),
                Reply::Array(vec![Reply::Boolean(true), Reply::Number(b"0.5"), Reply::Bulk(b"t")]),
            ),
        ]);
        assert_eq!(decode(&out), Ok(Some((expected, out.len()))));
        for cut in 0..out.len() {
            assert_eq!(decode(&out[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_instead_of_overflowing_the_stack() {
        assert_eq!(decode(&b"*1\r\n".repeat(100_000)), Err(DecodeError::Depth));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_or_an_error(bytes in "[-+:$*%~>_#,=!(0-9\r\na]{0,60}") {
            let _ = decode(bytes.as_bytes());
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
