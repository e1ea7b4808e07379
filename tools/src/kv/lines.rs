//! Lines of bytes from standard input, none longer than a key and a value can be.

use std::io::{self, BufRead, ErrorKind, Read};

use pinion_net::wire::Limits;

/// Room for a value, a key and the words around them. Escapes make a line longer than what it stands for.
const LINE_BYTES_MAX: usize = 4 * Limits::BYTES_MAX as usize;

/// Reads lines, which needn't be UTF-8.
pub struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
    bytes_max: usize,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`.
    pub fn new(input: R) -> Lines<R> {
        Lines { input, number: 0, line: Vec::new(), bytes_max: LINE_BYTES_MAX }
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its end; `None` at the end of the input.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        let most = self.bytes_max as u64 + 1;
        if self.input.by_ref().take(most).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() as u64 == most {
            let text = format!("line {} has more than {} bytes", self.number, self.bytes_max);
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        Ok(Some(&self.line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bytes_and_the_last_needs_no_end() {
        let mut lines = Lines::new(&b"a\n\n\xff\0"[..]);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(line.to_vec());
        }
        assert_eq!(found, [b"a".to_vec(), b"".to_vec(), b"\xff\0".to_vec()]);
    }

    #[test]
    fn a_line_without_an_end_is_refused_instead_of_filling_the_memory() {
        let mut lines = Lines { bytes_max: 1000, ..Lines::new(io::BufReader::new(io::repeat(b'x'))) };
        assert_eq!(lines.next_line().unwrap_err().to_string(), "line 1 has more than 1000 bytes");
        let mut lines = Lines { bytes_max: 3, ..Lines::new(&b"abc\nabcd\n"[..]) };
        assert_eq!(lines.next_line().unwrap(), Some(&b"abc"[..]));
        assert!(lines.next_line().is_err());
    }
}
