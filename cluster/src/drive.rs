//! What whoever drives a core is given: the reactor's [handler](crate::core::handler) in `kvd`, and the simulator.
//!
//! A core is a [`CoreState`]: it decides, and does no I/O. Its driver
//! - makes it from [`CoreParts`] and an open shard, as [`NodeInfo`] says that one is opened;
//! - has its connections ([`Sockets`]) and calls it for what happens to them, by what each listener [`Speaks`];
//! - performs the I/O of its shard ([`Performer`]), and wakes the cores that it has sent something;
//! - reads the clocks once a turn, which is [`CoreState::begin`], what happened, and [`CoreState::end_turn`].
//!
//! What a core shows of itself beyond that is in [`CoreState`] too: its shard, what its connections wait for and hold.

pub use crate::core::performer::Performer;
pub use crate::core::state::{CoreParts, CoreState};
pub use crate::node::events::{Event, Events};
pub use crate::node::info::NodeInfo;
pub use crate::node::listeners::{Addresses, Others, Speaks};
pub use crate::node::run::RunId;
pub use crate::node::split::Split;
pub use crate::session::Hold;
pub use crate::session::sockets::Sockets;
