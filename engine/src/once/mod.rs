//! Requests that are done once, however often they are sent.
//!
//! A client that doesn't know what became of a write sends it again, under the same number. Its group remembers what each such
//! write came to, in the entry that carries the write, and answers the same again. The [`Table`] of what is remembered is a
//! function of the log, as all of a group is:
//! 1. What a write came to is kept until its client says that it has the answer: each request names the lowest number that is
//!    still open.
//! 2. A number below that is never done: it is a copy that was late on its way.
//! 3. Memory ends somewhere. Whoever orders the group may raise its *floor*: what was first sent at or before that time is
//!    forgotten, and what comes from then and isn't remembered is never done.

mod section;
mod table;
#[cfg(test)]
mod tests;

use crate::fields::{Malformed, Reader, Writer};

pub use section::{Row, Section, SectionBuilder};
pub use table::{ClientRows, Kept, Known, OPEN_MAX, Table};

/// Who sent a request, and which of theirs it is. All times are server time: the wall clock, microseconds since the Unix epoch, but it
/// never goes back while a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// The client's random id.
    pub client: u128,
    /// Which of the client's requests, counted over all partitions, from 1 on.
    pub number: u64,
    /// The lowest number that the client has no answer to.
    pub lowest: u64,
    /// When the client sent it first.
    pub first_sent_us: u64,
    /// Whether the client has sent it before.
    pub is_again: bool,
}

impl Once {
    /// Bytes of its encoding.
    const BYTES: usize = 40;

    /// Appends all of it but whether it was sent before.
    pub fn encode(&self, out: &mut Writer<'_>) {
        out.u128(self.client);
        out.u64(self.number);
        out.u64(self.lowest);
        out.u64(self.first_sent_us);
    }

    /// Takes it off, as one that wasn't sent before.
    pub fn decode(fields: &mut Reader<'_>) -> Result<Once, Malformed> {
        let client = fields.u128()?;
        let (number, lowest, first_sent_us) = (fields.u64()?, fields.u64()?, fields.u64()?);
        Ok(Once { client, number, lowest, first_sent_us, is_again: false })
    }
}
