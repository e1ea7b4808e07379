//! memcached's text protocol: `get` and `set`, one value a record.

use std::collections::VecDeque;
use std::io::Write;

use super::error::DbError;
use super::protocol::{Answer, Protocol};
use super::request::{Outcome, Request};

/// Answers come in the order of the requests.
#[derive(Default)]
struct Connection {
    waiting: VecDeque<u32>,
}

pub(super) fn connection() -> Box<dyn Protocol> {
    Box::new(Connection::default())
}

impl Protocol for Connection {
    fn encode(&mut self, request: u32, what: &Request<'_>, out: &mut Vec<u8>) {
        self.waiting.push_back(request);
        match what {
            Request::Write { key, value } => {
                out.extend_from_slice(b"set ");
                out.extend_from_slice(key);
                let _ = write!(out, " 0 0 {}\r\n", value.len()); // writing to a vector can't fail
                out.extend_from_slice(value);
            }
            Request::Read { key } | Request::Scan { from: key, .. } => {
                out.extend_from_slice(b"get ");
                out.extend_from_slice(key);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Answer<'b>>, DbError> {
        let Some((line, start)) = line(bytes, 0) else { return Ok(None) };
        let (outcome, consumed) = match line {
            b"END" => (Outcome::NotFound, start),
            b"STORED" => (Outcome::Done, start),
            _ if line.starts_with(b"VALUE ") => match value(line, bytes, start)? {
                Some(found) => found,
                None => return Ok(None),
            },
            other => match std::str::from_utf8(other) {
                Ok(text) if text.contains("ERROR") || text == "NOT_STORED" => (Outcome::Failed(text), start),
                _ => return Err(strange(other)),
            },
        };
        let request = self.waiting.pop_front();
        let request =
            request.ok_or(DbError::Protocol("memcached: an answer that nothing was asked for".into()))?;
        Ok(Some(Answer { request, outcome, consumed }))
    }
}

fn strange(line: &[u8]) -> DbError {
    DbError::Protocol(format!("memcached answers {:?}", String::from_utf8_lossy(line)))
}

/// A line from `at` on, and where the next begins.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&rest[..end], at + end + 2))
}

/// The value after `VALUE <key> <flags> <bytes>`, up to its END.
fn value<'b>(head: &[u8], bytes: &'b [u8], start: usize) -> Result<Option<(Outcome<'b>, usize)>, DbError> {
    let length = head.split(|byte| *byte == b' ').nth(3).and_then(|text| std::str::from_utf8(text).ok());
    let length: usize = length.and_then(|text| text.parse().ok()).ok_or_else(|| strange(head))?;
    let end = start.checked_add(length).ok_or_else(|| strange(head))?;
    const TAIL: &[u8] = b"\r\nEND\r\n";
    match bytes.get(end..).and_then(|rest| rest.get(..TAIL.len())) {
        None => Ok(None),
        Some(TAIL) => Ok(Some((Outcome::Value(&bytes[start..end]), end + TAIL.len()))),
        Some(other) => Err(strange(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_misses_and_stores_are_told_apart_however_they_are_cut() {
        let mut connection = Connection::default();
        let mut out = Vec::new();
        for request in 0..4 {
            connection.encode(request, &Request::Read { key: b"k" }, &mut out);
        }
        let bytes = b"VALUE k 0 3\r\na\r\n\r\nEND\r\nEND\r\nSTORED\r\nSERVER_ERROR out of memory\r\n";
        let mut seen = Vec::new();
        let mut at = 0;
        for end in 0..=bytes.len() {
            while let Some(answer) = connection.decode(&bytes[at..end]).unwrap() {
                at += answer.consumed;
                seen.push((answer.request, answer.outcome));
            }
        }
        let failed = Outcome::Failed("SERVER_ERROR out of memory");
        let expected =
            [(0, Outcome::Value(b"a\r\n")), (1, Outcome::NotFound), (2, Outcome::Done), (3, failed)];
        assert_eq!(seen, expected);
    }
}
