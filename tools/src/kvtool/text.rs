//! How keys, sizes, times and tables of text look.

use pinion_engine::key::{Expiry, Partition, Prefix, user_key};
use serde::Serialize;
use std::fmt::Write as _;

/// A stored key for people: `keyspace/partition/key`, with `#incarnation` behind the partition unless it is 0, and
/// whatever isn't printable ASCII escaped.
pub fn key(stored: &[u8]) -> String {
    let Some(prefix) = Prefix::of(stored) else { return format!("?{}", escape(stored)) };
    let mut text = format!("{}/{}", prefix.keyspace().0, prefix.partition().0);
    if prefix.incarnation().0 != 0 {
        write!(text, "#{}", prefix.incarnation().0).expect("writing to a String never fails");
    }
    write!(text, "/{}", escape(user_key(stored))).expect("writing to a String never fails");
    text
}

/// Printable ASCII as it is, but for the backslash; everything else as an escape.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' | b'\'' => text.push(byte.into()),
            _ => text.extend(byte.escape_ascii().map(char::from)),
        }
    }
    text
}

/// Bytes for people, cut to `width` bytes (0: not cut).
pub fn bytes(bytes: &[u8], width: usize) -> String {
    if width == 0 || bytes.len() <= width {
        return escape(bytes);
    }
    format!("{}... ({} bytes)", escape(&bytes[..width]), bytes.len())
}

/// Bytes for programs: text where they are UTF-8, hexadecimal otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bytes {
    /// UTF-8.
    Text(String),
    /// Anything else, as hexadecimal digits.
    Hex(String),
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        match std::str::from_utf8(bytes) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Hex(hex(bytes)),
        }
    }
}

/// A stored key for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its keyspace.
    pub keyspace: u16,
    /// Its partition.
    pub partition: u16,
    /// Its incarnation.
    pub incarnation: u32,
    /// The user's key.
    pub key: Bytes,
}

impl From<&[u8]> for Key {
    fn from(stored: &[u8]) -> Key {
        let prefix = Prefix::of(stored);
        Key {
            keyspace: prefix.map_or(0, |prefix| prefix.keyspace().0),
            partition: prefix.map_or(0, |prefix| prefix.partition().0),
            incarnation: prefix.map_or(0, |prefix| prefix.incarnation().0),
            key: user_key(stored).into(),
        }
    }
}

/// Partitions, those next to each other as a range.
pub fn runs(partitions: &[Partition]) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for &Partition(number) in partitions {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown = runs.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number of things, with the word for one or for several of them.
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// `3 parts with 1 record`.
pub fn parts_with_records(parts: u64, records: u64) -> String {
    format!("{} with {}", counted(parts, "part", "parts"), counted(records, "record", "records"))
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        (value, unit) = (value / 1024.0, unit + 1);
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// An expiry for people: UTC, or `-` for never.
pub fn expiry(expiry: Expiry) -> String {
    match expiry {
        Expiry::NEVER => "-".to_owned(),
        Expiry(ms) => time(ms),
    }
}

/// Milliseconds since the Unix epoch as UTC, `2026-01-31T12:00:00.000Z`.
pub fn time(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Days since the Unix epoch as a date. Counts in eras of 400 years that begin on a 1st of March, so that
/// leap days come last (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Rows of cells that are printed below each other: numbers to the right, the rest to the left.
#[derive(Debug)]
pub struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// With a row of titles. A title that begins with `>` puts its column to the right.
    pub fn new(titles: &[&str]) -> Columns {
        Columns { rows: vec![titles.iter().map(|&title| title.to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The lines, indented by so much.
    pub fn lines(&self, indent: usize) -> Vec<String> {
        let rights: Vec<bool> = self.rows[0].iter().map(|title| title.starts_with('>')).collect();
        let plain =
            |cell: &str, titles: bool| cell[usize::from(titles && cell.starts_with('>'))..].to_owned();
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .enumerate()
            .map(|(i, row)| row.iter().map(|cell| plain(cell, i == 0)).collect())
            .collect();
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
        let widths: Vec<usize> = (0..rights.len()).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let mut text = " ".repeat(indent);
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&rights) {
                match right {
                    true => write!(text, "{cell:>width$}  "),
                    false => write!(text, "{cell:<width$}  "),
                }
                .expect("writing to a String never fails");
            }
            text.trim_end().to_owned()
        };
        rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::key::{Incarnation, Keyspace, Partition};

    #[test]
    fn keys_show_where_they_belong_and_escape_what_is_not_text() {
        let mut stored = Vec::new();
        Prefix::new(Keyspace(1), Partition(20), Incarnation(0)).stored_key(b"\"a\0\xff\n\\", &mut stored);
        assert_eq!(key(&stored), "1/20/\"a\\x00\\xff\\n\\\\");
        Prefix::new(Keyspace(1), Partition(20), Incarnation(3)).stored_key(b"a", &mut stored);
        assert_eq!(key(&stored), "1/20#3/a");
        assert_eq!(key(b"abc"), "?abc");
    }

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (1_048_575, "1.0 MiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(time(1_767_225_599_999), "2025-12-31T23:59:59.999Z");
        assert_eq!(expiry(Expiry::NEVER), "-");
    }

    #[test]
    fn columns_align() {
        let mut columns = Columns::new(&["file", ">bytes", "keys"]);
        columns.row(["a".into(), "12345".into(), "x".into()]);
        columns.row(["longer".into(), "6".into(), String::new()]);
        assert_eq!(columns.lines(2), ["  file    bytes  keys", "  a       12345  x", "  longer      6"]);
    }

    #[test]
    fn bytes_for_programs_are_text_or_hexadecimal() {
        let json = |bytes: &[u8]| serde_json::to_string(&Bytes::from(bytes)).unwrap();
        assert_eq!(json(b"a\"b"), r#"{"text":"a\"b"}"#);
        assert_eq!(json(b"\xff\x01"), r#"{"hex":"ff01"}"#);
    }
}
