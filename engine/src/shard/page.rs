//! The items of a page of a scan.

use super::request::Value;
use crate::key::{Expiry, Version};

/// The items of a scan's page, packed in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    bytes: Vec<u8>,
    items: Vec<PageItem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageItem {
    key_len: u32,
    value_len: u32,
    version: Version,
    expiry: Expiry,
}

impl Page {
    /// Appends an item.
    pub fn push(&mut self, key: &[u8], value: Value<'_>) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.bytes);
        let key_len = u32::try_from(key.len()).expect("keys are limited to 65,535 bytes");
        let value_len = u32::try_from(value.bytes.len()).expect("values are limited to 16 MiB");
        self.items.push(PageItem { key_len, value_len, version: value.version, expiry: value.expiry });
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }

    /// Says its expiries in another time.
    pub(super) fn translate(&mut self, translate: impl Fn(Expiry) -> Expiry) {
        self.items.iter_mut().for_each(|item| item.expiry = translate(item.expiry));
    }

    /// User keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Value<'_>)> {
        let mut rest = self.bytes.as_slice();
        self.items.iter().map(move |item| {
            let (key, after) = rest.split_at(item.key_len as usize);
            let (bytes, after) = after.split_at(item.value_len as usize);
            rest = after;
            (key, Value { bytes, version: item.version, expiry: item.expiry })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_hands_out_what_was_pushed() {
        let mut page = Page::default();
        let value = |bytes| Value { bytes, version: Version(7), expiry: Expiry(9) };
        page.push(b"a", value(b"1"));
        page.push(b"bb", value(b""));
        page.push(b"", value(b"333"));
        let items: Vec<_> = page.iter().collect();
        assert_eq!(items, [(&b"a"[..], value(b"1")), (b"bb", value(b"")), (b"", value(b"333"))]);
        page.clear();
        assert!(page.is_empty());
    }
}
