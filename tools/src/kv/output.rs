//! How `kv` prints: aligned text with escapes, or JSON lines.

use std::io::{self, Write};

use pinion_net::client::{Item, Value};
use pinion_net::duration;
use serde_json::{Map, Value as Json, json};

/// Rows that one set of column widths is computed over, so that a long scan needs little memory.
const ROWS_AT_ONCE: usize = 500;
/// A value on a narrow terminal isn't cut to less.
const VALUE_WIDTH_MIN: usize = 16;

/// Where results go, and in which form.
pub struct Output<W> {
    /// The destination.
    pub to: W,
    /// JSON lines instead of text.
    pub json: bool,
    /// Whether a person looks at it, so that bytes that no terminal should get are escaped.
    pub is_terminal: bool,
    /// Characters of a line that values in tables are cut to fit, as far as that leaves enough of them.
    pub line_width: Option<usize>,
    /// Characters that values in tables are cut to.
    pub value_width: Option<usize>,
}

impl<W: Write> Output<W> {
    /// One line: this text, or this JSON.
    pub fn line(&mut self, text: &str, json: Json) -> io::Result<()> {
        if self.json { writeln!(self.to, "{json}") } else { writeln!(self.to, "{text}") }
    }

    /// A value: JSON with all that is known, its bytes to a program, escaped to a person.
    pub fn value(&mut self, key: &[u8], value: &Value) -> io::Result<()> {
        if self.json {
            return writeln!(self.to, "{}", item_json(key, Some(value), true));
        }
        if self.is_terminal {
            return writeln!(self.to, "{}", escape(&value.bytes));
        }
        self.to.write_all(&value.bytes)?;
        self.to.write_all(b"\n")
    }

    /// Keys, line by line.
    pub fn key(&mut self, item: &Item) -> io::Result<()> {
        if self.json {
            return writeln!(self.to, "{}", item_json(&item.key, Some(&item.value), false));
        }
        writeln!(self.to, "{}", escape(&item.key))
    }

    /// Begins a table of keys and values; `now_ms` is what expiries are told from.
    pub fn items(&mut self, now_ms: u64) -> Items<'_, W> {
        Items { output: self, rows: Vec::new(), has_head: false, now_ms, has_expiry: false }
    }

    /// Names and values that belong together, such as INFO's: nested names are joined by dots.
    pub fn facts(&mut self, facts: &Json) -> io::Result<()> {
        if self.json {
            return writeln!(self.to, "{facts}");
        }
        let mut rows = Vec::new();
        flatten(String::new(), facts, &mut rows);
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in rows {
            writeln!(self.to, "{name:width$}  {value}")?;
        }
        Ok(())
    }
}

/// A table of keys and values in the making.
pub struct Items<'o, W> {
    output: &'o mut Output<W>,
    rows: Vec<[String; 4]>,
    has_head: bool,
    now_ms: u64,
    /// Whether there is a column for when values expire: as soon as one does.
    has_expiry: bool,
}

impl<W: Write> Items<'_, W> {
    /// The next row; `None`: there is no such key.
    pub fn push(&mut self, key: &[u8], value: Option<&Value>) -> io::Result<()> {
        if self.output.json {
            return writeln!(self.output.to, "{}", item_json(key, value, true));
        }
        let (version, expires, bytes) = match value {
            Some(value) => {
                let expires =
                    value.expires_at_ms.map(|at| duration::display_ms(at.saturating_sub(self.now_ms)));
                (value.version.to_string(), expires, escape(&value.bytes))
            }
            None => ("-".to_owned(), None, "(not found)".to_owned()),
        };
        if expires.is_some() && !self.has_expiry {
            // Rows that were printed before have no such column: from here on there is one, with a head of its own.
            (self.has_expiry, self.has_head) = (true, false);
        }
        self.rows.push([escape(key), version, expires.unwrap_or_else(|| "-".to_owned()), bytes]);
        if self.rows.len() == ROWS_AT_ONCE { self.print() } else { Ok(()) }
    }

    /// Prints what is left.
    pub fn finish(mut self) -> io::Result<()> {
        self.print()
    }

    fn print(&mut self) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let head = ["KEY", "VERSION", "EXPIRES IN", "VALUE"].map(str::to_owned);
        let width = |column: usize| {
            let rows = self.rows.iter().chain([&head]);
            rows.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let (key_width, version_width, expires_width) = (width(0), width(1), width(2));
        let has_expiry = self.has_expiry;
        let taken = key_width + 2 + version_width + 2 + if has_expiry { expires_width + 2 } else { 0 };
        let fitting = |line: usize| line.saturating_sub(taken).max(VALUE_WIDTH_MIN);
        let value_width = self.output.value_width.or(self.output.line_width.map(fitting));
        let head = (!self.has_head).then_some(head);
        self.has_head = true;
        for [key, version, expires, value] in head.into_iter().chain(self.rows.drain(..)) {
            write!(self.output.to, "{key:key_width$}  {version:>version_width$}  ")?;
            if has_expiry {
                write!(self.output.to, "{expires:>expires_width$}  ")?;
            }
            writeln!(self.output.to, "{}", cut(value, value_width))?;
        }
        Ok(())
    }
}

/// The beginning of a long value, with dots for the rest.
fn cut(mut value: String, width: Option<usize>) -> String {
    let Some(width) = width else { return value };
    if value.chars().nth(width).is_some() {
        let kept = value.char_indices().nth(width.saturating_sub(3)).map_or(0, |(at, _)| at);
        value.truncate(kept);
        value.push_str(&"..."[..width.min(3)]);
    }
    value
}

