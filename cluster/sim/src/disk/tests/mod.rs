//! Each fault happens, and stays within its bounds; and a shard lives over it.

mod engine;
mod hand;
mod history;
mod limits;
mod names;
mod node;
mod rot;
mod writes;
