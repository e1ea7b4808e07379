//! The modules by which threads talk without locks, compiled against loom instead of the standard library.
//!
//! They are the workspace's own files, taken alone: with all that lies around them a change would take minutes to check. Each holds its models.
#![cfg(test)]

#[path = "../../../engine/src/drive/background/sleep.rs"]
mod sleep;
#[path = "../../src/mesh/spsc.rs"]
mod spsc;
#[path = "../../src/mesh/sync.rs"]
mod sync;
#[path = "../../../net/src/reactor/wake_state.rs"]
mod wake_state;
