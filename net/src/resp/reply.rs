//! Writes RESP2 and RESP3 replies into a byte vector.
//!
//! One call writes one element; aggregates are a header ([`Encoder::array`], [`Encoder::map`]) followed by
//! their elements. What only RESP3 has is written to RESP2 clients as Redis does: maps as flat arrays,
//! booleans as integers, doubles and verbatim strings as bulk strings.
//!
//! ```
//! use pinion_net::resp::{Encoder, Protocol};
//! let mut out = Vec::new();
//! let mut reply = Encoder::new(&mut out, Protocol::Resp2);
//! reply.map(1);
//! reply.bulk(b"save");
//! reply.bulk(b"");
//! assert_eq!(out, b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
//! ```

use super::number::{push_i64, push_u64};

/// The version a connection speaks; RESP2 until HELLO says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

impl Protocol {
    /// The number HELLO uses.
    pub fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Appends replies to a vector.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    protocol: Protocol,
}

impl<'o> Encoder<'o> {
    /// An encoder that appends to `out`.
    pub fn new(out: &'o mut Vec<u8>, protocol: Protocol) -> Encoder<'o> {
        Encoder { out, protocol }
    }

    /// What is being spoken.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string; line breaks become spaces.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, its code first (`ERR ...`); line breaks become spaces, which keeps the stream in step.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) {
        self.out.push(b':');
        push_i64(self.out, value);
        self.end_line();
    }

    /// A bulk string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 26);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.end_line();
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// The absent value.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The absent array.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array; `items` elements follow.
    pub fn array(&mut self, items: usize) {
        self.header(b'*', items);
    }

    /// The head of a map; `pairs` times a key and a value follow.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// The head of a set; `items` elements follow.
    pub fn set(&mut self, items: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', items),
            Protocol::Resp3 => self.header(b'~', items),
        }
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// A floating-point number.
    pub fn double(&mut self, value: f64) {
        let text = if value.is_infinite() {
            if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
        } else if value.is_nan() {
            "nan".to_owned()
        } else {
            value.to_string()
        };
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// Text for people (INFO, CLIENT LIST): a verbatim string to RESP3 clients.
    pub fn text(&mut self, text: &str) {
        self.text_head(text.len());
        self.out.extend_from_slice(text.as_bytes());
        self.end_line();
    }

    /// The head of a text of so many bytes; these and a line break follow, as [`Encoder::elements`].
    pub fn text_head(&mut self, bytes: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'$', bytes),
            Protocol::Resp3 => {
                self.header(b'=', bytes + 4);
                self.out.extend_from_slice(b"txt:");
            }
        }
    }

    /// Elements that were written before, in the same protocol.
    pub fn elements(&mut self, written: &[u8]) {
        self.out.extend_from_slice(written);
    }

    fn header(&mut self, kind: u8, length: usize) {
        self.out.push(kind);
        push_u64(self.out, length as u64);
        self.end_line();
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        let start = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.end_line();
    }

    fn end_line(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Encoder::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn resp2_clients_get_only_resp2_types() {
        let all = written(Protocol::Resp2, |reply| {
            reply.null();
            reply.null_array();
            reply.map(2);
            reply.set(2);
            reply.boolean(true);
            reply.double(1.5);
            reply.text("a");
        });
        assert_eq!(all, "$-1\r\n*-1\r\n*4\r\n*2\r\n:1\r\n$3\r\n1.5\r\n$1\r\na\r\n");
    }

    #[test]
    fn resp3_clients_get_the_richer_types() {
        let all = written(Protocol::Resp3, |reply| {
            reply.null();
            reply.null_array();
            reply.map(2);
            reply.set(2);
            reply.boolean(false);
            reply.double(f64::NEG_INFINITY);
            reply.text("a");
        });
        assert_eq!(all, "_\r\n_\r\n%2\r\n~2\r\n#f\r\n,-inf\r\n=5\r\ntxt:a\r\n");
    }

    #[test]
    fn line_breaks_can_not_leave_an_error() {
        let error = written(Protocol::Resp2, |reply| reply.error("ERR a\r\n+OK"));
        assert_eq!(error, "-ERR a  +OK\r\n");
    }
}
