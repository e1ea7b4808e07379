//! A glob pattern and a text, both a client's: `pattern | 0xff | text`.
//!
//! Bound on memory: none is needed to match; 16 KiB and 16 bytes for each byte of input are this target's own table.
//!
//! - Patterns without classes and escapes match what a table of all prefixes says; every text that matches begins with the literal prefix.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_net::resp::glob::{literal_prefix, matches};
use pinion_net_fuzz::bound;

fuzz_target!(|input: &[u8]| {
    bound::within((16 << 10) + 16 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let at = input.iter().position(|&byte| byte == 0xff).unwrap_or(input.len());
    let (pattern, text) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let found = matches(pattern, text);
    assert!(!found || text.starts_with(literal_prefix(pattern)));
    if !pattern.iter().any(|byte| matches!(byte, b'[' | b'\\')) {
        assert_eq!(found, by_table(pattern, text));
    }
}

/// Which prefixes of the text match the pattern so far, element by element.
fn by_table(pattern: &[u8], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for &element in pattern {
        let before = reached.clone();
        for at in 0..=text.len() {
            reached[at] = match element {
                b'*' => before[at] || (at > 0 && reached[at - 1]),
                _ => at > 0 && before[at - 1] && (element == b'?' || element == text[at - 1]),
            };
        }
    }
    reached[text.len()]
}
