//! One connection, driven by the thread that owns it: no runtime, no task, no lock.
//!
//! Requests are appended to a buffer by [`Connection::send`] and leave together; responses are parsed
//! in the buffer they were received in. This is the cheapest way to keep thousands of requests in
//! flight. Sending reads as well once the server stops taking more, so a deep pipeline can't block
//! itself. Nothing is retried: after an error the requests without a response are unknown, except after the notice
//! SHUTTING_DOWN: then they weren't executed.
//!
//! ```no_run
//! use pinion_net::client::Options;
//! use pinion_net::client::raw::Connection;
//! use pinion_net::wire::{Command, Reply};
//!
//! # fn main() -> Result<(), pinion_net::client::Error> {
//! let mut connection = Connection::connect("127.0.0.1:7400", &Options::default())?;
//! for key in ["a", "b", "c"] {
//!     connection.send(Command::Get { key: key.as_bytes() })?;
//! }
//! while connection.in_flight() > 0 {
//!     let response = connection.recv()?;
//!     println!("{} is there: {}", response.id, matches!(response.reply, Reply::Value(_)));
//! }
//! # Ok(())
//! # }
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::error::Error;
use super::inbox::Inbox;
use super::options::Options;
use crate::wire::{Command, Features, Reply, Request, Response, ServerHello};

/// How long a system call may block before the other direction, or the deadline, is looked after.
const PATIENCE: Duration = Duration::from_millis(20);
/// Pause of a flush that can neither write nor read.
const BREATH: Duration = Duration::from_micros(100);

/// A connection that agreed on HELLO.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    address: String,
    options: Options,
    output: Vec<u8>,
    inbox: Inbox,
    hello: ServerHello,
    next_id: u64,
    in_flight: usize,
    nonblocking: bool,
}

impl Connection {
    /// Connects and exchanges HELLO, within the options' connect timeout.
    pub fn connect(address: &str, options: &Options) -> Result<Connection, Error> {
        let unreachable = |error: std::io::Error| Error::io(address, &error);
        let candidates: Vec<SocketAddr> = address.to_socket_addrs().map_err(unreachable)?.collect();
        let mut error = std::io::Error::new(ErrorKind::NotFound, "the name has no address");
        for candidate in candidates {
            match TcpStream::connect_timeout(&candidate, options.connect_timeout) {
                Ok(stream) => return Connection::over(stream, address, options),
                Err(failure) => error = failure,
            }
        }
        Err(unreachable(error))
    }

    /// Exchanges HELLO over a connected stream.
    pub fn over(stream: TcpStream, address: &str, options: &Options) -> Result<Connection, Error> {
        let unreachable = |error: std::io::Error| Error::io(address, &error);
        stream.set_nodelay(true).map_err(unreachable)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
        let mut connection = Connection {
            stream,
            address: address.to_owned(),
            options: options.clone(),
            output: Vec::new(),
            inbox: Inbox::default(),
            hello: ServerHello::default(),
            next_id: 1,
            in_flight: 0,
            nonblocking: false,
        };
        let hello = connection.greet()?;
        connection.hello = hello;
        Ok(connection)
    }

    fn greet(&mut self) -> Result<ServerHello, Error> {
        let options = self.options.clone();
        self.send(Command::Hello(options.hello(None)))?;
        let address = self.address.clone();
        let Some(response) = self.recv_within(options.connect_timeout)? else {
            return Err(Error::NotConnected { address, text: "it doesn't answer HELLO".into() });
        };
        match response.reply {
            Reply::Hello(hello) => options.check(&hello, &address).map(|()| *hello),
            Reply::Refused { code, text } => Err(Error::refused_by(&address, code, text)),
            _ => Err(Error::protocol(&address, &"it answers HELLO with something else")),
        }
    }

    /// What the server said of itself: limits, map, this connection's core.
    pub fn hello(&self) -> &ServerHello {
        &self.hello
    }

    /// Requests without a response so far.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Appends a request to what leaves next, with the options' keyspace and level and no deadline.
    /// Answers its id.
    pub fn send(&mut self, command: Command<'_>) -> Result<u64, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let (level, keyspace) = (self.options.level, self.options.keyspace);
        let request = Request { id, level, keyspace, deadline_ms: 0, once: None, command };
        self.send_request(&request)?;
        Ok(id)
    }

