//! Operations that own their bytes: for requests that outlive the buffer they came in.

use super::encoding;
use super::request::Op;
use crate::fields::Reader;

/// An [`Op`] that owns its bytes.
#[derive(Debug)]
pub struct OwnedOp {
    encoded: Vec<u8>,
}

impl OwnedOp {
    /// Copies an operation.
    pub fn new(op: &Op<'_>) -> OwnedOp {
        let mut encoded = Vec::new();
        encoding::encode(op, &mut encoded);
        encoded.shrink_to_fit();
        OwnedOp { encoded }
    }

    /// Whether it changes keys that it names.
    pub fn is_update(&self) -> bool {
        encoding::is_update(&self.encoded)
    }

    /// Lends the operation.
    pub fn with<R>(&self, use_it: impl FnOnce(Op<'_>) -> R) -> R {
        encoding::decode(&mut Reader(&self.encoded), use_it).expect("what was encoded here decodes")
    }

    /// Leaves out the first `count` keys of a read of several: they are answered.
    pub fn skip(&mut self, count: usize) {
        encoding::skip_keys(&mut self.encoded, count);
    }

    /// Memory it takes, about, bytes.
    pub fn bytes(&self) -> usize {
        const BOX: usize = 16;
        size_of::<OwnedOp>() + BOX + self.encoded.capacity()
    }
}
