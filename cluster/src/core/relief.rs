//! What is remembered between two looks for [room](super::room) in the memory for connections.

/// When connections were last looked at, and what came of it.
#[derive(Debug, Default)]
pub struct Relief {
    pub(super) looked_us: u64,
    /// Since when answers go before long commands.
    pub(super) answers_first_since_us: Option<u64>,
    pub(super) told_us: u64,
    /// Connections closed since the last line in the log, and the bytes they held.
    pub(super) closed: usize,
    pub(super) closed_bytes: usize,
}