    /// Appends a request as it is; its id is the caller's to keep apart from others.
    pub fn send_request(&mut self, request: &Request<'_>) -> Result<(), Error> {
        let checked = self.hello.features.has(Features::CHECKSUM);
        let limits = self.hello.limits;
        request.encode(&limits, checked, &mut self.output).map_err(|error| Error::unsendable(&error))?;
        self.in_flight += 1;
        Ok(())
    }

    /// Writes what was appended. In blocking mode all of it, reading meanwhile if the server waits for
    /// that; in non-blocking mode as much as the socket takes. Answers how many bytes are left.
    pub fn flush(&mut self) -> Result<usize, Error> {
        self.write_some()?;
        if self.output.is_empty() || self.nonblocking {
            return Ok(self.output.len());
        }
        self.set_nonblocking(true)?;
        let flushed = self.flush_while_reading();
        self.set_nonblocking(false)?;
        flushed.map(|()| 0)
    }

    fn flush_while_reading(&mut self) -> Result<(), Error> {
        while !self.output.is_empty() {
            let written = self.write_some()?;
            if written + self.fill()? == 0 {
                std::thread::sleep(BREATH);
            }
        }
        Ok(())
    }

    /// Writes until the socket takes no more for now.
    fn write_some(&mut self) -> Result<usize, Error> {
        let mut written = 0;
        while written < self.output.len() {
            match self.stream.write(&self.output[written..]) {
                Ok(0) => return Err(self.lost(&"it took no bytes")),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.lost(&error)),
            }
        }
        self.output.drain(..written);
        Ok(written)
    }

    /// Reads once from the socket. Answers how many bytes came; zero if none were there in time.
    pub fn fill(&mut self) -> Result<usize, Error> {
        loop {
            match self.stream.read(self.inbox.room()) {
                Ok(0) => return Err(self.lost(&"the server closed the connection")),
                Ok(bytes) => {
                    self.inbox.filled(bytes);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(self.lost(&error)),
            }
        }
    }

    /// The next response among the bytes already received. A notice about the whole connection, which the
    /// server closes after it, comes as [`Error::Refused`]; it is the last there is.
    pub fn try_recv(&mut self) -> Result<Option<Response<'_>>, Error> {
        if !self.inbox.is_ready() {
            return Ok(None);
        }
        let frame = match self.inbox.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(error) => return Err(Error::protocol(&self.address, &error)),
        };
        match Response::decode(&frame) {
            Ok(Response { id: 0, reply: Reply::Refused { code, text }, .. }) => {
                Err(Error::refused_by(&self.address, code, text))
            }
            Ok(response) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                Ok(Some(response))
            }
            Err(error) => Err(Error::protocol(&self.address, &error)),
        }
    }

    /// The next response, for which it flushes and waits up to the options' timeout.
    pub fn recv(&mut self) -> Result<Response<'_>, Error> {
        let timeout = self.options.timeout;
        match self.recv_within(timeout)? {
            Some(response) => Ok(response),
            None => Err(Error::TimedOut { text: format!("no response within {timeout:?}") }),
        }
    }

    /// The next response, for which it flushes and waits; `None` if none came in time.
    pub fn recv_within(&mut self, timeout: Duration) -> Result<Option<Response<'_>>, Error> {
        if !self.output.is_empty() {
            self.flush()?;
        }
        if !self.inbox.is_ready() {
            let deadline = Instant::now() + timeout;
            while !self.inbox.is_ready() {
                if self.fill()? == 0 && Instant::now() >= deadline {
                    return Ok(None);
                }
            }
        }
        self.try_recv()
    }

    /// Whether system calls return at once: then [`Connection::fill`] and [`Connection::flush`] are
    /// called when the socket is ready, or over and over.
    pub fn set_nonblocking(&mut self, nonblocking: bool) -> Result<(), Error> {
        self.stream.set_nonblocking(nonblocking).map_err(|error| Error::io(&self.address, &error))?;
        self.nonblocking = nonblocking;
        Ok(())
    }

    fn lost(&self, reason: &impl ToString) -> Error {
        Error::NotConnected { address: self.address.clone(), text: reason.to_string() }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
