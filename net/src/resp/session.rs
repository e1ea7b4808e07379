//! Replies about the connection and the server: HELLO, CLIENT LIST, CONFIG GET.

use std::net::SocketAddr;

use super::glob;
use super::reply::{Encoder, Protocol};

/// The Redis version whose commands and texts these are; HELLO and INFO give it, since clients decide by it.
pub const REDIS_VERSION: &str = "7.0.15";

/// Writes HELLO's map; the encoder must speak the new protocol already.
///
/// ```
/// use pinion_net::resp::{Command, ReplyQueue, session};
/// let (mut replies, mut out) = (ReplyQueue::<()>::new(), Vec::new());
/// if let Ok(Command::Hello(hello)) = Command::parse(&[b"HELLO", b"3"]) {
///     // check hello.auth, note hello.name, then:
///     replies.set_protocol(hello.protocol.unwrap_or(replies.protocol()));
///     replies.answer((), &mut out, |reply| session::write_hello(7, true, reply));
/// }
/// assert!(out.starts_with(b"%7\r\n"));
/// ```
pub fn write_hello(id: u64, cluster: bool, reply: &mut Encoder<'_>) {
    let protocol = reply.protocol().number();
    let mode: &[u8] = if cluster { b"cluster" } else { b"standalone" };
    reply.map(7);
    for (name, text) in [("server", &b"redis"[..]), ("version", REDIS_VERSION.as_bytes())] {
        reply.bulk(name.as_bytes());
        reply.bulk(text);
    }
    for (name, number) in [("proto", protocol), ("id", id as i64)] {
        reply.bulk(name.as_bytes());
        reply.integer(number);
    }
    for (name, text) in [("mode", mode), ("role", b"master")] {
        reply.bulk(name.as_bytes());
        reply.bulk(text);
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// Writes CONFIG GET's map: the parameters that match one of the patterns.
pub fn write_config(patterns: &[&[u8]], parameters: &[(&str, &str)], reply: &mut Encoder<'_>) {
    let patterns: Vec<Vec<u8>> = patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
    let matching = parameters
        .iter()
        .filter(|(name, _)| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    reply.map(matching.clone().count());
    for (name, value) in matching {
        reply.bulk(name.as_bytes());
        reply.bulk(value.as_bytes());
    }
}

/// What CLIENT LIST and CLIENT INFO tell of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLine<'a> {
    /// Its number.
    pub id: u64,
    /// Who.
    pub peer: SocketAddr,
    /// To which of our addresses.
    pub local: SocketAddr,
    /// CLIENT SETNAME.
    pub name: &'a str,
    /// Seconds since it came.
    pub age_s: u64,
    /// Seconds since its last command.
    pub idle_s: u64,
    /// Bytes received and not processed.
    pub input_bytes: usize,
    /// Bytes to send, and replies that wait for an earlier one.
    pub output_bytes: usize,
    /// What it speaks.
    pub protocol: Protocol,
    /// CLIENT SETINFO lib-name.
    pub library: &'a str,
    /// CLIENT SETINFO lib-ver.
    pub library_version: &'a str,
}

impl std::fmt::Display for ClientLine<'_> {
    /// One line with its end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ClientLine { id, peer, local, name, age_s, idle_s, input_bytes, output_bytes, .. } = self;
        writeln!(
            f,
            "id={id} addr={peer} laddr={local} fd=0 name={name} age={age_s} idle={idle_s} flags=N db=0 sub=0 \
             psub=0 ssub=0 multi=-1 qbuf={input_bytes} qbuf-free=0 omem={output_bytes} cmd=NULL user=default \
             resp={} lib-name={} lib-ver={}",
            self.protocol.number(),
            self.library,
            self.library_version
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_get_answers_what_matches_in_any_case() {
        let parameters = [("save", ""), ("appendonly", "yes"), ("maxmemory", "0")];
        let mut out = Vec::new();
        write_config(&[b"SAVE", b"append*"], &parameters, &mut Encoder::new(&mut out, Protocol::Resp2));
        assert_eq!(out, b"*4\r\n$4\r\nsave\r\n$0\r\n\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
    }

    #[test]
    fn a_client_line_has_the_fields_tools_look_for() {
        let address = SocketAddr::from(([127, 0, 0, 1], 5000));
        let line = ClientLine {
            id: 3,
            peer: address,
            local: address,
            name: "me",
            age_s: 1,
            idle_s: 0,
            input_bytes: 2,
            output_bytes: 4,
            protocol: Protocol::Resp3,
            library: "lib",
            library_version: "1",
        };
        let text = line.to_string();
        assert!(
            text.starts_with("id=3 addr=127.0.0.1:5000 laddr=127.0.0.1:5000 fd=0 name=me age=1 "),
            "{text}"
        );
        assert!(text.ends_with(" resp=3 lib-name=lib lib-ver=1\n"), "{text}");
    }
}
