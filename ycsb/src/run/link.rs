//! One socket: bytes to send, bytes received, and the protocol between. A link whose connection has broken keeps what is
//! to be sent until it has a new one.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::db::{self, Answer, DbError, Protocol};

/// A receive buffer starts with this and grows for larger answers.
const BUFFER_BYTES: usize = 64 << 10;
/// No answer is larger.
const BUFFER_BYTES_MAX: usize = 64 << 20;
/// An attempt to connect again takes no longer: the other connections of the thread wait for it.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

pub(super) struct Link {
    stream: Option<TcpStream>,
    pub(super) address: SocketAddr,
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
        Ok(Link {
            stream: Some(driven(stream, address)?),
            address,
            protocol,
            out: Vec::new(),
            sent: 0,
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// Forgets its broken connection and all that was on it; from now on requests wait for a new one.
    pub(super) fn disconnect(&mut self, registry: &Registry, protocol: Box<dyn Protocol>) {
        if let Some(mut stream) = self.stream.take() {
            // A socket that is closed leaves the poll by itself.
            let _ = stream.deregister(registry);
        }
        self.protocol = protocol;
        self.out.clear();
        (self.sent, self.start, self.end) = (0, 0, 0);
    }

    /// Tries to get a new connection.
    pub(super) fn reconnect(&mut self) -> Result<(), DbError> {
        let mut stream = db::connect_within(self.address, RECONNECT_MAX)?;
        self.protocol.greet(&mut stream)?;
        self.stream = Some(driven(stream, self.address)?);
        Ok(())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Appends a request to what is to be sent.
    pub(super) fn push(&mut self, request: u32, what: &db::Request<'_>) {
        self.protocol.encode(request, what, &mut self.out);
    }

    /// Sends what can be sent.
    pub(super) fn flush(&mut self) -> Result<(), DbError> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
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
        let Some(stream) = &mut self.stream else { return Ok(Received::All) };
        match stream.read(&mut self.buffer[self.end..]) {
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
            return Err(DbError::Protocol(format!("{}: an answer of more than 64 MiB", self.address)));
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        Ok(())
    }

    /// Hands the next whole answer to `take`; false if there is none.
    pub(super) fn answer(&mut self, take: impl FnOnce(Answer<'_>)) -> Result<bool, DbError> {
        match self.protocol.decode(&self.buffer[self.start..self.end]) {
            Ok(Some(answer)) => {
                self.start += answer.consumed;
                take(answer);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(DbError::Closing(text)) => Err(self.lost(&text)),
            Err(error) => Err(error),
        }
    }

    fn lost(&self, cause: &str) -> DbError {
        DbError::Lost { address: self.address, cause: cause.to_owned() }
    }
}

fn driven(stream: std::net::TcpStream, address: SocketAddr) -> Result<TcpStream, DbError> {
    stream.set_nonblocking(true).map_err(|cause| DbError::Connect { address, cause })?;
    Ok(TcpStream::from_std(stream))
}
