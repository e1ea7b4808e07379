//! Frames: finding one in received bytes, appending one to sent bytes.
//!
//! A frame is header, key, value, zeros up to a multiple of 8 and, if [`Flags::CHECKED`] is set, 8
//! bytes more: CRC-32C of key and value, and four zeros. Its length is therefore known from its header.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use super::error::WireError;
use super::header::{Flags, HEADER_BYTES, Header, MAGIC, TRAILER_BYTES, VERSION};
use super::limits::Limits;

/// What received bytes begin with.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed<'a> {
    /// A whole frame, and how many bytes it takes.
    Frame(Frame<'a>, usize),
    /// The beginning of a frame.
    Incomplete {
        /// How many bytes are needed to go on: the header's length, or the whole frame's.
        need: usize,
    },
    /// The stream can't be followed any more: answer with a reason and close.
    Invalid(WireError),
}

/// A frame in the bytes it was received in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: &'a Header,
    /// Its key.
    pub key: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// The checksum that key and value came with.
    checksum: Option<u32>,
}

impl<'a> Frame<'a> {
    /// A frame whose parts were kept after they were checked.
    pub(crate) fn of_parts(header: &'a Header, value: &'a [u8]) -> Frame<'a> {
        Frame { header, key: &[], value, checksum: None }
    }

    /// The flags.
    pub fn flags(&self) -> Flags {
        Flags(self.header.flags.get())
    }

    /// The request's id.
    pub fn id(&self) -> u64 {
        self.header.id.get()
    }

    /// Whether key and value match the checksum that they came with, if any.
    pub fn is_intact(&self) -> bool {
        self.checksum.is_none_or(|checksum| checksum == body_checksum(self.key, self.value))
    }
}

fn body_checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

/// Finds the frame that `bytes` begin with. Trusts no length before the header's checksum held and
/// the limits were kept.
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let Ok((header, rest)) = Header::ref_from_prefix(bytes) else {
        let start = bytes.len().min(MAGIC.len());
        return match bytes[..start] == MAGIC[..start] {
            true => Parsed::Incomplete { need: HEADER_BYTES },
            false => Parsed::Invalid(WireError::Magic),
        };
    };
    if let Err(error) = check_header(header, limits) {
        return Parsed::Invalid(error);
    }
    let frame_bytes = header.frame_bytes();
    let Some(body) = rest.get(..frame_bytes - HEADER_BYTES) else {
        return Parsed::Incomplete { need: frame_bytes };
    };
    let (key, after) = body.split_at(header.key_len.get().into());
    let value = &after[..header.value_len.get() as usize];
    let is_checked = Flags(header.flags.get()).has(Flags::CHECKED);
    let trailer = if is_checked { &body[body.len() - TRAILER_BYTES..] } else { &[] };
    let checksum = trailer.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
    Parsed::Frame(Frame { header, key, value, checksum }, frame_bytes)
}

fn check_header(header: &Header, limits: &Limits) -> Result<(), WireError> {
    if header.magic != MAGIC {
        return Err(WireError::Magic);
    }
    if header.version != VERSION {
        return Err(WireError::Version { found: header.version });
    }
    if header.checksum.get() != header.expected_checksum() {
        return Err(WireError::HeaderChecksum);
    }
    let (id, flags) = (header.id.get(), Flags(header.flags.get()));
    limits.check_value_part(id, header.opcode, flags, header.value_len.get() as usize)
}

/// Appends a whole frame; its value is the parts, one behind the other.
pub(super) fn append(out: &mut Vec<u8>, header: Header, key: &[u8], value: &[&[u8]]) {
    let value_len: usize = value.iter().map(|part| part.len()).sum();
    let frame = Open::begin(out, header, key.len() + value_len);
    out.extend_from_slice(key);
    for part in value {
        out.extend_from_slice(part);
    }
    frame.finish(out, key.len());
}

/// A frame whose value is still being appended.
#[derive(Debug)]
pub(super) struct Open {
    start: usize,
    header: Header,
}

impl Open {
    /// Leaves room for the header and about `body_len` bytes behind it.
    pub(super) fn begin(out: &mut Vec<u8>, header: Header, body_len: usize) -> Open {
        out.reserve(HEADER_BYTES + body_len + 7 + TRAILER_BYTES);
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        Open { start, header }
    }

    /// Bytes appended behind the header so far.
    pub(super) fn body_len(&self, out: &[u8]) -> usize {
        out.len() - self.start - HEADER_BYTES
    }

    /// Sets the header's argument.
    pub(super) fn set_argument(&mut self, argument: u64) {
        self.header.argument = U64::new(argument);
    }

    /// Sets the header's expiry.
    pub(super) fn set_expiry(&mut self, expiry: u64) {
        self.header.expiry = U64::new(expiry);
    }

    /// Pads, and fills in header and checksums. The first `key_len` bytes of what was appended are the
    /// key, the others the value.
    ///
    /// # Panics
    /// If the key is longer than 65,535 bytes or the value longer than 4 GiB; encoders check before.
    pub(super) fn finish(mut self, out: &mut Vec<u8>, key_len: usize) {
        let body_start = self.start + HEADER_BYTES;
        let value_len = out.len() - body_start - key_len;
        self.header.key_len = U16::new(key_len.try_into().expect("encoders check the key's length"));
        self.header.value_len = U32::new(value_len.try_into().expect("encoders check the value's length"));
        let is_checked = Flags(self.header.flags.get()).has(Flags::CHECKED);
        let checksum = is_checked.then(|| crc32c::crc32c(&out[body_start..]));
        let padding = (key_len + value_len).next_multiple_of(8) - key_len - value_len;
        out.extend_from_slice(&[0; 8][..padding]);
        if let Some(checksum) = checksum {
            out.extend_from_slice(&u64::from(checksum).to_le_bytes());
        }
        self.header.checksum = U32::new(self.header.expected_checksum());
        out[self.start..body_start].copy_from_slice(self.header.as_bytes());
    }
}
