//! What a core's sessions hold is in its account, after each turn. Without clients there are no sessions, and nothing can be wrong.

use super::{Broken, Held, NodeCheck};
use crate::clock::Clock;
use crate::node::Node;

/// See the module's text.
#[derive(Debug)]
pub struct Accounts;

impl NodeCheck for Accounts {
    fn turned(&mut self, node: &mut Node, core: usize, _: &Clock) -> Held {
        let (held, charged) = node.cores[core].state.session_bytes();
        if held == charged {
            return Ok(());
        }
        let seen = format!("core {core}: {charged} bytes are charged");
        Err(Broken::new("what sessions hold is charged", format!("{held} bytes"), seen))
    }
}
