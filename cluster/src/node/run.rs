//! What tells one run of a node from another.

use crate::error::Error;
use std::fmt;
use std::fs::File;
use std::io::Read;

/// 20 bytes of chance, drawn at each start: however soon one follows another, they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId([u8; 20]);

impl RunId {
    /// Drawn from the system.
    pub fn draw() -> Result<RunId, Error> {
        let mut bytes = [0; 20];
        let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
        read.map_err(|error| Error::Node(format!("can't read /dev/urandom: {error}; make it readable")))?;
        Ok(RunId(bytes))
    }

    /// The same for the same seed: where everything must repeat.
    pub fn of_seed(seed: u64) -> RunId {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        RunId(bytes)
    }

    /// A number to draw further chance from.
    pub fn seed(&self) -> u64 {
        u64::from_le_bytes(*self.0.first_chunk().expect("it has 20 bytes"))
    }
}

impl fmt::Display for RunId {
    /// 40 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_starts_in_one_moment_are_told_apart() {
        let (first, second) = (RunId::draw().unwrap(), RunId::draw().unwrap());
        assert_ne!(first, second);
        assert_ne!(first.seed(), second.seed());
        assert_eq!(RunId::of_seed(7), RunId::of_seed(7));
    }
}
