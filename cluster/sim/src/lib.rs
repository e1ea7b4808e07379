//! The simulator: real node code in virtual time, on one thread, from one seed.
//!
//! - [`world`] steps a [`node`] whose cores are the real ones, over [`disk`]s, [`net`] and clock of its own, in an order that
//!   the seed decides; [`calamity`] lets faults strike, [`lost`] takes files away, [`watch`] checks what no client sees, [`ending`] reads all once more.
//! - [`cluster`] steps several nodes, each on a machine of its own, over [`links`] that are slow, lose, and are cut.
//! - [`replicas`] steps the replicas of one group, each on a machine of its own, under clients whose answers must be linearizable.
//! - [`checks`] are the promises of a node, and of all together, that are held against what is seen of them.
//! - [`client`] plays the programs that use a node: bytes out, bytes in.
//! - [`model`] knows what every answer may be, and says which one was wrong.
//! - [`options`] draws what a run is to be from its [`profile`]; [`campaign`] runs many seeds, [`report`] says what failed,
//!   and [`minimize`] makes it smaller.
//!
//! Nothing here asks the time or another thread, and nothing outside of here knows that it is simulated.

mod calamity;
pub mod campaign;
pub mod checks;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod counters;
pub mod disk;
mod ending;
pub mod fault;
pub mod links;
mod lost;
pub mod minimize;
pub mod model;
pub mod net;
pub mod node;
pub mod options;
pub mod performer;
pub mod profile;
pub mod replicas;
pub mod report;
mod reshard;
pub mod rng;
mod schedule;
pub mod setup;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod truth;
mod watch;
pub mod world;
