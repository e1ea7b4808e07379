//! What client and server can agree on beyond the protocol's version.

/// What can be agreed on, as bits: the lower 32 say what is wanted, and bit `n + 32` that the client doesn't go on
/// without feature `n`. A server grants what it knows of both, in the lower bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// None.
    pub const NONE: Features = Features(0);
    /// The server's frames carry a checksum of key and value; the client's carry one where they say so.
    pub const CHECKSUM: Features = Features(1);
    /// Writes that carry a number are done once, however often they are sent. Who asks for it says who it is.
    pub const ONCE: Features = Features(2);
    /// All that this module knows.
    pub const KNOWN: Features = Features::CHECKSUM.with(Features::ONCE);

    /// Both sets together.
    pub const fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// These without `other`.
    pub const fn without(self, other: Features) -> Features {
        Features(self.0 & !other.0)
    }

    /// The same, not as a wish but as a condition.
    pub const fn required(self) -> Features {
        Features(self.0 << 32)
    }

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether `other` is wanted, or a condition.
    pub fn ask_for(self, other: Features) -> bool {
        self.has(other) || self.has(other.required())
    }

    /// What a server with the features `known` grants to a client that asks for these; an error has the required ones
    /// that aren't known.
    pub fn granted(self, known: Features) -> Result<Features, Features> {
        let (wanted, required) = (self.0 & u64::from(u32::MAX), self.0 >> 32);
        match required & !known.0 {
            0 => Ok(Features((wanted | required) & known.0)),
            unknown => Err(Features(unknown)),
        }
    }
}
