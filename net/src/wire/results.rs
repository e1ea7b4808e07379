//! What responses carry several of: values, outcomes, items of a page. All are read in place.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::{ErrorCode, WireError};
use super::header::Status;
use super::take::take;

/// A value with what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueRef<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Its version.
    pub version: u64,
    /// When it expires, in milliseconds since the Unix epoch; zero: never.
    pub expiry: u64,
}

/// Version and expiry in front of an old value.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OldHead {
    pub(super) version: U64,
    pub(super) expiry: U64,
}

/// What precedes one key's result.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ResultHead {
    pub(super) version: U64,
    pub(super) expiry: U64,
    pub(super) value_len: U32,
    pub(super) status: u8,
    pub(super) reserved: u8,
    pub(super) error: U16,
}

/// What came of one key of a MULTI-GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyResult<'a> {
    /// Its value.
    Value(ValueRef<'a>),
    /// There is no such key.
    NotFound,
    /// It couldn't be read.
    Refused {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        text: &'a str,
    },
}

/// The results of a MULTI-GET, in the order of its keys. Values that the answer had no room for are refused with
/// [`ErrorCode::LIMIT`]: ask for them again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyResults<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> KeyResults<'a> {
    pub(super) fn check(bytes: &'a [u8], count: u64) -> Result<KeyResults<'a>, WireError> {
        let mut results = KeyResultIter { rest: bytes };
        let found = results.by_ref().count();
        if !results.rest.is_empty() || found as u64 != count {
            return Err(WireError::Malformed("the results don't end with the last key's"));
        }
        Ok(KeyResults { bytes, count: found })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The results in the order of the request's keys.
    pub fn iter(&self) -> KeyResultIter<'a> {
        KeyResultIter { rest: self.bytes }
    }
}

/// Walks [`KeyResults`].
#[derive(Clone, Debug)]
pub struct KeyResultIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for KeyResultIter<'a> {
    type Item = KeyResult<'a>;

    fn next(&mut self) -> Option<KeyResult<'a>> {
        let (head, rest) = take::<ResultHead>(self.rest)?;
        let (bytes, rest) = rest.split_at_checked(head.value_len.get() as usize)?;
        let result = match Status::from_byte(head.status)? {
            Status::Ok => {
                KeyResult::Value(ValueRef { bytes, version: head.version.get(), expiry: head.expiry.get() })
            }
            Status::NotFound => KeyResult::NotFound,
            Status::Refused => {
                KeyResult::Refused { code: ErrorCode(head.error.get()), text: str::from_utf8(bytes).ok()? }
            }
            Status::NotMet | Status::Unknown => return None,
        };
        self.rest = rest;
        Some(result)
    }
}

/// What precedes the text of one partition's outcome.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OutcomeHead {
    pub(super) partition: U16,
    pub(super) status: u8,
    pub(super) reserved: u8,
    pub(super) error: U16,
    pub(super) text_len: U16,
    pub(super) version: U64,
}

/// What came of the operations of a batch that belong to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The partition.
    pub partition: u16,
    /// [`Status::Ok`], [`Status::Refused`] or [`Status::Unknown`].
    pub status: Status,
    /// The version that was written, if done.
    pub version: u64,
    /// Why it wasn't done, else zero.
    pub code: ErrorCode,
    /// Why, in words.
    pub text: &'a str,
}

/// The outcomes of a batch: one for each partition that it touched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcomes<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Outcomes<'a> {
    pub(super) fn check(bytes: &'a [u8], count: u64) -> Result<Outcomes<'a>, WireError> {
        let mut outcomes = OutcomeIter { rest: bytes };
        let found = outcomes.by_ref().count();
        if !outcomes.rest.is_empty() || found as u64 != count {
            return Err(WireError::Malformed("the outcomes don't end with the last partition's"));
        }
        Ok(Outcomes { bytes, count: found })
    }

    /// How many partitions the batch touched.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the batch was empty.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The outcomes, in no order.
    pub fn iter(&self) -> OutcomeIter<'a> {
        OutcomeIter { rest: self.bytes }
    }
}

/// Walks [`Outcomes`].
#[derive(Clone, Debug)]
pub struct OutcomeIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for OutcomeIter<'a> {
    type Item = Outcome<'a>;

    fn next(&mut self) -> Option<Outcome<'a>> {
        let (head, rest) = take::<OutcomeHead>(self.rest)?;
        let (text, rest) = rest.split_at_checked(head.text_len.get().into())?;
        let status = Status::from_byte(head.status)?;
        if !matches!(status, Status::Ok | Status::Refused | Status::Unknown) {
            return None;
        }
        self.rest = rest;
        Some(Outcome {
            partition: head.partition.get(),
            status,
            version: head.version.get(),
            code: ErrorCode(head.error.get()),
            text: str::from_utf8(text).ok()?,
        })
    }
}

/// What precedes one item of a page.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct ItemHead {
    pub(super) version: U64,
    pub(super) expiry: U64,
    pub(super) value_len: U32,
    pub(super) key_len: U16,
    pub(super) reserved: U16,
}

/// One item of a scan's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageItem<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its value; without bytes if only keys were asked for.
    pub value: ValueRef<'a>,
}

/// A page of a scan. Its items are in the order of their keys, over all partitions. A page may be empty and
/// the scan still go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Page<'a> {
    items: &'a [u8],
    count: usize,
    cursor: &'a [u8],
}

impl<'a> Page<'a> {
    pub(super) fn check(bytes: &'a [u8], count: u64, cursor_len: u64) -> Result<Page<'a>, WireError> {
        let wrong = || WireError::Malformed("the page doesn't end with its last item and a cursor");
        let cursor_len = usize::try_from(cursor_len).map_err(|_| wrong())?;
        let items_len = bytes.len().checked_sub(cursor_len).ok_or_else(wrong)?;
        let (items, cursor) = bytes.split_at(items_len);
        let mut iter = PageIter { rest: items };
        let found = iter.by_ref().count();
        if !iter.rest.is_empty() || found as u64 != count {
            return Err(wrong());
        }
        Ok(Page { items, count: found, cursor })
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the next page's request carries; `None`: this is the last page.
    pub fn next_cursor(&self) -> Option<&'a [u8]> {
        (!self.cursor.is_empty()).then_some(self.cursor)
    }

    /// Its items.
    pub fn iter(&self) -> PageIter<'a> {
        PageIter { rest: self.items }
    }
}

/// Walks a [`Page`].
#[derive(Clone, Debug)]
pub struct PageIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for PageIter<'a> {
    type Item = PageItem<'a>;

    fn next(&mut self) -> Option<PageItem<'a>> {
        let (head, rest) = take::<ItemHead>(self.rest)?;
        let (key, rest) = rest.split_at_checked(head.key_len.get().into())?;
        let (bytes, rest) = rest.split_at_checked(head.value_len.get() as usize)?;
        self.rest = rest;
        let value = ValueRef { bytes, version: head.version.get(), expiry: head.expiry.get() };
        Some(PageItem { key, value })
    }
}
