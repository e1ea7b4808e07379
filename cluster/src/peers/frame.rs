//! What nodes send each other, in frames.
//!
//! ```text
//! crc32c (4) | length of the body (2) | kind (1) | version (1) | body
//! ```
//!
//! Numbers are little endian; the checksum is of all behind it. A frame of another version is refused, as is one that is longer
//! than any message: whoever speaks so isn't understood.

use super::settings::Id;
use thiserror::Error;

/// The version that is spoken here.
pub const VERSION: u8 = 1;
/// What comes before the body, bytes.
pub const HEADER_BYTES: usize = 8;
/// The longest body, bytes.
pub const BODY_BYTES_MAX: usize = 128;
/// The longest reason of a refusal, bytes.
pub const REASON_BYTES_MAX: usize = 96;

/// What one node says to another over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first of whoever began the connection.
    Hello(Hello),
    /// The answer to it: the connection is of use.
    Welcome {
        /// As in the hello.
        connection: u64,
    },
    /// The other answer to it, behind which the connection is closed.
    Refused {
        /// Why.
        reason: String,
    },
    /// Asks for a pong.
    Ping(Round),
    /// The answer to a ping.
    Pong(Round),
}

/// Who begins a connection, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster that it belongs to.
    pub cluster: Id,
    /// The node that it is.
    pub from: Id,
    /// The node that it means to reach.
    pub to: Id,
    /// Tells this connection from all others that it begins.
    pub connection: u64,
    /// Which of its cores it is.
    pub core: u16,
}

/// A ping, and its pong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// The connection that it is of, as its hello named it: what was sent over an earlier one is never taken for an answer here.
    pub connection: u64,
    /// Counts the pings of a connection, from 1.
    pub number: u64,
}

/// What becomes of a connection when a message was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Goes,
    /// It is closed behind its output.
    Close,
    /// It is given up: the other end breaks the protocol.
    Abort,
}

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It is of another version.
    #[error("version {0} isn't spoken here, only {VERSION}")]
    Version(u8),
    /// It is longer than any message.
    #[error("a body of {0} bytes is too long")]
    TooLong(usize),
    /// Its checksum is another.
    #[error("its checksum is wrong")]
    Checksum,
    /// No message has this number, or this body.
    #[error("kind {0} with a body of {1} bytes is no message")]
    Unknown(u8, usize),
}

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const PING: u8 = 4;
const PONG: u8 = 5;

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => HELLO,
            Message::Welcome { .. } => WELCOME,
            Message::Refused { .. } => REFUSED,
            Message::Ping(_) => PING,
            Message::Pong(_) => PONG,
        }
    }

    /// Appends it as a frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, 0, 0, self.kind(), VERSION]);
        match self {
            Message::Hello(hello) => {
                [hello.cluster, hello.from, hello.to].iter().for_each(|id| out.extend_from_slice(id));
                out.extend_from_slice(&hello.connection.to_le_bytes());
                out.extend_from_slice(&hello.core.to_le_bytes());
            }
            Message::Welcome { connection } => out.extend_from_slice(&connection.to_le_bytes()),
            Message::Refused { reason } => {
                let fits = (0..=reason.len().min(REASON_BYTES_MAX)).rev();
                let end = fits.into_iter().find(|&end| reason.is_char_boundary(end)).unwrap_or_default();
                out.extend_from_slice(&reason.as_bytes()[..end]);
            }
            Message::Ping(round) | Message::Pong(round) => {
                out.extend_from_slice(&round.connection.to_le_bytes());
                out.extend_from_slice(&round.number.to_le_bytes());
            }
        }
        let len = (out.len() - start - HEADER_BYTES) as u16; // no body is longer than BODY_BYTES_MAX
        out[start + 4..start + 6].copy_from_slice(&len.to_le_bytes());
        let checksum = crc32c::crc32c(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The first frame of these bytes, and its length; `None` while it isn't whole.
    pub fn read(bytes: &[u8]) -> Result<Option<(Message, usize)>, FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let [c0, c1, c2, c3, l0, l1, kind, version] = *header;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        if len > BODY_BYTES_MAX {
            return Err(FrameError::TooLong(len));
        }
        let end = HEADER_BYTES + len;
        let Some(frame) = bytes.get(..end) else { return Ok(None) };
        if crc32c::crc32c(&frame[4..]) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(FrameError::Checksum);
        }
        let message = Message::parse(kind, &frame[HEADER_BYTES..]);
        message.map(|message| Some((message, end))).ok_or(FrameError::Unknown(kind, len))
    }

    fn parse(kind: u8, body: &[u8]) -> Option<Message> {
        let mut rest = body;
        let message = match kind {
            HELLO => Message::Hello(Hello {
                cluster: take(&mut rest)?,
                from: take(&mut rest)?,
                to: take(&mut rest)?,
                connection: number(&mut rest)?,
                core: take(&mut rest).map(u16::from_le_bytes)?,
            }),
            WELCOME => Message::Welcome { connection: number(&mut rest)? },
            REFUSED if body.len() <= REASON_BYTES_MAX => {
                Message::Refused { reason: String::from_utf8(std::mem::take(&mut rest).to_vec()).ok()? }
            }
            PING => Message::Ping(round(&mut rest)?),
            PONG => Message::Pong(round(&mut rest)?),
            _ => return None,
        };
        rest.is_empty().then_some(message)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*first)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

