//! Where connections go.

/// Where a client is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The one that any core serves; this core does.
    Shared(usize),
    /// The own port of a core.
    Core(usize),
}
