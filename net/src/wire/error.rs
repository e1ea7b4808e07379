//! Error numbers with their names, and what can be wrong with bytes.

use std::fmt;

use super::header::{MAGIC, VERSION};
use super::limits::Limits;

/// Why a request was refused or its outcome is unknown: a number that stays put. Numbers that this
/// build doesn't know are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u16);

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: ErrorCode = ErrorCode($number);)*

            /// Every error that this build knows.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// Its name, as documentation and logs have it.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "UNLISTED",
                }
            }

            /// What it means, for an answer that has no text of its own.
            pub fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "an error that this client doesn't know; a newer one names it",
                }
            }
        }
    };
}

error_codes! {
    /// The bytes are no frame. The connection is closed after it.
    BAD_FRAME = 1, "the bytes are no frame of this protocol";
    /// No common version of the protocol. The connection is closed after it.
    BAD_VERSION = 2, "this version of the protocol isn't spoken here";
    /// Key and value don't match their checksum.
    BAD_CHECKSUM = 3, "key and value don't match their checksum; send it again";
    /// The opcode is none of this version's.
    UNKNOWN_OPCODE = 4, "the server doesn't know this opcode";
    /// Flags, lengths or lists inside the frame make no sense.
    BAD_REQUEST = 5, "the request makes no sense";
    /// A key, value, batch, page or frame is over a limit; the text names it.
    LIMIT = 6, "over a limit";
    /// There is no keyspace of this number.
    UNKNOWN_KEYSPACE = 7, "there is no such keyspace";
    /// The connection didn't authenticate, or wrongly.
    NOT_AUTHENTICATED = 8, "authentication is needed";
    /// A SCAN's cursor is none that this server made for this range.
    BAD_CURSOR = 9, "the cursor is none of this range's; start the scan again";
    /// The value is no decimal integer of 64 bits.
    NOT_AN_INTEGER = 10, "the value is no integer of 64 bits";
    /// The sum doesn't fit 64 bits.
    OVERFLOW = 11, "the sum doesn't fit 64 bits";
    /// Memory for waiting requests is used up.
    BUSY = 12, "the server is busy; slow down and try again";
    /// The shard takes no writes for now.
    READ_ONLY = 13, "the shard is read-only";
    /// The data asked for is damaged on disk.
    DAMAGED = 14, "the data is damaged on disk";
    /// The server is going down.
    SHUTTING_DOWN = 15, "the server is shutting down; use another or try again";
    /// The deadline passed before the request took effect.
    DEADLINE = 16, "the deadline passed before it was done";
    /// The replica is short of what the session has seen.
    NOT_CAUGHT_UP = 17, "the replica isn't caught up with this session";
    /// The keyspace doesn't allow this level.
    LEVEL_TOO_WEAK = 18, "the keyspace refuses this level";
    /// Nobody who could answer for the partition can be reached.
    UNAVAILABLE = 19, "nobody can answer for this key's partition now; try again";
    /// The server has as many connections as it may.
    TOO_MANY_CONNECTIONS = 20, "too many connections";
    /// The first request of a connection wasn't HELLO. The connection is closed after it.
    HELLO_REQUIRED = 21, "the first request of a connection must be HELLO";
    /// The client proves its identity to a server that knows none. The connection is closed after it.
    AUTH_NOT_CONFIGURED = 22, "this server has no authentication configured; send no proof of identity";
    /// The client requires a feature that this server doesn't have. The connection is closed after it.
    UNKNOWN_FEATURE = 23, "the server lacks a feature that the client requires";
    /// The port speaks another protocol; the text says which port to use. The connection is closed after it.
    WRONG_PORT = 24, "this port speaks another protocol";
    /// When the request was first sent is ahead of the server's clock, or before what the server has forgotten.
    CLOCK = 25, "the time at which it was first sent is ahead of the server's clock, or so long ago that a copy that was done \
                 would be forgotten; say HELLO again for the server's time";
    /// The write's log record may or may not be on disk.
    LOG_FAILED = 32, "the log failed while the write was in it";
    /// The deadline passed while the request was on its way.
    TIMED_OUT = 33, "the deadline passed while it was on its way";
    /// The connection broke while the request was on its way.
    CONNECTION_LOST = 34, "the connection broke while it was on its way";
    /// Some partitions are done and others aren't.
    PARTIAL = 35, "done, or perhaps done, in some partitions only";
    /// The server failed in a way it should not.
    INTERNAL = 36, "internal error of the server";
    /// The server doesn't remember any more whether a write with a number was done.
    FORGOTTEN = 37, "it was sent too long ago, or was answered before: whether it was done isn't known any more";
}

