//! Lists inside a request: keys to read, puts and deletes to do together.
//!
//! A list is checked once as a whole when its frame is decoded; its iterators then walk the received
//! bytes and can't fail.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::WireError;
use super::limits::Limits;
use super::request::Expiry;
use super::take::take;

/// Whether a key has an allowed length.
pub(super) fn check_key(key: &[u8]) -> Result<(), WireError> {
    match key.len() {
        1..=Limits::KEY_BYTES_MAX => Ok(()),
        bytes => Err(WireError::KeyLength { bytes }),
    }
}

/// The keys of a MULTI-GET, in place: each a length of two bytes and its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyList<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> KeyList<'a> {
    pub(super) fn check(bytes: &'a [u8], count: u64) -> Result<KeyList<'a>, WireError> {
        if count > Limits::KEYS_MAX as u64 {
            return Err(WireError::TooManyKeys { keys: count });
        }
        let list = KeyList { bytes, count: 0 };
        let mut keys = list.iter();
        let mut found = 0;
        for key in keys.by_ref().take(Limits::KEYS_MAX + 1) {
            check_key(key)?;
            found += 1;
        }
        if !keys.rest.is_empty() || found as u64 != count {
            return Err(WireError::Malformed("the list of keys doesn't end with its last key"));
        }
        Ok(KeyList { bytes, count: found })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The keys, as sent.
    pub fn iter(&self) -> KeyIter<'a> {
        KeyIter { rest: self.bytes }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Walks a [`KeyList`].
#[derive(Clone, Debug)]
pub struct KeyIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for KeyIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = take::<U16>(self.rest)?;
        let (key, rest) = rest.split_at_checked(len.get().into())?;
        self.rest = rest;
        Some(key)
    }
}

/// Collects the keys of a MULTI-GET.
#[derive(Clone, Debug, Default)]
pub struct KeyListBuilder {
    bytes: Vec<u8>,
    count: usize,
}

impl KeyListBuilder {
    /// Appends a key.
    pub fn push(&mut self, key: &[u8]) -> Result<(), WireError> {
        check_key(key)?;
        if self.count == Limits::KEYS_MAX {
            return Err(WireError::TooManyKeys { keys: self.count as u64 + 1 });
        }
        self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.count += 1;
        Ok(())
    }

    /// Whether a request whose list may have so many bytes (see [`Limits::batch_bytes_max`]) takes this key too.
    pub fn has_room_for(&self, key: &[u8], bytes_max: usize) -> bool {
        self.count < Limits::KEYS_MAX && self.bytes.len() + size_of::<U16>() + key.len() <= bytes_max
    }

    /// The list, for a request.
    pub fn list(&self) -> KeyList<'_> {
        KeyList { bytes: &self.bytes, count: self.count }
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const NEVER: u8 = 0;
const AFTER: u8 = 1;
const AT: u8 = 2;
const KEEP: u8 = 3;

/// What precedes key and value of one operation in a batch.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct OpHead {
    kind: u8,
    expiry_kind: u8,
    key_len: U16,
    value_len: U32,
    expiry: U64,
}

/// What one operation of a batch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind<'a> {
    /// Sets the value.
    Put {
        /// The new value.
        value: &'a [u8],
        /// When it expires.
        expiry: Expiry,
    },
    /// Removes the key.
    Delete,
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOp<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What to do to it.
    pub kind: OpKind<'a>,
}

impl BatchOp<'_> {
    /// Bytes that it takes in a request.
    pub fn bytes(&self) -> usize {
        let value = if let OpKind::Put { value, .. } = self.kind { value.len() } else { 0 };
        size_of::<OpHead>() + self.key.len() + value
    }
}

/// The operations of a batch, in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchOps<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> BatchOps<'a> {
    pub(super) fn check(bytes: &'a [u8], count: u64, limits: &Limits) -> Result<BatchOps<'a>, WireError> {
        if count > Limits::OPS_MAX as u64 {
            return Err(WireError::TooManyOps { ops: count });
        }
        let mut ops = OpIter { rest: bytes };
        let mut found = 0;
        for op in ops.by_ref().take(Limits::OPS_MAX + 1) {
            check_key(op.key)?;
            if let OpKind::Put { value, .. } = op.kind {
                limits.check_value(value)?;
            }
            found += 1;
        }
        if !ops.rest.is_empty() || found as u64 != count {
            return Err(WireError::Malformed("the batch doesn't end with its last operation"));
        }
        Ok(BatchOps { bytes, count: found })
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The operations, as sent; they take effect in this order.
    pub fn iter(&self) -> OpIter<'a> {
        OpIter { rest: self.bytes }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Walks [`BatchOps`].
#[derive(Clone, Debug)]
pub struct OpIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for OpIter<'a> {
    type Item = BatchOp<'a>;

    fn next(&mut self) -> Option<BatchOp<'a>> {
        let (head, rest) = take::<OpHead>(self.rest)?;
        let (key, rest) = rest.split_at_checked(head.key_len.get().into())?;
        let (value, rest) = rest.split_at_checked(head.value_len.get() as usize)?;
        let expiry = match head.expiry_kind {
            NEVER if head.expiry == U64::ZERO => Expiry::Never,
            AFTER => Expiry::After(head.expiry.get()),
            AT => Expiry::At(head.expiry.get()),
            KEEP if head.expiry == U64::ZERO => Expiry::Keep,
            _ => return None,
        };
        let kind = match head.kind {
            PUT => OpKind::Put { value, expiry },
            DELETE if value.is_empty() && expiry == Expiry::Never => OpKind::Delete,
            _ => return None,
        };
        self.rest = rest;
        Some(BatchOp { key, kind })
    }
}

/// Collects the operations of a batch.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    count: usize,
}

impl BatchBuilder {
    /// Appends a put.
    pub fn put(&mut self, key: &[u8], value: &[u8], expiry: Expiry) -> Result<(), WireError> {
        let (expiry_kind, expiry) = match expiry {
            Expiry::Never => (NEVER, 0),
            Expiry::After(ms) => (AFTER, ms),
            Expiry::At(ms) => (AT, ms),
            Expiry::Keep => (KEEP, 0),
        };
        self.push(PUT, expiry_kind, expiry, key, value)
    }

    /// Appends a delete.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), WireError> {
        self.push(DELETE, NEVER, 0, key, b"")
    }

    /// Appends an operation of another batch.
    pub fn append(&mut self, op: BatchOp<'_>) -> Result<(), WireError> {
        match op.kind {
            OpKind::Put { value, expiry } => self.put(op.key, value, expiry),
            OpKind::Delete => self.delete(op.key),
        }
    }

    fn push(
        &mut self,
        kind: u8,
        expiry_kind: u8,
        expiry: u64,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), WireError> {
        check_key(key)?;
        Limits::default().check_value(value)?;
        let head = OpHead {
            kind,
            expiry_kind,
            key_len: U16::new(key.len() as u16),
            value_len: U32::new(value.len() as u32),
            expiry: U64::new(expiry),
        };
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.count += 1;
        Ok(())
    }

    /// The operations, for a request.
    pub fn ops(&self) -> BatchOps<'_> {
        BatchOps { bytes: &self.bytes, count: self.count }
    }

    /// Bytes they take in a frame.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}
