//! What a store is asked, and what comes of it.

/// A request for one record, or for several in key order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Reads a record.
    Read {
        /// Its key.
        key: &'a [u8],
    },
    /// Sets a record.
    Write {
        /// Its key.
        key: &'a [u8],
        /// What it becomes.
        value: &'a [u8],
    },
    /// Reads a page of records.
    Scan {
        /// The first key.
        from: &'a [u8],
        /// Where the page before ended; empty: this is the first.
        cursor: &'a [u8],
        /// How many records are still wanted.
        limit: u64,
    },
}

impl<'a> Request<'a> {
    /// The key that says where it belongs.
    pub fn key(&self) -> &'a [u8] {
        match self {
            Request::Read { key } | Request::Write { key, .. } | Request::Scan { from: key, .. } => key,
        }
    }
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The record.
    Value(&'a [u8]),
    /// There is none.
    NotFound,
    /// Written.
    Done,
    /// A page of a scan.
    Page {
        /// How many records it had.
        rows: usize,
        /// Where to go on.
        cursor: Option<&'a [u8]>,
    },
    /// The store said no.
    Failed(&'a str),
    /// The store doesn't know whether it was written.
    Unknown(&'a str),
}

impl<'a> Outcome<'a> {
    /// What the store said, if it didn't go well.
    pub fn complaint(&self) -> Option<&'a str> {
        match self {
            Outcome::Failed(text) | Outcome::Unknown(text) => Some(text),
            _ => None,
        }
    }
}