fn flatten(name: String, value: &Json, rows: &mut Vec<(String, String)>) {
    let join = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Json::Object(object) => object.iter().for_each(|(part, value)| flatten(join(part), value, rows)),
        Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, value) in items.iter().enumerate() {
                flatten(join(&index.to_string()), value, rows);
            }
        }
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            rows.push((name, items.join(", ")));
        }
        value => rows.push((name, plain(value))),
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => escape(text.as_bytes()),
        Json::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

fn item_json(key: &[u8], value: Option<&Value>, with_bytes: bool) -> Json {
    let mut object = Map::new();
    insert_bytes(&mut object, "key", key);
    let Some(value) = value else {
        object.insert("found".to_owned(), Json::Bool(false));
        return Json::Object(object);
    };
    if with_bytes {
        insert_bytes(&mut object, "value", &value.bytes);
    }
    object.insert("version".to_owned(), json!(value.version));
    if let Some(expires_at_ms) = value.expires_at_ms {
        object.insert("expires_at_ms".to_owned(), json!(expires_at_ms));
    }
    Json::Object(object)
}

/// Text as it is; other bytes as base64 under a name that says so.
pub fn insert_bytes(object: &mut Map<String, Json>, name: &str, bytes: &[u8]) {
    match str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), json!(text)),
        Err(_) => object.insert(format!("{name}_base64"), json!(base64(bytes))),
    };
}

/// Text that is safe on a terminal and in a table: control characters, invalid UTF-8 and the backslash
/// itself are escaped as `\n`, `\t`, `\r`, `\\` and `\xNN`, which the shell reads back.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\\' => text.push_str("\\\\"),
                character if character.is_control() => {
                    let mut buffer = [0; 4];
                    character.encode_utf8(&mut buffer).bytes().for_each(|byte| push_hex(&mut text, byte));
                }
                character => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(&mut text, byte));
    }
    text
}

fn push_hex(text: &mut String, byte: u8) {
    text.push_str(&format!("\\x{byte:02x}"));
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let [a, b, c] = three.map(u32::from);
        let word = a << 16 | b << 8 | c;
        for digit in 0..4 {
            let is_padding = digit > group.len();
            let value = word >> (18 - 6 * digit) & 63;
            text.push(if is_padding { '=' } else { DIGITS[value as usize] as char });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool, print: impl FnOnce(&mut Output<Vec<u8>>)) -> String {
        let (to, is_terminal) = (Vec::new(), true);
        let mut output = Output { to, json, is_terminal, line_width: None, value_width: Some(12) };
        print(&mut output);
        String::from_utf8(output.to).unwrap()
    }

    fn value(bytes: &[u8], version: u64) -> Value {
        Value { bytes: bytes.to_vec(), version, expires_at_ms: None }
    }

    #[test]
    fn columns_align_under_their_heads() {
        let table = printed(false, |output| {
            let mut items = output.items(0);
            items.push(b"a", Some(&value(b"one\ntwo", 5))).unwrap();
            items.push(b"longer key", Some(&value(b"\xff", 1000))).unwrap();
            items.push(b"gone", None).unwrap();
            items.finish().unwrap();
        });
        let expected = "\
KEY         VERSION  VALUE
a                 5  one\\ntwo
longer key     1000  \\xff
gone              -  (not found)
";
        assert_eq!(table, expected);
    }

    #[test]
    fn expiries_have_a_column_where_there_are_any_and_long_values_are_cut() {
        let table = printed(false, |output| {
            let mut items = output.items(1000);
            items.push(b"a", Some(&Value { expires_at_ms: Some(61_000), ..value(b"x", 5) })).unwrap();
            items.push(b"b", Some(&value("0123456789\u{fc}23".as_bytes(), 6))).unwrap();
            items.push(b"c", Some(&value("0123456789\u{fc}2".as_bytes(), 7))).unwrap();
            items.finish().unwrap();
        });
        let expected = "\
KEY  VERSION  EXPIRES IN  VALUE
a          5          1m  x
b          6           -  012345678...
c          7           -  0123456789\u{fc}2
";
        assert_eq!(table, expected);
    }

    #[test]
    fn json_is_one_object_per_line_and_keeps_all_bytes() {
        let lines = printed(true, |output| {
            let mut items = output.items(0);
            items.push(b"k", Some(&Value { expires_at_ms: Some(9), ..value(b"text", 5) })).unwrap();
            items.push(b"\xff", Some(&value(b"\xff\xfe", 6))).unwrap();
            items.push(b"gone", None).unwrap();
            items.finish().unwrap();
        });
        let expected = r#"{"expires_at_ms":9,"key":"k","value":"text","version":5}
{"key_base64":"/w==","value_base64":"//4=","version":6}
{"found":false,"key":"gone"}
"#;
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_value_reaches_a_program_as_it_is() {
        let (to, is_terminal) = (Vec::new(), false);
        let mut output = Output { to, json: false, is_terminal, line_width: None, value_width: None };
        output.value(b"k", &value(b"\xff\x00\n", 1)).unwrap();
        assert_eq!(output.to, b"\xff\x00\n\n");
    }

    #[test]
    fn nested_facts_are_named_by_their_path() {
        let facts = json!({"id": "x", "shards": [{"keys": 1}, {"keys": 2}], "ports": [1, 2]});
        let text = printed(false, |output| output.facts(&facts).unwrap());
        assert_eq!(text, "id             x\nports          1, 2\nshards.0.keys  1\nshards.1.keys  2\n");
    }

    #[test]
    fn base64_is_the_standards() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn escapes_leave_nothing_that_moves_a_cursor() {
        assert_eq!(
            escape("tab\t bell\x07 del\x7f \u{9b} ü \\".as_bytes()),
            "tab\\t bell\\x07 del\\x7f \\xc2\\x9b ü \\\\"
        );
    }
}
