//! What keeps a node from starting or makes it stop, with the exit code that it becomes.

use pinion_engine::Error as EngineError;

/// An error of the node. Its text is one line that names the cause and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag, an environment variable or the configuration file is wrong.
    #[error("{0}")]
    Config(String),
    /// The node can't run here, or can't go on; the text says why and what to do.
    #[error("{0}")]
    Node(String),
    /// The storage of a shard can't be opened or failed.
    #[error("shard {shard}: {source}")]
    Shard {
        /// The shard's number.
        shard: usize,
        /// What is wrong.
        source: EngineError,
    },
}

impl Error {
    /// The exit code: 2 for usage and configuration, 1 for anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) => 2,
            Error::Node(_) | Error::Shard { .. } => 1,
        }
    }
}
