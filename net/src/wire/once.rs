//! What a write carries so that it is done once, however often it is sent: 24 bytes in front of its value part.
//!
//! The server remembers what a client's number came to and answers a repeated request again instead of doing it again.
//! docs/protocol.md, "Exactly once", has what it promises.

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::WireError;
use super::header::{Flags, Level, ONCE_BYTES, Opcode};
use super::take::take;

/// Which of its client's writes a request is. Who the client is was said in HELLO
/// ([`Hello::client`](super::Hello::client)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// The write's number among its client's, from 1 on; the same whenever it is sent.
    pub number: u64,
    /// The lowest number, from 1 on, of which the client still wants to know what it came to; at most [`Once::number`].
    /// Lower ones are forgotten, and never executed any more.
    pub lowest: u64,
    /// When it was first sent, in microseconds since the Unix epoch, by the server's clock
    /// ([`ServerHello::server_us`](super::ServerHello::server_us)); the same whenever it is sent.
    pub first_sent_us: u64,
    /// It was sent before, whatever became of that.
    pub is_again: bool,
}

/// How they lie in front of the value.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OnceBytes {
    number: U64,
    lowest: U64,
    first_sent_us: U64,
}

const _: () = assert!(size_of::<OnceBytes>() == ONCE_BYTES);

impl Once {
    /// The flags of a request that carries it.
    pub(super) fn flags(&self) -> Flags {
        if self.is_again { Flags::ONCE.with(Flags::AGAIN) } else { Flags::ONCE }
    }

    /// What precedes the value of a request with this opcode and level.
    pub(super) fn encode(&self, opcode: Opcode, level: Level) -> Result<OnceBytes, WireError> {
        if opcode.is_read() {
            return Err(WireError::Malformed("only writes are done exactly once"));
        }
        self.check(level)?;
        let [number, lowest, first_sent_us] = [self.number, self.lowest, self.first_sent_us].map(U64::new);
        Ok(OnceBytes { number, lowest, first_sent_us })
    }

    /// Splits off what precedes the value of a request with the flag [`Flags::ONCE`].
    pub(super) fn decode(flags: Flags, level: Level, value: &[u8]) -> Result<(Once, &[u8]), WireError> {
        let (head, rest) = take::<OnceBytes>(value)
            .ok_or(WireError::Malformed("ONCE is set, and the value part has less than its 24 bytes"))?;
        let once = Once {
            number: head.number.get(),
            lowest: head.lowest.get(),
            first_sent_us: head.first_sent_us.get(),
            is_again: flags.has(Flags::AGAIN),
        };
        once.check(level)?;
        Ok((once, rest))
    }

    fn check(&self, level: Level) -> Result<(), WireError> {
        if self.lowest == 0 || self.lowest > self.number {
            return Err(WireError::Malformed("the lowest open number is from 1 to the request's number"));
        }
        if matches!(level, Level::Eventual | Level::Session) {
            return Err(WireError::Malformed("writes of level eventual or session aren't done exactly once"));
        }
        Ok(())
    }
}
