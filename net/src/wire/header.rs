//! The header of a frame, and the small numbers in it.

use std::fmt;
use std::str::FromStr;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a frame's header.
pub const HEADER_BYTES: usize = 48;

/// Length of what precedes the value of a write that is to be done once.
pub(super) const ONCE_BYTES: usize = 24;

/// Length of the checksum behind key and value, where there is one.
pub(super) const TRAILER_BYTES: usize = 8;

/// The first two bytes of every frame. The first is no ASCII, so that text is told apart at once.
pub const MAGIC: [u8; 2] = [0xb1, b'P'];

/// The version of the protocol that this module speaks.
pub const VERSION: u8 = 1;

/// The fixed part of a frame, as it lies in the stream.
///
/// Requests and responses share the layout; three fields change their meaning: `level` is the status
/// of a response, `keyspace` its error number, and `deadline_ms` is zero there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 2],
    /// [`VERSION`].
    pub version: u8,
    /// An [`Opcode`]; a response has the top bit set.
    pub opcode: u8,
    /// [`Flags`].
    pub flags: U16,
    /// Request: [`Level`]. Response: [`Status`].
    pub level: u8,
    /// Zero.
    pub reserved: u8,
    /// Request: the keyspace's number. Response: an error's number.
    pub keyspace: U16,
    /// Bytes of the key.
    pub key_len: U16,
    /// Bytes of the value.
    pub value_len: U32,
    /// Chosen by the client, returned in the response.
    pub id: U64,
    /// A version, an addend, a limit, a count: by opcode.
    pub argument: U64,
    /// An expiry in milliseconds, or a second argument: by opcode.
    pub expiry: U64,
    /// Milliseconds from arrival after which the answer is of no use; zero: none.
    pub deadline_ms: U32,
    /// CRC-32C of the 44 bytes before it.
    pub checksum: U32,
}

impl Header {
    /// A header whose checksum isn't set yet.
    pub(super) fn new(opcode: u8, flags: Flags, id: u64) -> Header {
        Header {
            magic: MAGIC,
            version: VERSION,
            opcode,
            flags: U16::new(flags.0),
            level: 0,
            reserved: 0,
            keyspace: U16::ZERO,
            key_len: U16::ZERO,
            value_len: U32::ZERO,
            id: U64::new(id),
            argument: U64::ZERO,
            expiry: U64::ZERO,
            deadline_ms: U32::ZERO,
            checksum: U32::ZERO,
        }
    }

    /// How long the frame is that this header begins, itself included.
    pub fn frame_bytes(&self) -> usize {
        let body = usize::from(self.key_len.get()) + self.value_len.get() as usize;
        let is_checked = Flags(self.flags.get()).has(Flags::CHECKED);
        HEADER_BYTES + body.next_multiple_of(8) + if is_checked { TRAILER_BYTES } else { 0 }
    }

    /// The checksum that this header should carry.
    pub(super) fn expected_checksum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[..HEADER_BYTES - 4])
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Agree on version and features; answers the map.
    Hello = 0x01,
    /// Answer the same bytes.
    Ping = 0x02,
    /// Describe the server as JSON.
    Info = 0x03,
    /// Read one key.
    Get = 0x10,
    /// Read one key's version and expiry.
    Exists = 0x11,
    /// Read several keys.
    MultiGet = 0x12,
    /// Set one key.
    Put = 0x20,
    /// Remove one key.
    Delete = 0x21,
    /// Add to a decimal integer.
    Increment = 0x22,
    /// Change a key's expiry.
    Expire = 0x23,
    /// Puts and deletes, atomic per partition.
    Batch = 0x30,
    /// A page of keys in order.
    Scan = 0x40,
    /// Count keys.
    Count = 0x41,
    /// Remove every key of a keyspace.
    Clear = 0x42,
}

impl Opcode {
    /// The opcode of a request's byte.
    pub fn from_byte(byte: u8) -> Option<Opcode> {
        Some(match byte {
            0x01 => Opcode::Hello,
            0x02 => Opcode::Ping,
            0x03 => Opcode::Info,
            0x10 => Opcode::Get,
            0x11 => Opcode::Exists,
            0x12 => Opcode::MultiGet,
            0x20 => Opcode::Put,
            0x21 => Opcode::Delete,
            0x22 => Opcode::Increment,
            0x23 => Opcode::Expire,
            0x30 => Opcode::Batch,
            0x40 => Opcode::Scan,
            0x41 => Opcode::Count,
            0x42 => Opcode::Clear,
            _ => return None,
        })
    }

