//! A reply that comes in parts: what has come, how many are missing, and how the whole is written.

use std::collections::VecDeque;

use super::held::{Held, Span};
use super::reply::{Encoder, Protocol};

#[derive(Debug)]
pub(super) struct Parts {
    missing: usize,
    error: Option<Box<str>>,
    body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    /// Items by position.
    Array(Array),
    /// The sum so far.
    Sum(i64),
    /// Only completion counts.
    AllDone,
    /// Elements, encoded one after the other.
    List { items: usize, bytes: Vec<u8> },
}

/// An array whose items come in any order. It may leave before all of it is there: then what has come leaves in order,
/// and an item that is missing holds back those behind it.
#[derive(Debug)]
pub(super) struct Array {
    items: usize,
    /// So many items have left.
    left: usize,
    /// The items from there on that are expected, as far as they have come.
    slots: VecDeque<Option<Span>>,
    is_leaving: bool,
    /// Its head has left.
    has_begun: bool,
}

impl Array {
    /// Writes what can leave.
    fn leave(&mut self, protocol: Protocol, held: &mut Held, out: &mut Vec<u8>) {
        if !self.has_begun {
            self.has_begun = true;
            Encoder::new(out, protocol).array(self.items);
        }
        while let Some(Some(span)) = self.slots.front().copied() {
            held.take(span, out);
            self.slots.pop_front();
            self.left += 1;
        }
    }
}

impl Body {
    /// An array of `items`, of which the first `expected` come now.
    pub(super) fn array(items: usize, expected: usize) -> Body {
        let slots = std::iter::repeat_n(None, expected).collect();
        Body::Array(Array { items, left: 0, slots, is_leaving: false, has_begun: false })
    }

    pub(super) fn list() -> Body {
        Body::List { items: 0, bytes: Vec::new() }
    }
}

impl Parts {
    pub(super) fn new(parts: usize, body: Body) -> Parts {
        Parts { missing: parts, error: None, body }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Memory of the table itself; what lies in [`Held`] is counted there.
    pub(super) fn memory(&self) -> usize {
        size_of::<Parts>()
            + match &self.body {
                Body::Array(array) => array.slots.len() * size_of::<Option<Span>>(),
                Body::Sum(_) | Body::AllDone => 0,
                Body::List { bytes, .. } => bytes.len(),
            }
    }

    pub(super) fn item(
        &mut self,
        index: usize,
        protocol: Protocol,
        held: &mut Held,
        write: impl FnOnce(&mut Encoder<'_>),
    ) -> bool {
        let Body::Array(array) = &mut self.body else { return false };
        let slot = index.checked_sub(array.left).and_then(|at| array.slots.get_mut(at));
        let Some(slot) = slot.filter(|slot| slot.is_none()) else { return false };
        let Some(missing) = self.missing.checked_sub(1) else { return false };
        self.missing = missing;
        *slot = Some(held.store(|bytes| write(&mut Encoder::new(bytes, protocol))));
        true
    }

    /// Writes an item straight out, if it is the next of an array that is leaving.
    pub(super) fn item_out(&mut self, index: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        debug_assert!(self.is_next(index), "the caller has asked");
        if let Body::Array(array) = &mut self.body {
            write(out);
            array.slots.pop_front();
            array.left += 1;
            self.missing -= 1;
        }
    }

    /// Whether this item is the next to leave of an array that is leaving.
    pub(super) fn is_next(&self, index: usize) -> bool {
        matches!(&self.body, Body::Array(array)
            if array.has_begun && array.left == index && matches!(array.slots.front(), Some(None)))
    }

    /// So many more items of an array are expected now.
    pub(super) fn expect(&mut self, items: usize) {
        if let Body::Array(array) = &mut self.body {
            array.slots.extend(std::iter::repeat_n(None, items));
        }
    }

    /// Lets an array leave from now on. Not one that has failed: its reply is the error.
    pub(super) fn begin_leaving(&mut self) {
        if let Body::Array(array) = &mut self.body {
            array.is_leaving = self.error.is_none();
        }
    }

    /// Whether it leaves before it is complete.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(&self.body, Body::Array(array) if array.is_leaving)
    }

    /// The next item of an array to leave.
    pub(super) fn next_item(&self) -> Option<usize> {
        if let Body::Array(array) = &self.body { Some(array.left) } else { None }
    }

    /// Writes what of an array that is leaving can leave.
    pub(super) fn leave(&mut self, protocol: Protocol, held: &mut Held, out: &mut Vec<u8>) {
        if let Body::Array(array) = &mut self.body {
            array.leave(protocol, held, out);
        }
    }

    pub(super) fn add(&mut self, number: i64) -> bool {
        match &mut self.body {
            Body::Sum(sum) if self.missing > 0 => {
                *sum = sum.saturating_add(number);
                self.missing -= 1;
                true
            }
            _ => false,
        }
    }

    pub(super) fn push(&mut self, protocol: Protocol, write: impl FnOnce(&mut Encoder<'_>)) -> bool {
        let Body::List { items, bytes } = &mut self.body else { return false };
        *items += 1;
        write(&mut Encoder::new(bytes, protocol));
        true
    }

    pub(super) fn done(&mut self) -> bool {
        match &self.body {
            Body::AllDone | Body::List { .. } if self.missing > 0 => {
                self.missing -= 1;
                true
            }
            _ => false,
        }
    }

    pub(super) fn fail(&mut self, parts: usize, error: &str) -> bool {
        debug_assert!(!self.is_leaving(), "what fails of an array that leaves is an item of it");
        if self.missing == 0 {
            return false;
        }
        self.missing = self.missing.saturating_sub(parts);
        self.error.get_or_insert_with(|| error.into());
        true
    }

    /// Everything this holds in [`Held`].
    pub(super) fn spans_mut(&mut self) -> impl Iterator<Item = &mut Span> {
        let array = if let Body::Array(array) = &mut self.body { Some(array) } else { None };
        array.into_iter().flat_map(|array| array.slots.iter_mut().flatten())
    }

    pub(super) fn release(self, held: &mut Held) {
        if let Body::Array(array) = self.body {
            array.slots.into_iter().flatten().for_each(|span| held.release(span));
        }
    }

    /// Writes the complete reply and releases what was held for it.
    pub(super) fn write(self, protocol: Protocol, held: &mut Held, out: &mut Vec<u8>) {
        let mut reply = Encoder::new(out, protocol);
        if let Some(error) = &self.error {
            reply.error(error.as_bytes());
            return self.release(held);
        }
        match self.body {
            Body::Array(mut array) => array.leave(protocol, held, out),
            Body::Sum(sum) => reply.integer(sum),
            Body::AllDone => reply.ok(),
            Body::List { items, bytes } => {
                reply.array(items);
                out.extend_from_slice(&bytes);
            }
        }
    }
}