fn round(rest: &mut &[u8]) -> Option<Round> {
    Some(Round { connection: number(rest)?, number: number(rest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> [Message; 5] {
        let hello = Hello { cluster: [1; 16], from: [2; 16], to: [3; 16], connection: 4, core: 515 };
        let round = Round { connection: 4, number: u64::MAX };
        let reason = "of another cluster".to_owned();
        [
            Message::Hello(hello),
            Message::Welcome { connection: 4 },
            Message::Refused { reason },
            Message::Ping(round),
            Message::Pong(round),
        ]
    }

    #[test]
    fn every_message_comes_back_from_its_frame_and_none_from_a_part_of_it() {
        for message in messages() {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            assert_eq!(Message::read(&bytes), Ok(Some((message, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(Message::read(&bytes[..end]), Ok(None));
            }
        }
    }

    #[test]
    fn a_frame_with_any_bit_flipped_is_no_message() {
        for message in messages() {
            let mut bytes = Vec::new();
            message.write(&mut bytes);
            for bit in 0..8 * bytes.len() {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!matches!(Message::read(&bytes), Ok(Some(_))), "bit {bit} of {message:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_written_as_it_came(kind in 0_u8..8, body in proptest::collection::vec(0_u8..3, 0..140)) {
            let len = body.len() as u16;
            let behind = [&len.to_le_bytes()[..], &[kind, VERSION], &body].concat();
            let bytes = [&crc32c::crc32c(&behind).to_le_bytes()[..], &behind].concat();
            if let Ok(Some((message, length))) = Message::read(&bytes) {
                let mut written = Vec::new();
                message.write(&mut written);
                assert_eq!((length, written), (bytes.len(), bytes));
            }
        }
    }

    #[test]
    fn another_version_is_told_before_anything_else_is_looked_at() {
        assert_eq!(Message::read(&[0, 0, 0, 0, 255, 255, 77, 9]), Err(FrameError::Version(9)));
        assert_eq!(Message::read(&[0, 0, 0, 0, 255, 255, 1, VERSION]), Err(FrameError::TooLong(65535)));
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_two_letters() {
        let mut bytes = Vec::new();
        Message::Refused { reason: "é".repeat(REASON_BYTES_MAX) }.write(&mut bytes);
        let cut = Message::Refused { reason: "é".repeat(REASON_BYTES_MAX / 2) };
        assert_eq!(Message::read(&bytes), Ok(Some((cut, bytes.len()))));
        assert_eq!(Message::parse(REFUSED, &[b'x'; REASON_BYTES_MAX + 1]), None, "nobody writes it");
    }
}
