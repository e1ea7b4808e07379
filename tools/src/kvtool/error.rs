//! Why a command didn't succeed, and the exit code for it.

use std::io;

/// Why a command didn't succeed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Damage was found, and reported.
    #[error("{0}")]
    Damage(String),
    /// The storage engine says why.
    #[error(transparent)]
    Engine(#[from] pinion_engine::Error),
    /// The output can't be written.
    #[error("write the output: {0}")]
    Output(io::Error),
}

impl ToolError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            ToolError::Usage(_) => 2,
            // Whoever reads the output has seen enough.
            ToolError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            ToolError::Damage(_) | ToolError::Engine(_) | ToolError::Output(_) => 1,
        }
    }
}