    /// Whether it leaves the data as it is, so that asking twice does no harm.
    pub fn is_read(self) -> bool {
        !matches!(
            self,
            Opcode::Put | Opcode::Delete | Opcode::Increment | Opcode::Expire | Opcode::Batch | Opcode::Clear
        )
    }
}

/// The bit that tells a response's opcode from its request's. Alone it marks a notice about the
/// whole connection, sent before it is closed.
pub(super) const RESPONSE_BIT: u8 = 0x80;

/// Bits that refine an opcode. A bit that the opcode doesn't know is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// No bit.
    pub const NONE: Flags = Flags(0);
    /// Any frame: a checksum of key and value follows them.
    pub const CHECKED: Flags = Flags(1 << 0);
    /// Response: another core or node answered; the map in use may be old.
    pub const FORWARDED: Flags = Flags(1 << 1);
    /// Response: the value is the old (or current) one, behind its version and expiry.
    pub const HAS_OLD: Flags = Flags(1 << 2);
    /// Only if the key is absent.
    pub const IF_ABSENT: Flags = Flags(1 << 4);
    /// Only if the key is there.
    pub const IF_PRESENT: Flags = Flags(1 << 5);
    /// Only if the key has the version in `argument`.
    pub const IF_VERSION: Flags = Flags(1 << 6);
    /// Expires so many milliseconds from now.
    pub const EXPIRE_AFTER: Flags = Flags(1 << 7);
    /// Expires at so many milliseconds since the Unix epoch.
    pub const EXPIRE_AT: Flags = Flags(1 << 8);
    /// Keeps the expiry that the key has.
    pub const EXPIRE_KEEP: Flags = Flags(1 << 9);
    /// Answer the old (or, if the condition fails, the current) value.
    pub const WANT_OLD: Flags = Flags(1 << 10);
    /// Answer whether the key was there.
    pub const WANT_EXISTED: Flags = Flags(1 << 11);
    /// Leave the values out.
    pub const KEYS_ONLY: Flags = Flags(1 << 12);
    /// The value part begins with the write's number, the lowest open one and when it was first sent.
    pub const ONCE: Flags = Flags(1 << 13);
    /// Only with [`Flags::ONCE`]: it was sent before.
    pub const AGAIN: Flags = Flags(1 << 14);

    /// Both sets together.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// `other` if `wanted`, added to these.
    pub(super) fn with_if(self, wanted: bool, other: Flags) -> Flags {
        if wanted { self.with(other) } else { self }
    }

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits that `allowed` lacks.
    pub(super) fn beyond(self, allowed: Flags) -> Flags {
        Flags(self.0 & !allowed.0)
    }
}

/// How a response ends its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is no such key.
    NotFound = 1,
    /// The condition didn't hold; nothing was changed.
    NotMet = 2,
    /// Not done, and certainly not applied. Error number and text say why.
    Refused = 3,
    /// May or may not have been applied. Error number and text say why.
    Unknown = 4,
}

impl Status {
    /// The status of a response's byte.
    pub fn from_byte(byte: u8) -> Option<Status> {
        Some(match byte {
            0 => Status::Ok,
            1 => Status::NotFound,
            2 => Status::NotMet,
            3 => Status::Refused,
            4 => Status::Unknown,
            _ => return None,
        })
    }
}

/// What a request is promised; docs/consistency.md has the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Level {
    /// What the keyspace says.
    #[default]
    Default = 0,
    /// Durable on one node.
    Eventual = 1,
    /// At least what this client has seen and written.
    Session = 2,
    /// Linearizable.
    Strong = 3,
    /// Durable everywhere, read as STRONG.
    All = 4,
}

impl Level {
    /// The level of a request's byte.
    pub fn from_byte(byte: u8) -> Option<Level> {
        Some(match byte {
            0 => Level::Default,
            1 => Level::Eventual,
            2 => Level::Session,
            3 => Level::Strong,
            4 => Level::All,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Default => "default",
            Level::Eventual => "eventual",
            Level::Session => "session",
            Level::Strong => "strong",
            Level::All => "all",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Level, String> {
        match name.to_ascii_lowercase().as_str() {
            "default" => Ok(Level::Default),
            "eventual" => Ok(Level::Eventual),
            "session" => Ok(Level::Session),
            "strong" => Ok(Level::Strong),
            "all" => Ok(Level::All),
            _ => Err(format!("{name:?} is no level; it is one of eventual, session, strong, all")),
        }
    }
}
