//! Inline commands: words on a line, quoted where they hold spaces or bytes that aren't text.
//!
//! `"..."` knows `\n \r \t \b \a \\ \"` and `\xHH`; `'...'` knows only `\'`. A closing quote must be followed by
//! a space or the end.

use super::parser::ProtocolError;

/// Splits a line into its arguments.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut args = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let mut arg = Vec::new();
        rest = word(rest, &mut arg)?.trim_ascii_start();
        args.push(arg);
    }
    Ok(args)
}

/// Reads one word and returns what follows it.
fn word<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Ok(rest),
            [byte, ..] if byte.is_ascii_whitespace() || *byte == 0 => return Ok(&rest[1..]),
            [b'"', after @ ..] => return closed(double_quoted(after, arg)?),
            [b'\'', after @ ..] => return closed(single_quoted(after, arg)?),
            [byte, after @ ..] => {
                arg.push(*byte);
                after
            }
        };
    }
}

fn closed(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                arg.push(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                after
            }
        };
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    loop {
        rest = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                arg.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                arg.push(*byte);
                after
            }
        };
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_at_spaces() {
        assert_eq!(split(b"  SET  a b ").unwrap(), [b"SET".to_vec(), b"a".to_vec(), b"b".to_vec()]);
        assert!(split(b" \t ").unwrap().is_empty());
    }

    #[test]
    fn quotes_keep_spaces_and_escapes() {
        let args = split(br#"SET "a b" "\x41\n\"" 'it\'s' """#).unwrap();
        let expected: [&[u8]; 5] = [b"SET", b"a b", b"A\n\"", b"it's", b""];
        assert_eq!(args, expected);
    }

    #[test]
    fn open_or_sticky_quotes_are_refused() {
        for line in [&br#"SET "a"#[..], b"SET 'a", br#"SET "a"b"#, br#"SET "a\"#] {
            assert_eq!(split(line), Err(ProtocolError::UnbalancedQuotes));
        }
    }

    proptest! {
        #[test]
        fn any_line_is_split_or_refused(line: Vec<u8>) {
            if let Ok(args) = split(&line) {
                prop_assert!(args.iter().map(Vec::len).sum::<usize>() <= line.len());
            }
        }
    }
}
