//! The bytes of a manifest: what `docs/formats/manifest.md` draws, and nothing else.

use super::edit_bytes::{self, Unread};
use super::state::Edit;
use crate::aligned::{ALIGN, AlignedBuf};
use crate::fields::Malformed;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The version this build writes and reads.
pub(super) const FORMAT_VERSION: u32 = 3;
/// The file's header takes its first block; records follow, each at a multiple of this.
pub(super) const BLOCK: u64 = ALIGN as u64;

const FILE_MAGIC: u64 = u64::from_le_bytes(*b"PinMnfst");
const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"PMrc");
const RECORD_HEADER: usize = size_of::<RecordHeader>();

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: U64,
    version: U32,
    crc: U32,
    shard_id: [u8; 16],
    number: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RecordHeader {
    magic: U32,
    crc: U32,
    sequence: U64,
    len: U32,
    padded: U32,
    kind: u8,
    zero: [u8; 7],
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordKind {
    /// The edit that makes the full state out of an empty one; the first record of a file.
    State = 1,
    Edit = 2,
}

/// Where a file's checksums start from, so that a record only checks out where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    pub shard_id: [u8; 16],
    pub number: u64,
}

impl FileIdentity {
    /// A file that this build makes.
    pub fn new(shard_id: [u8; 16], number: u64) -> FileIdentity {
        FileIdentity { shard_id, number }
    }

    fn checksum(&self, offset: u64, bytes: &[u8]) -> u32 {
        let crc = crc32c::crc32c(&self.shard_id);
        let crc = crc32c::crc32c_append(crc, &self.number.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, &offset.to_le_bytes()), bytes)
    }

    /// Appends the file's first block.
    pub fn encode_header(&self, buf: &mut AlignedBuf) {
        let start = buf.len();
        let mut header = FileHeader {
            magic: FILE_MAGIC.into(),
            version: FORMAT_VERSION.into(),
            crc: 0.into(),
            shard_id: self.shard_id,
            number: self.number.into(),
        };
        buf.extend_from_slice(header.as_bytes());
        buf.resize(start + ALIGN);
        header.crc = crc32c::crc32c(&buf[start..]).into();
        buf[start..start + size_of::<FileHeader>()].copy_from_slice(header.as_bytes());
    }

    /// Appends a record that will lie at file offset `offset`, padded to whole blocks.
    pub fn encode(&self, kind: RecordKind, sequence: u64, edit: &Edit, offset: u64, buf: &mut AlignedBuf) {
        let start = buf.len();
        buf.resize(start + RECORD_HEADER);
        let mut bytes = Vec::new();
        edit_bytes::encode(edit, &mut bytes);
        buf.extend_from_slice(&bytes);
        let end = buf.len();
        buf.pad();
        let header = RecordHeader {
            magic: RECORD_MAGIC.into(),
            crc: 0.into(),
            sequence: sequence.into(),
            len: count(end - start - RECORD_HEADER),
            padded: count(buf.len() - start),
            kind: kind as u8,
            zero: [0; 7],
        };
        buf[start..start + RECORD_HEADER].copy_from_slice(header.as_bytes());
        let crc = self.checksum(offset, &buf[start + 8..]);
        buf[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the record that starts `bytes`, at file offset `offset`.
    pub fn parse(&self, offset: u64, bytes: &[u8]) -> Result<ManifestRecord, Unread> {
        let (header, padded) =
            self.check(offset, bytes).map_err(|what| Unread::Malformed(Malformed(what)))?;
        let kind = match header.kind {
            1 => RecordKind::State,
            2 => RecordKind::Edit,
            kind => return Err(Unread::Unknown(format!("a record of kind {kind}"))),
        };
        if header.zero != [0; 7] {
            return Err(Unread::Unknown("more in a record's header than is known".to_owned()));
        }
        let edit = edit_bytes::parse(&bytes[RECORD_HEADER..RECORD_HEADER + header.len.get() as usize])?;
        Ok(ManifestRecord { kind, sequence: header.sequence.get(), edit, bytes: padded as u64 })
    }

    /// The number of the record that starts `bytes`, if it is whole, whatever it says.
    pub fn sequence(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        self.check(offset, bytes).ok().map(|(header, _)| header.sequence.get())
    }

    /// The header of a record that is whole, and its length with padding; the error says what is wrong.
    fn check<'a>(&self, offset: u64, bytes: &'a [u8]) -> Result<(&'a RecordHeader, usize), &'static str> {
        let Ok((header, _)) = RecordHeader::ref_from_prefix(bytes) else {
            return Err("the file ends in the middle of a record");
        };
        if header.magic.get() != RECORD_MAGIC {
            return Err("there is no record where one should be");
        }
        let (len, padded) = (header.len.get() as usize, header.padded.get() as usize);
        if padded % ALIGN != 0 || RECORD_HEADER + len > padded || padded > bytes.len() {
            return Err("a record's length is impossible");
        }
        if header.crc.get() != self.checksum(offset, &bytes[8..padded]) {
            return Err("a record's checksum is wrong");
        }
        Ok((header, padded))
    }
}

/// A sound record.
#[derive(Debug)]
pub(super) struct ManifestRecord {
    pub kind: RecordKind,
    pub sequence: u64,
    pub edit: Edit,
    /// Bytes it takes in the file.
    pub bytes: u64,
}

/// What is wrong with a file's first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Bad,
    Version(u32),
}

/// Reads a file's first block: the shard and number it was written for.
pub(super) fn parse_header(block: &[u8]) -> Result<FileIdentity, HeaderFault> {
    let Ok((header, _)) = FileHeader::ref_from_prefix(block) else { return Err(HeaderFault::Bad) };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &[0; 4]);
    if header.magic.get() != FILE_MAGIC || header.crc.get() != crc32c::crc32c_append(crc, &block[16..]) {
        return Err(HeaderFault::Bad);
    }
    match header.version.get() {
        FORMAT_VERSION => Ok(FileIdentity { shard_id: header.shard_id, number: header.number.get() }),
        version => Err(HeaderFault::Version(version)),
    }
}

fn count(len: usize) -> U32 {
    u32::try_from(len).expect("a manifest's state is far below 4 GiB").into()
}
