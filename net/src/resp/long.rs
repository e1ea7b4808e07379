//! Commands with more arguments than are looked at at a time.
//!
//! A million arguments take longer than other connections should wait. So the parser only checks that such a command is
//! there and well-formed, while it arrives; then its arguments are collected in place, some at a time, and what they took is
//! consumed.

use super::parser::{Args, Bulk, bulk};

/// Arguments that are collected at a time.
pub const RUN_ARGS_MAX: usize = 4096;

/// Collects up to `most` arguments at the start of `bytes`; returns how many bytes they take. They are part of a command that
/// the parser has found to be well-formed ([`super::Parsed::Long`]).
pub fn next_args<'a>(bytes: &'a [u8], most: usize, args: &mut Args<'a>) -> usize {
    args.clear();
    let mut at = 0;
    while args.len() < most {
        let Bulk::Is(arg, next) = bulk(bytes, at, usize::MAX) else { break };
        args.push(arg);
        at = next;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Parsed, Parser};
    use super::*;

    fn command(args: usize) -> Vec<u8> {
        let mut bytes = format!("*{args}\r\n").into_bytes();
        (0..args).for_each(|number| {
            let text = number.to_string();
            bytes.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
        });
        bytes
    }

    #[test]
    fn a_long_command_is_found_whole_and_collected_some_arguments_at_a_time() {
        let limits = Limits { run_args_max: 100, ..Limits::default() };
        for pieces in [1, 7, 1000] {
            let bytes = command(250);
            let whole = [bytes.as_slice(), b"PING\r\n"].concat();
            let (mut parser, mut args) = (Parser::new(limits), Args::new());
            for cut in (0..bytes.len()).step_by(bytes.len() / pieces + 1).skip(1) {
                assert!(matches!(parser.next(&bytes[..cut], &mut args), Parsed::Incomplete { .. }));
                assert!(args.is_empty());
            }
            let parsed = parser.next(&whole, &mut args);
            assert_eq!(parsed, Parsed::Long { start: 6, count: 250, consumed: bytes.len() });
            let (mut at, mut seen) = (6, Vec::new());
            while at < bytes.len() {
                at += next_args(&bytes[at..], 100, &mut args);
                assert!(args.len() <= 100);
                seen.extend(args.iter().map(|arg| arg.to_vec()));
            }
            let expected: Vec<Vec<u8>> = (0..250).map(|number| number.to_string().into_bytes()).collect();
            assert_eq!((at, seen), (bytes.len(), expected));
            assert!(matches!(parser.next(&whole[at..], &mut args), Parsed::Inline { .. }));
        }
    }
}
