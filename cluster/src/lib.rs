//! Placement, routing and the node: a durable key-value server on one machine's cores.
//!
//! - [`config`] says what to run, [`node`] runs it: [`Node::start`] is `kvd` as a library.
//! - [`placement`] says which core owns which key, [`mesh`] how cores talk to each other.
//! - `core` is one core's thread: reactor, shard, connections; `session` what a connection of either protocol does.
//! - [`admin`] tells the world how the node does, from what [`stats`] counts; [`logging`] writes log lines.

pub mod admin;
pub mod config;
mod core;
pub mod error;
pub mod logging;
pub mod mesh;
pub mod node;
pub mod placement;
mod session;
pub mod sim;
pub mod stats;

pub use config::Config;
pub use error::Error;
pub use node::Node;
pub use node::listeners::Addresses;
