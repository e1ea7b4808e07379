//! The protocols that clients speak.

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// RESP2.
    Resp2,
    /// RESP3.
    Resp3,
    /// The binary protocol.
    Wire,
    /// The binary protocol with checksums over keys and values.
    WireChecked,
}

impl Dialect {
    /// Whether it is a version of RESP.
    pub fn is_resp(self) -> bool {
        matches!(self, Dialect::Resp2 | Dialect::Resp3)
    }
}
