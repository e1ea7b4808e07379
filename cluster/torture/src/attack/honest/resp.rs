//! The honest client over RESP: a blocking socket, a request at a time.

use super::wire::{ANSWER_MAX, Ask, Said, Wire, is_dismissal};
use pinion_net::resp::client::{Reply, decode, encode};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub struct Resp {
    address: SocketAddr,
    stream: Option<TcpStream>,
    out: Vec<u8>,
    received: Vec<u8>,
    piece: Vec<u8>,
}

/// Why there is no reply.
enum Failed {
    Lost(String),
    Wrong(String),
}

impl Resp {
    pub fn new(address: SocketAddr) -> Resp {
        Resp { address, stream: None, out: Vec::new(), received: Vec::new(), piece: vec![0; 64 << 10] }
    }

    /// Sends a command and hands its reply to `take`.
    fn exchange<T>(&mut self, command: &[&[u8]], take: impl Fn(&Reply<'_>) -> T) -> Result<T, Failed> {
        let lost = |error: std::io::Error| Failed::Lost(error.to_string());
        let Some(stream) = &mut self.stream else {
            return Err(Failed::Lost("there is no connection".into()));
        };
        self.out.clear();
        encode(command, &mut self.out);
        if let Err(error) = stream.write_all(&self.out) {
            // It may have been told why before it was closed.
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said);
            let word = String::from_utf8_lossy(&said);
            return Err(if is_dismissal(&word) { Failed::Lost(word.into_owned()) } else { lost(error) });
        }
        self.received.clear();
        let until = Instant::now() + ANSWER_MAX;
        loop {
            match stream.read(&mut self.piece) {
                Ok(0) => return Err(Failed::Lost("the server closed the connection".into())),
                Ok(read) => self.received.extend_from_slice(&self.piece[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(lost(error)),
            }
            match decode(&self.received) {
                Ok(Some((Reply::Error(text), _))) if is_dismissal(&String::from_utf8_lossy(text)) => {
                    return Err(Failed::Lost(String::from_utf8_lossy(text).into_owned()));
                }
                Ok(Some((reply, length))) if length == self.received.len() => return Ok(take(&reply)),
                Ok(Some(_)) => return Err(Failed::Wrong("more than was asked for".into())),
                Ok(None) if Instant::now() >= until => {
                    let name = String::from_utf8_lossy(command[0]);
                    return Err(Failed::Wrong(format!(
                        "{name}: no answer within {} s",
                        ANSWER_MAX.as_secs()
                    )));
                }
                Ok(None) => {}
                Err(error) => return Err(Failed::Wrong(error.to_string())),
            }
        }
    }

    /// All names that begin with `prefix`, or why there are none.
    fn names(&mut self, prefix: &[u8]) -> Result<Said, Failed> {
        let pattern = [prefix, b"*"].concat();
        let (mut names, mut cursor) = (Vec::new(), b"0".to_vec());
        loop {
            let page =
                self.exchange(&[b"SCAN", &cursor, b"MATCH", &pattern, b"COUNT", b"1000"], read_page)?;
            match page {
                Ok((next, found)) => {
                    names.extend(found);
                    cursor = next;
                }
                Err(said) => return Ok(said),
            }
            if cursor == b"0" {
                return Ok(Said::Names(names));
            }
        }
    }

    fn try_ask(&mut self, ask: &Ask) -> Result<Said, Failed> {
        match ask {
            Ask::Set(key, value) => self.exchange(&[b"SET", key, value], read),
            Ask::Get(key) => self.exchange(&[b"GET", key], read),
            Ask::Delete(key) => self.exchange(&[b"DEL", key], read),
            Ask::Count(key) => self.exchange(&[b"INCR", key], read),
            Ask::GetMany(keys) => {
                let mut command: Vec<&[u8]> = vec![b"MGET"];
                command.extend(keys.iter().map(Vec::as_slice));
                self.exchange(&command, read)
            }
            Ask::Names(prefix) => self.names(prefix),
        }
    }
}

impl Wire for Resp {
    fn ask(&mut self, ask: &Ask) -> Result<Said, String> {
        match self.try_ask(ask) {
            Ok(said) => Ok(said),
            Err(Failed::Lost(why)) => Ok(Said::Lost(why)),
            Err(Failed::Wrong(what)) => Err(format!("RESP: {what}")),
        }
    }

    fn connect(&mut self) -> Result<(), String> {
        self.stream = None;
        let connect = || -> std::io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_millis(100)))?;
            stream.set_write_timeout(Some(ANSWER_MAX))?;
            Ok(stream)
        };
        self.stream = Some(connect().map_err(|error| error.to_string())?);
        Ok(())
    }
}

fn bytes(reply: &Reply<'_>) -> Option<Vec<u8>> {
    match reply {
        Reply::Bulk(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

fn read(reply: &Reply<'_>) -> Said {
    match reply {
        Reply::Simple(_) => Said::Done,
        Reply::Integer(number) => Said::Number(*number),
        Reply::Array(items) => Said::Values(items.iter().map(bytes).collect()),
        Reply::Error(text) => refusal(text),
        other => Said::Value(bytes(other)),
    }
}

fn refusal(text: &[u8]) -> Said {
    let text = String::from_utf8_lossy(text).into_owned();
    if text.starts_with("ERR outcome unknown") { Said::Unknown(text) } else { Said::Refused(text) }
}

type Page = (Vec<u8>, Vec<Vec<u8>>);

fn read_page(reply: &Reply<'_>) -> Result<Page, Said> {
    match reply {
        Reply::Array(parts) => match &parts[..] {
            [Reply::Bulk(cursor), Reply::Array(names)] => {
                Ok((cursor.to_vec(), names.iter().filter_map(bytes).collect()))
            }
            _ => Err(Said::Done),
        },
        Reply::Error(text) => Err(refusal(text)),
        _ => Err(Said::Done),
    }
}
