//! What was wrong, for people.

use super::time::SimTime;
use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which check failed, in a few words.
    pub check: &'static str,
    /// About which key, if about one.
    pub key: Option<Vec<u8>>,
    /// What could have been answered.
    pub expected: String,
    /// What was answered.
    pub seen: String,
    /// When.
    pub at: SimTime,
    /// The last operations on the key, oldest first.
    pub last_ops: Vec<String>,
}

impl Violation {
    /// A promise that was broken, about no key.
    pub fn new(check: &'static str, expected: &str, seen: String, at: SimTime) -> Box<Violation> {
        let expected = expected.to_owned();
        Box::new(Violation { check, key: None, expected, seen, at, last_ops: Vec::new() })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at {} us", self.check, self.at.us)?;
        if let Some(key) = &self.key {
            writeln!(f, "  key: {}", Quoted(key))?;
        }
        writeln!(f, "  expected: {}", self.expected)?;
        writeln!(f, "  seen: {}", self.seen)?;
        for op in &self.last_ops {
            writeln!(f, "    {op}")?;
        }
        Ok(())
    }
}

/// Bytes as text: printable ASCII as it is, long ones cut.
pub struct Quoted<'a>(pub &'a [u8]);

/// So many bytes are shown.
const SHOWN: usize = 40;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        write!(f, "'{}'", shown.escape_ascii())?;
        if shown.len() < self.0.len() {
            write!(f, "..({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}
