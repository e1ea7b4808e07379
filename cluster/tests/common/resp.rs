//! A connection that speaks RESP2.

use super::DEADLINE;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
}

impl Reply {
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    pub fn ok() -> Reply {
        Reply::Simple("OK".to_owned())
    }

    pub fn items(self) -> Vec<Reply> {
        match self {
            Reply::Array(items) => items,
            other => panic!("{other:?} is no array"),
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        match self {
            Reply::Bulk(bytes) => bytes,
            other => panic!("{other:?} is no bulk string"),
        }
    }

    pub fn integer(self) -> i64 {
        match self {
            Reply::Integer(number) => number,
            other => panic!("{other:?} is no integer"),
        }
    }
}

/// A connection.
pub struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    pub fn connect(address: &str) -> Resp {
        Resp::over(TcpStream::connect(address).expect("kvd listens"))
    }

    pub fn over(stream: TcpStream) -> Resp {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        Resp { stream: BufReader::new(stream) }
    }

    /// Sends a command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.send_bytes(&encode(args));
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("it is sent");
    }

    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Another end of the same connection, to send by while this one reads.
    pub fn try_clone(&self) -> Resp {
        let stream = self.stream.get_ref().try_clone().expect("a socket can be cloned");
        Resp { stream: BufReader::new(stream) }
    }

    /// The next line.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.stream.get_mut().shutdown(Shutdown::Write).expect("it can be half-closed");
    }

    /// Whether the server has closed the connection.
    pub fn is_at_end(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }

    /// The next reply, or the connection's error.
    pub fn try_reply(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().unwrap_or_else(|_| panic!("{line:?} has no number"));
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()),
            "$" if number() < 0 => Reply::Null,
            "$" => {
                let mut bytes = vec![0; number() as usize + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            "*" => Reply::Array((0..number()).map(|_| self.try_reply()).collect::<Result<_, _>>()?),
            _ => panic!("{line:?} is no reply"),
        })
    }

    /// The next reply.
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply")
    }

    /// Sends a command and waits for its reply.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.send(args);
        self.reply()
    }
}

/// A command as RESP has it.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
