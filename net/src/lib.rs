//! What travels between machines: the wire protocols, the reactor that serves them, the client.

pub mod client;
pub mod slot;
pub mod wire;
