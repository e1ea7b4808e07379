//! What the client takes and gives.

use crate::wire::{Condition, Expiry, KeyResult, Page, PageItem, ValueRef};

use super::error::Error;

/// A value with what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its version: rises with every write of the key.
    pub version: u64,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

impl Value {
    pub(super) fn of(value: ValueRef<'_>) -> Value {
        Value { bytes: value.bytes.to_vec(), version: value.version, expires_at_ms: expiry(value.expiry) }
    }

    pub(super) fn of_result(result: KeyResult<'_>) -> Result<Option<Value>, Error> {
        match result {
            KeyResult::Value(value) => Ok(Some(Value::of(value))),
            KeyResult::NotFound => Ok(None),
            KeyResult::Refused { code, text } => Err(Error::refused(code, text)),
        }
    }
}

pub(super) fn expiry(expiry: u64) -> Option<u64> {
    (expiry != 0).then_some(expiry)
}

/// What is known of a key without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its version.
    pub version: u64,
    /// When it expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

/// How to put a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put {
    /// When it expires: never.
    pub expiry: Expiry,
    /// Only if: always.
    pub condition: Condition,
    /// Whether the value before is wanted: no.
    pub want_old: bool,
}

/// How to delete a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Only if: always.
    pub condition: Condition,
    /// Whether the value before is wanted: no.
    pub want_old: bool,
}

/// What came of a write with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done.
    Done {
        /// The version written.
        version: u64,
        /// The value before, where asked for and there.
        old: Option<Value>,
    },
    /// Nothing was changed: the key to delete wasn't there.
    NotFound,
    /// Nothing was changed: the condition didn't hold.
    NotMet {
        /// What is there, if anything; its bytes only where the old value was asked for.
        current: Option<Value>,
    },
}

/// Which keys a scan or a count is about, and how a scan reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Keys that start so.
    pub prefix: Vec<u8>,
    /// First key.
    pub from: Vec<u8>,
    /// First key beyond the end; empty: to the end.
    pub to: Vec<u8>,
    /// At most so many items in all.
    pub limit: Option<u64>,
    /// Leave the values out.
    pub keys_only: bool,
    /// Items asked for at once; zero: as many as the server likes.
    pub page_items: u32,
}

impl ScanOptions {
    pub(super) fn range(&self) -> crate::wire::Range<'_> {
        crate::wire::Range { from: &self.from, to: &self.to, prefix: &self.prefix }
    }
}

/// A key and its value, as a scan finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Vec<u8>,
    /// Its value; without bytes if only keys were asked for.
    pub value: Value,
}

impl Item {
    fn of(item: PageItem<'_>) -> Item {
        Item { key: item.key.to_vec(), value: Value::of(item.value) }
    }
}

/// A page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Its items, in the order of keys over all partitions.
    pub items: Vec<Item>,
    /// Where to go on; `None`: the scan is over.
    pub next: Option<Vec<u8>>,
}

impl ScanPage {
    pub(super) fn of(page: Page<'_>) -> ScanPage {
        ScanPage { items: page.iter().map(Item::of).collect(), next: page.next_cursor().map(<[u8]>::to_vec) }
    }
}