impl ErrorCode {
    /// Whether the same request may well succeed a little later.
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            ErrorCode::BUSY
                | ErrorCode::SHUTTING_DOWN
                | ErrorCode::NOT_CAUGHT_UP
                | ErrorCode::UNAVAILABLE
                | ErrorCode::CLOCK
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// What is wrong with received bytes, or with a request that was to be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The stream doesn't start with [`MAGIC`].
    #[error(
        "a frame starts with {:02x} {:02x}, these bytes don't; is this the port of another protocol?",
        MAGIC[0],
        MAGIC[1]
    )]
    Magic,
    /// Another version of the protocol.
    #[error("protocol version {found} isn't spoken here, only {VERSION}")]
    Version {
        /// The version in the header.
        found: u8,
    },
    /// The header was damaged on its way.
    #[error("the header doesn't match its checksum")]
    HeaderChecksum,
    /// Key and value were damaged on their way.
    #[error("key and value don't match their checksum; send it again")]
    BodyChecksum,
    /// The frame is longer than a limit allows.
    #[error("the {what} has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// The request.
        id: u64,
        /// Its opcode, as received.
        opcode: u8,
        /// What is too long.
        what: &'static str,
        /// How long it is.
        bytes: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A list has too many keys.
    #[error("the list has {keys} keys, the limit is {}; ask for them in several requests", Limits::KEYS_MAX)]
    TooManyKeys {
        /// How many it has.
        keys: u64,
    },
    /// A batch has too many operations.
    #[error("the batch has {ops} operations, the limit is {}; send them in several", Limits::OPS_MAX)]
    TooManyOps {
        /// How many it has.
        ops: u64,
    },
    /// A key is empty or too long.
    #[error("the key has {bytes} bytes, keys have 1 to {}", Limits::KEY_BYTES_MAX)]
    KeyLength {
        /// How long it is.
        bytes: usize,
    },
    /// No request of this version has the opcode.
    #[error("opcode {opcode:#04x} is unknown")]
    UnknownOpcode {
        /// As received.
        opcode: u8,
    },
    /// The opcode doesn't take these flags.
    #[error("opcode {opcode:#04x} doesn't take the flags {flags:#06x}")]
    UnknownFlags {
        /// As received.
        opcode: u8,
        /// The bits that are too many.
        flags: u16,
    },
    /// Something inside the frame makes no sense.
    #[error("{0}")]
    Malformed(&'static str),
}

impl WireError {
    /// The error number to answer with.
    pub fn code(&self) -> ErrorCode {
        match self {
            WireError::Magic | WireError::HeaderChecksum => ErrorCode::BAD_FRAME,
            WireError::Version { .. } => ErrorCode::BAD_VERSION,
            WireError::BodyChecksum => ErrorCode::BAD_CHECKSUM,
            WireError::TooLong { .. }
            | WireError::TooManyKeys { .. }
            | WireError::TooManyOps { .. }
            | WireError::KeyLength { .. } => ErrorCode::LIMIT,
            WireError::UnknownOpcode { .. } => ErrorCode::UNKNOWN_OPCODE,
            WireError::UnknownFlags { .. } | WireError::Malformed(_) => ErrorCode::BAD_REQUEST,
        }
    }
}
