//! Stores behind a connection: requests become bytes and bytes answers, without I/O.

use std::net::TcpStream;

use super::error::DbError;
use super::request::{Outcome, Request};

/// An answer from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// To which request.
    pub request: u32,
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// Bytes it took.
    pub consumed: usize,
}

/// A protocol in the client's direction; the state of one connection.
pub trait Protocol: Send {
    /// What precedes the first request, on a blocking socket.
    fn greet(&mut self, _stream: &mut TcpStream) -> Result<(), DbError> {
        Ok(())
    }

    /// Appends a request, whose answer will carry its number.
    fn encode(&mut self, request: u32, what: &Request<'_>, out: &mut Vec<u8>);

    /// Reads the answer at the start of `bytes`; `None` if it isn't complete.
    fn decode<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<Answer<'b>>, DbError>;
}
