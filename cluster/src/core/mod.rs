//! One core: a thread that runs the reactor and owns a shard, its connections and its end of the mesh.
//!
//! - [`state`] is a core as a state machine, over its connections' [bytes](crate::session::sockets) and a [`performer`] of its
//!   shard's I/O; [`handler`] is what the reactor calls, and the simulator is another driver:
//!   [`crate::drive`] is what either needs, [`insight`] what they may look at.
//! - [`turn`] is a core in a turn, and [`cost`] what that may cost; [`backend`] is how sessions see it. [`hub`] is the core without
//!   its shard, [`deliver`] where answers go.
//! - [`mail`] takes in what other cores send, [`overdue`] ends what they don't answer; the way there is [`crate::route`].
//! - [`brake`] slows writers down, [`go_on`] lets kept reads and long commands go on, [`walking`] walks, [`leave`] long replies.
//! - What clients make happen is logged [`rarely`].
//! - [`memory`] is the account of what connections take; [`room`] says who gets some, who waits, and who has to go.
//! - [`driver`] performs the shard's I/O; [`start`] sets all of it up.

mod backend;
mod brake;
pub mod control;
pub mod cost;
pub mod deliver;
pub mod driver;
mod go_on;
pub mod handler;
pub mod hub;
mod insight;
pub mod leave;
mod mail;
pub mod memory;
mod overdue;
pub mod performer;
pub mod phase;
mod rarely;
mod relief;
pub mod room;
pub mod start;
mod starved;
pub mod state;
pub mod turn;
mod walking;
