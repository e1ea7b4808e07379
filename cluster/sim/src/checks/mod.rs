//! Checkers: each holds one promise of a node, or of the nodes together, against what is seen of them.
//!
//! A [`NodeCheck`] looks at one node after each turn of one of its cores: [`Truth`](crate::truth::Truth) at the time that its
//! shards show, [`Accounts`] at what the connections of clients hold, if it has some. A [`ClusterCheck`] sees all nodes, and what they send each other:
//! [`Pings`]. Whoever steps nodes calls them, and a broken promise ends the run. What clients are answered is held against the
//! history where it is received ([`crate::model`]).

mod accounts;
mod clocks;
mod pings;

pub use accounts::Accounts;
pub use pings::Pings;

use crate::clock::Clock;
use crate::links::Heard;
use crate::node::Node;
use pinion_engine::clock::TimeJump;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, in a few words.
    pub check: &'static str,
    /// What should be seen.
    pub expected: String,
    /// What was.
    pub seen: String,
}

impl Broken {
    /// Of a promise of which this was expected, and that was seen.
    pub fn new(check: &'static str, expected: impl Into<String>, seen: impl Into<String>) -> Broken {
        Broken { check, expected: expected.into(), seen: seen.into() }
    }
}

/// Whether a promise was held.
pub type Held = Result<(), Broken>;

/// Checks a node, whatever others do.
pub trait NodeCheck {
    /// The node is open, by a clock of which its operator said this.
    fn opened(&mut self, _node: &Node, _clock: &Clock, _jump: TimeJump) -> Held {
        Ok(())
    }

    /// A core has taken a turn.
    fn turned(&mut self, node: &mut Node, core: usize, clock: &Clock) -> Held;

    /// The node is gone, and with it the power of its machine, or not.
    fn closed(&mut self, _clock: &Clock, _is_power: bool) {}
}

/// Checks all nodes together.
pub trait ClusterCheck {
    /// A core of a node, by its number, has taken a turn.
    fn turned(&mut self, number: usize, node: &Node, core: usize) -> Held;

    /// A message was heard between two nodes.
    fn heard(&mut self, heard: &Heard) -> Held;
}
