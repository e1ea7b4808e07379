//! One core: a thread that runs the reactor and owns a shard, its connections and its end of the mesh.
//!
//! - [`state`] is a core as a state machine, over what [`sockets`] asks of whoever drives it; [`handler`] is what the
//!   reactor calls, and the simulator is another driver.
//! - [`turn`] is what sessions work with during a turn, and [`cost`] what that may cost; [`hub`] is the core without its shard,
//!   [`deliver`] where answers go.
//! - [`mail`] takes in what other cores send.
//! - [`brake`] slows writers down, [`bulk`] lets few long batches be under way at once.
//! - [`memory`] is the account of what connections take; [`room`] says who gets some, who waits, and who has to go.
//! - [`driver`] performs the shard's I/O; [`start`] sets all of it up.

mod brake;
pub mod bulk;
pub mod control;
pub mod cost;
pub mod deliver;
pub mod driver;
mod go_on;
pub mod handler;
pub mod hub;
pub mod leave;
mod mail;
pub mod memory;
mod overdue;
pub mod phase;
pub mod room;
pub mod sockets;
pub mod start;
mod starved;
pub mod state;
pub mod turn;
mod walking;
pub mod weight;
