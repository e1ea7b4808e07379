//! Commands with more arguments than are looked at at a time.
//!
//! A million arguments take longer than other connections should wait. So the parser only checks that such a command is
//! there and well-formed, while it arrives; then its arguments are collected in place, some at a time, and what they took is
//! consumed.

use super::parser::{Args, Bulk, bulk};

/// Arguments that are collected at a time.
pub const RUN_ARGS_MAX: usize = 4096;

/// Arguments that are looked at at a time while a command arrives: a millisecond or less.
pub const LOOK_ARGS_MAX: usize = 8 * RUN_ARGS_MAX;

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
    fn a_long_command_that_is_there_at_once_is_looked_at_in_several_calls() {
        let limits = Limits { run_args_max: 50, look_args_max: 100, ..Limits::default() };
        let mut parser = Parser::new(limits);
        for count in [100, 101, 950] {
            let whole = [command(count).as_slice(), b"PING\r\n"].concat();
            let mut args = Args::new();
            for _ in 0..count.div_ceil(100) - 1 {
                assert_eq!(parser.next(&whole, &mut args), Parsed::Unfinished);
            }
            let Parsed::Long { start, count: found, consumed } = parser.next(&whole, &mut args) else {
                panic!("it is there")
            };
            assert_eq!((start, found, consumed), (format!("*{count}\r\n").len(), count, whole.len() - 6));
            // What follows is looked at from its beginning.
            assert!(matches!(parser.next(&whole[consumed..], &mut args), Parsed::Inline { .. }));
        }
        // One that isn't all there goes on where it was.
        let (whole, mut args) = (command(250), Args::new());
        assert_eq!(parser.next(&whole[..whole.len() - 1], &mut args), Parsed::Unfinished);
        assert_eq!(parser.next(&whole[..whole.len() - 1], &mut args), Parsed::Unfinished);
        let incomplete = Parsed::Incomplete { need: whole.len() };
        assert_eq!(parser.next(&whole[..whole.len() - 1], &mut args), incomplete);
        assert!(matches!(parser.next(&whole, &mut args), Parsed::Long { count: 250, .. }));
        // What is wrong behind is found when it is looked at.
        let damaged = [b"*151\r\n", &command(150)["*150\r\n".len()..], b"?1\r\n"].concat();
        let mut args = Args::new();
        assert_eq!(parser.next(&damaged, &mut args), Parsed::Unfinished);
        assert!(matches!(parser.next(&damaged, &mut args), Parsed::Invalid(_)));
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
