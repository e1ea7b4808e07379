//! Fields of messages between cores: little-endian numbers and byte strings with a length.
//!
//! Both ends are this process, so a batch that doesn't decode is a bug: reading asserts.

/// Appends fields.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    /// A byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A 16-bit number.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A 32-bit number.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A count or length.
    pub fn len(&mut self, value: usize) {
        self.u32(u32::try_from(value).expect("requests and answers are limited to 16 MiB and a little"));
    }

    /// A 64-bit number.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A yes or no.
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.extend_from_slice(value);
    }
}

/// Takes fields off in the order they were appended.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("a batch holds whole messages");
        self.0 = rest;
        *taken
    }

    /// A byte.
    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// A 16-bit number.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// A 32-bit number.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A count or length.
    pub fn len(&mut self) -> usize {
        self.u32() as usize
    }

    /// A 64-bit number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A yes or no.
    pub fn flag(&mut self) -> bool {
        self.u8() != 0
    }

    /// A byte string.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = self.len();
        self.take(len)
    }

    /// A text.
    pub fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.bytes()).expect("texts are written from texts")
    }
}
