//! Consensus: the replicas of a group agree on the order of its entries, and on what is committed.
//!
//! 1. A [`Replica`] is one of them. Messages of the others, entries to propose and the time go in; entries for the log, messages,
//!    and how far all is committed come out ([`Ready`]). It does no I/O and asks for no time, like everything that decides.
//! 2. Inside is the crate `raft` (0.7), which knows the algorithm (Ongaro, "Consensus: Bridging Theory and Practice", 2014) with
//!    pre-votes and a leader that steps down without a majority. What it may ask of the log is in memory ([`entries`]).
//! 3. Nothing that promises persistence is sent before the log write is done that it promises: [`Replica::persisted`] hands those
//!    messages out. A leader's own are sent at once, beside its log write.
//! 4. When a replica stands for election is said here, not in the crate, by a chance that comes from a seed.
//! 5. Messages have an encoding of their own ([`message`]); what a peer sends is checked before the crate sees it ([`admit`]), for
//!    it ends the process at what can't be.

mod admit;
mod entries;
pub mod message;
mod ready;
mod replica;
mod replicas;
mod settings;
#[cfg(test)]
mod tests;
mod translate;

pub use admit::Rejected;
pub use ready::{NotProposed, Read, Ready};
pub use replica::Replica;
pub use replicas::Replicas;
pub use settings::{ELECTION_TICKS, HEARTBEAT_TICKS, Settings, TICK_US};
