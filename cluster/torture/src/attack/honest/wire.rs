//! What the honest client asks and is told, whatever the protocol.

use std::time::Duration;

/// No answer takes longer, whatever others do to the server.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// One request.
pub enum Ask {
    Set(Vec<u8>, Vec<u8>),
    Get(Vec<u8>),
    Delete(Vec<u8>),
    Count(Vec<u8>),
    GetMany(Vec<Vec<u8>>),
    /// The names that begin so, all pages of them.
    Names(Vec<u8>),
}

impl Ask {
    pub fn name(&self) -> &'static str {
        match self {
            Ask::Set(..) => "SET",
            Ask::Get(_) => "GET",
            Ask::Delete(_) => "DEL",
            Ask::Count(_) => "INCR",
            Ask::GetMany(_) => "MGET",
            Ask::Names(_) => "SCAN",
        }
    }
}

/// What came of it.
pub enum Said {
    /// Written.
    Done,
    Value(Option<Vec<u8>>),
    Values(Vec<Option<Vec<u8>>>),
    Number(i64),
    Names(Vec<Vec<u8>>),
    /// Certainly not done.
    Refused(String),
    /// Perhaps done.
    Unknown(String),
    /// The connection broke before the answer.
    Lost(String),
}

/// Whether a server says with this that it closes a connection for the sake of others.
pub fn is_dismissal(text: &str) -> bool {
    text.contains("the memory for connections is used up")
}

/// A connection, made anew when it breaks. An error is what no server may do: no answer, or bytes that make no sense.
pub trait Wire {
    fn ask(&mut self, ask: &Ask) -> Result<Said, String>;
    fn connect(&mut self) -> Result<(), String>;
}
