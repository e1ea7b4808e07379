//! What an operation carries, and its completion brings back.

/// What a completion is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Bytes of a connection.
    Receive,
    /// A connection's output.
    Send,
    /// A new connection.
    Accept,
    /// A connection out is there, or isn't.
    Connect,
    /// A descriptor by which to ask where a connection came in.
    Locate,
    /// A file was read.
    FileRead,
    /// A file was written.
    FileWrite,
    /// A file was synced.
    FileSync,
    /// A file was opened.
    FileOpen,
    /// This reactor's eventfd was written.
    Event,
    /// Another reactor woke this one.
    Wake,
    /// Waking another reactor failed.
    WakeFailed,
    /// Something whose outcome doesn't matter: cancel, shutdown, close.
    Ignored,
}

/// Kind (8 bits), generation (its low 24 bits) and index (32 bits) in an operation's user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub u64);

impl Tag {
    pub fn new(kind: Kind, index: u32, generation: u32) -> Tag {
        Tag(u64::from(index) | u64::from(generation & 0xff_ffff) << 32 | (kind as u64) << 56)
    }

    pub fn kind(self) -> Kind {
        match (self.0 >> 56) as u8 {
            0 => Kind::Receive,
            1 => Kind::Send,
            2 => Kind::Accept,
            3 => Kind::Connect,
            4 => Kind::Locate,
            5 => Kind::FileRead,
            6 => Kind::FileWrite,
            7 => Kind::FileSync,
            8 => Kind::FileOpen,
            9 => Kind::Event,
            10 => Kind::Wake,
            11 => Kind::WakeFailed,
            _ => Kind::Ignored,
        }
    }

    pub fn index(self) -> u32 {
        self.0 as u32
    }

    /// Whether the tag was made with this generation.
    pub fn is_of(self, generation: u32) -> bool {
        (self.0 >> 32) as u32 & 0xff_ffff == generation & 0xff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_what_it_was_made_of() {
        for kind in [
            Kind::Receive,
            Kind::Send,
            Kind::Connect,
            Kind::Locate,
            Kind::FileSync,
            Kind::FileOpen,
            Kind::WakeFailed,
            Kind::Ignored,
        ] {
            let tag = Tag::new(kind, u32::MAX - 1, 0x0123_4567);
            assert_eq!((tag.kind(), tag.index()), (kind, u32::MAX - 1));
            assert!(tag.is_of(0x0123_4567) && !tag.is_of(0x0123_4568));
        }
    }
}
