//! Who took a write in before it was ordered: what stands before the batch of an entry with an origin.

use crate::fields::Reader;

/// Who took a write in, and where it stands among what they took in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The origin's start: a random id.
    pub start: u64,
    /// The write's number since then, from 1 on.
    pub number: u64,
}

impl Taken {
    /// The payload of the entry: who took the batch in, then the batch.
    pub fn payload(self, batch: &[u8]) -> Vec<u8> {
        [&self.start.to_le_bytes(), &self.number.to_le_bytes(), batch].concat()
    }

    /// Splits a payload.
    pub fn split(payload: &[u8]) -> Result<(Taken, &[u8]), String> {
        let mut fields = Reader(payload);
        let taken = fields.u64().and_then(|start| Ok(Taken { start, number: fields.u64()? }));
        Ok((taken.map_err(|error| error.to_string())?, fields.0))
    }
}
