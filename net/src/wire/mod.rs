//! The binary protocol: frames, requests, responses.
//!
//! A connection carries *frames* in both directions: a header of 48 bytes, a key, a value, zeros up to
//! a multiple of 8, and a checksum of key and value where the header's flags say so. Numbers are
//! little-endian. A response carries the id of its request and may overtake others. docs/protocol.md
//! describes every byte.
//!
//! 1. [`parse`] finds the next frame in received bytes without copying: a [`Frame`], or how many bytes
//!    are needed (never more than the [`Limits`] allow), or why the stream can't be followed any more.
//! 2. [`Request::decode`] and [`Response::decode`] type a frame; they borrow from it. Lists of keys,
//!    batches and pages are checked once as a whole and then iterated in place.
//! 3. [`Request::encode`] and [`Responder`] append frames to a `Vec<u8>` and allocate nothing else.
//!
//! All of it is total: no bytes make it panic or allocate by a length that wasn't checked first.

mod codec;
mod error;
mod features;
mod frame;
mod header;
mod hello;
mod limits;
mod lists;
mod map;
mod once;
mod request;
mod responder;
mod response;
mod results;
mod take;

pub use error::{ErrorCode, WireError};
pub use features::Features;
pub use frame::{Frame, Parsed, parse};
pub use header::{Flags, HEADER_BYTES, Header, Level, MAGIC, Opcode, Status, VERSION};
pub use hello::{Hello, ServerHello};
pub use limits::Limits;
pub use lists::{BatchBuilder, BatchOp, BatchOps, KeyList, KeyListBuilder, OpKind};
pub use map::{Home, Map, NodePorts};
pub use once::Once;
pub use request::{Command, Condition, Expiry, Range, Request, Scan};
pub use responder::{OutcomesEncoder, PageEncoder, Responder, ResultsEncoder};
pub use response::{Reply, Response};
pub use results::{KeyResult, KeyResults, Outcome, Outcomes, Page, PageItem, ValueRef};

#[cfg(test)]
mod tests;
