//! Placement, routing and the node: a durable key-value server of one machine's cores.
//!
//! [`config`] says what to run, [`placement`] which core owns which key, [`mesh`] how cores talk to each other.

pub mod admin;
pub mod config;
mod core;
pub mod error;
pub mod logging;
pub mod mesh;
pub mod placement;
pub mod stats;

pub use config::Config;
pub use error::Error;
