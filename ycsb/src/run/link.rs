//! One socket: bytes to send, bytes received, and the protocol between.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;

use crate::db::{self, Answer, DbError, Protocol};

/// A receive buffer starts with this and grows for larger answers.
const BUFFER_BYTES: usize = 64 << 10;
/// No answer is larger.
const BUFFER_BYTES_MAX: usize = 64 << 20;

pub(super) struct Link {
    pub(super) stream: TcpStream,
    address: SocketAddr,
    protocol: Box<dyn Protocol>,
    out: Vec<u8>,
    sent: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Whether there may be more to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Some,
    All,
}

impl Link {
    pub(super) fn connect(address: SocketAddr, mut protocol: Box<dyn Protocol>) -> Result<Link, DbError> {
        let mut stream = db::connect(address)?;
        protocol.greet(&mut stream)?;
        stream.set_nonblocking(true).map_err(|cause| DbError::Connect { address, cause })?;
        Ok(Link {
            stream: TcpStream::from_std(stream),
            address,
            protocol,
            out: Vec::new(),
            sent: 0,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// Appends a request to what is to be sent.
    pub(super) fn push(&mut self, request: u32, what: &db::Request<'_>) {
        self.protocol.encode(request, what, &mut self.out);
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self) -> Result<(), DbError> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(&error.to_string())),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Receives once. A read that doesn't fill the buffer took all there was.
    pub(super) fn receive(&mut self) -> Result<Received, DbError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end > self.buffer.len() / 2 {
                self.grow()?;
            }
        }
        let room = self.buffer.len() - self.end;
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => Err(self.lost("closed by the server")),
            Ok(read) => {
                self.end += read;
                Ok(if read < room { Received::All } else { Received::Some })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Received::All),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Received::Some),
            Err(error) => Err(self.lost(&error.to_string())),
        }
    }

    fn grow(&mut self) -> Result<(), DbError> {
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            return Err(self.lost("an answer of more than 64 MiB"));
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        Ok(())
    }

    /// Hands the next whole answer to `take`; false if there is none.
    pub(super) fn answer(&mut self, take: impl FnOnce(Answer<'_>)) -> Result<bool, DbError> {
        match self.protocol.decode(&self.buffer[self.start..self.end])? {
            Some(answer) => {
                self.start += answer.consumed;
                take(answer);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn lost(&self, cause: &str) -> DbError {
        DbError::Lost { address: self.address, cause: cause.to_owned() }
    }
}
