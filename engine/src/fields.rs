//! Fields of an encoding: little-endian numbers, and byte strings with a length before them.
//!
//! What is written here is read here, by another core or, later, by a peer whose bytes may be anything: a [`Reader`] refuses
//! what doesn't fit and never trusts a count.

use thiserror::Error;

/// Bytes that are no encoding of what was to be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("malformed bytes: {0}")]
pub struct Malformed(pub &'static str);

/// Appends fields.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// A byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A 16-bit number.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A 32-bit number.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A count or length.
    #[inline]
    pub fn len(&mut self, value: usize) {
        self.u32(u32::try_from(value).expect("requests and answers are limited to 16 MiB and a little"));
    }

    /// A 64-bit number.
    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A 128-bit number.
    #[inline]
    pub fn u128(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A yes or no.
    #[inline]
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.extend_from_slice(value);
    }
}

/// Takes fields off in the order in which they were appended.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether all is read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(Malformed("a byte string reaches beyond the end"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// Refuses what follows the last field.
    #[inline]
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("something follows the last field")) }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("they end within a field"))?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// A 16-bit number.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A 32-bit number.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A length.
    #[inline]
    pub fn len(&mut self) -> Result<usize, Malformed> {
        Ok(self.u32()? as usize)
    }

    /// The number of things that follow, which take so many bytes each at least: no more than there are bytes for.
    #[inline]
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, Malformed> {
        let count = self.len()?;
        if count > self.0.len() / bytes_each {
            return Err(Malformed("a count promises more than follows"));
        }
        Ok(count)
    }

    /// A 64-bit number.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A 128-bit number.
    #[inline]
    pub fn u128(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A yes or no.
    #[inline]
    pub fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither 0 nor 1")),
        }
    }

    /// A byte string.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.len()?;
        self.take(len)
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text isn't UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_and_what_is_cut_or_exaggerated_is_refused() {
        let mut bytes = Vec::new();
        let mut out = Writer(&mut bytes);
        out.u8(1);
        out.u16(2);
        out.u32(3);
        out.u64(4);
        out.flag(true);
        out.bytes(b"five");
        out.bytes("sechs".as_bytes());
        let read = |bytes| -> Result<_, Malformed> {
            let mut fields = Reader(bytes);
            let numbers = (fields.u8()?, fields.u16()?, fields.u32()?, fields.u64()?, fields.flag()?);
            Ok((numbers, fields.bytes()?, fields.text()?, fields.is_empty()))
        };
        assert_eq!(read(&bytes), Ok(((1, 2, 3, 4, true), &b"five"[..], "sechs", true)));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Reader(&[2]).flag().is_err());
        assert!(Reader(&[1, 0, 0, 0, 0xff]).text().is_err());
        assert_eq!(
            Reader(&[2, 0, 0, 0, 7, 7, 7]).count(2),
            Err(Malformed("a count promises more than follows"))
        );
        assert_eq!(Reader(&[2, 0, 0, 0, 7, 7, 7, 7]).count(2), Ok(2));
    }
}
