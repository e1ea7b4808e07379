//! A reply that comes in parts: what has come, how many are missing, and how the whole is written.

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
    /// `items` by position: `place` says where in `spans` an item is.
    Array { place: Vec<u32>, spans: Vec<Span> },
    /// The sum so far.
    Sum(i64),
    /// Only completion counts.
    AllDone,
    /// Elements, encoded one after the other.
    List { items: usize, bytes: Vec<u8> },
}

/// `place` of an item that hasn't come.
const MISSING: u32 = u32::MAX;

impl Body {
    pub(super) fn array(items: usize) -> Body {
        Body::Array { place: vec![MISSING; items], spans: Vec::new() }
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
                Body::Array { place, spans } => place.len() * 4 + spans.len() * size_of::<Span>(),
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
        let Body::Array { place, spans } = &mut self.body else { return false };
        let Some(place) = place.get_mut(index).filter(|place| **place == MISSING) else { return false };
        let Some(missing) = self.missing.checked_sub(1) else { return false };
        self.missing = missing;
        *place = spans.len() as u32; // there are at most 2^20 arguments
        spans.push(held.store(|bytes| write(&mut Encoder::new(bytes, protocol))));
        true
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
        if self.missing == 0 {
            return false;
        }
        self.missing = self.missing.saturating_sub(parts);
        self.error.get_or_insert_with(|| error.into());
        true
    }

    /// Everything this holds in [`Held`].
    pub(super) fn spans_mut(&mut self) -> &mut [Span] {
        match &mut self.body {
            Body::Array { spans, .. } => spans,
            _ => &mut [],
        }
    }

    pub(super) fn release(self, held: &mut Held) {
        if let Body::Array { spans, .. } = self.body {
            spans.into_iter().for_each(|span| held.release(span));
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
            Body::Array { place, spans } => {
                reply.array(place.len());
                for place in place {
                    if let Some(span) = spans.get(place as usize) {
                        held.take(*span, out);
                    }
                }
            }
            Body::Sum(sum) => reply.integer(sum),
            Body::AllDone => reply.ok(),
            Body::List { items, bytes } => {
                reply.array(items);
                out.extend_from_slice(&bytes);
            }
        }
    }
}
