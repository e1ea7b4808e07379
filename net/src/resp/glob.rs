//! Redis's glob patterns, for SCAN MATCH, KEYS and CONFIG GET.
//!
//! `*` any bytes, `?` any byte, `[abc]`, `[a-z]`, `[^a]` classes, `\` takes the next byte literally. A class that
//! isn't closed ends with the pattern. Matching is iterative: only the last `*` is ever retried, so the cost is
//! at most pattern times text, whatever the pattern. That can still be much, so [`matches_within`] gives up.

/// Whether the whole of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_within(pattern, text, &mut { usize::MAX }).unwrap_or(false)
}

/// The longest pattern that is compared with names of the server's own.
pub const NAME_PATTERN_BYTES_MAX: usize = 1 << 10;
/// Bytes that all patterns of one command may be compared with for such names: a millisecond or two.
pub const NAME_STEPS: usize = 1 << 20;

/// Whether a name in lower case matches a pattern in any case, in no more than `steps`, which are counted down; `None`: they
/// didn't suffice, or the pattern is longer than [`NAME_PATTERN_BYTES_MAX`].
pub fn matches_name(pattern: &[u8], name: &[u8], steps: &mut usize) -> Option<bool> {
    if pattern.len() > NAME_PATTERN_BYTES_MAX {
        return None;
    }
    *steps = steps.checked_sub(pattern.len())?;
    matches_within(&pattern.to_ascii_lowercase(), name, steps)
}

/// As [`matches`], in no more than `steps` bytes compared, which are counted down; `None`: they didn't suffice.
pub fn matches_within(pattern: &[u8], text: &[u8], steps: &mut usize) -> Option<bool> {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None; // after the last star; first byte it hasn't swallowed
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            *steps = steps.checked_sub(1)?;
            retry = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            Some(&byte) => {
                // Of a class no more is looked at than there are steps for.
                let end = p.saturating_add(*steps).saturating_add(1).min(pattern.len());
                let (cost, step) = match_one(&pattern[p..end], byte);
                *steps = steps.checked_sub(cost)?;
                step
            }
            None => return Some(p == pattern.len()),
        };
        match (step, &mut retry) {
            (Some(advance), _) => {
                p += advance;
                t += 1;
            }
            (None, Some((star, swallowed))) => {
                *swallowed += 1;
                (p, t) = (*star, *swallowed);
            }
            (None, None) => return Some(false),
        }
    }
}

/// The literal bytes that every match begins with: where an ordered scan may start.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    &pattern[..end]
}

/// Matches one byte against the first element of the pattern (not a star): how much of it was looked at, and the element's
/// length if it fits.
fn match_one(pattern: &[u8], byte: u8) -> (usize, Option<usize>) {
    match pattern {
        [] => (1, None),
        [b'?', ..] => (1, Some(1)),
        [b'[', ..] => {
            let (length, fits) = match_class(pattern, byte);
            (length, fits.then_some(length))
        }
        [b'\\', literal, ..] => (1, (*literal == byte).then_some(2)),
        [literal, ..] => (1, (*literal == byte).then_some(1)),
    }
}

/// The length of the class that the pattern begins with, and whether the byte is in it.
fn match_class(pattern: &[u8], byte: u8) -> (usize, bool) {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [start, b'-', end, ..] => {
                found |= (start.min(end)..=start.max(end)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (at, found != negated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_that_takes_long_is_given_up() {
        let (stars, text) = ([b"*a".repeat(100), b"b".to_vec()].concat(), vec![b'a'; 60_000]);
        let mut steps = 1_000_000;
        assert_eq!(matches_within(&stars, &text, &mut steps), Some(false));
        let tail = [b"*".to_vec(), vec![b'a'; 20_000], b"b".to_vec()].concat();
        assert_eq!(matches_within(&tail, &text, &mut steps), None);
        let class = [b"*[".to_vec(), vec![b'x'; 20_000], b"]".to_vec()].concat();
        assert_eq!(matches_within(&class, &text, &mut 1_000_000), None);
        // A class that isn't closed, or whose brackets are escaped, is charged as it is looked at, and no further.
        for class in
            [[b"[".to_vec(), vec![b'x'; 20_000]].concat(), [b"[".to_vec(), b"\\]".repeat(10_000)].concat()]
        {
            let mut steps = 30_000;
            assert_eq!(matches_within(&class, b"a", &mut steps), Some(false));
            assert!((9_998..=10_000).contains(&steps), "{steps} steps are left");
            assert_eq!(matches_within(&class, b"a", &mut 20_000), None);
        }
        assert_eq!(matches_within(b"a*b", b"aXb", &mut 10), Some(true));
    }

    #[test]
    fn names_are_compared_with_short_patterns_in_any_case_while_there_are_steps() {
        let mut steps = 10_000;
        assert_eq!(matches_name(b"Max*", b"maxmemory", &mut steps), Some(true));
        assert_eq!(matches_name(b"x*", b"maxmemory", &mut steps), Some(false));
        assert_eq!(matches_name(&[b'*'; NAME_PATTERN_BYTES_MAX + 1], b"maxmemory", &mut steps), None);
        let stars = [b'*'; NAME_PATTERN_BYTES_MAX];
        let compared = std::iter::from_fn(|| matches_name(&stars, b"maxmemory", &mut steps)).count();
        assert_eq!(compared, 4, "of 10,000 steps each takes two for every byte");
    }

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn stars_and_question_marks_match_as_redis_does() {
        check("*", &["", "a", "abc"], &[]);
        check("h?llo", &["hello", "hallo"], &["hllo", "heello"]);
        check("h*llo", &["hllo", "heeeello"], &["hll"]);
        check("*a*b", &["ab", "xaab", "aabab"], &["abc", "ba"]);
        check("a**", &["a", "ab"], &["b"]);
    }

    #[test]
    fn classes_have_ranges_negation_and_escapes() {
        check("h[ae]llo", &["hello", "hallo"], &["hillo"]);
        check("h[^e]llo", &["hallo"], &["hello", "hllo"]);
        check("[a-c]x", &["ax", "bx", "cx"], &["dx"]);
        check("[c-a]x", &["ax", "bx", "cx"], &["dx"]);
        check("[\\]]", &["]"], &["\\", "a"]);
        check("[a", &["a"], &["b", "[a"]);
        check("[", &[], &["[", "a"]);
        check("a\\*", &["a*"], &["ab", "a\\*"]);
    }

    #[test]
    fn a_pattern_of_many_stars_stays_cheap() {
        let pattern = b"a*".repeat(200);
        let text = [b"a".repeat(2_000), b"b".to_vec()].concat();
        assert!(!matches(&[pattern.as_slice(), b"c"].concat(), &text));
    }

    #[test]
    fn the_literal_prefix_ends_at_the_first_special_byte() {
        assert_eq!(literal_prefix(b"user:*"), b"user:");
        assert_eq!(literal_prefix(b"plain"), b"plain");
        assert_eq!(literal_prefix(b"?x"), b"");
    }

    /// The definition, by recursion.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| model(rest, &text[skip..])),
            (_, [byte, after @ ..]) => {
                match_one(pattern, *byte).1.is_some_and(|advance| model(&pattern[advance..], after))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_recursive_definition(pattern in "[ab*?\\[\\]\\\\^-]{0,8}", text in "[ab*\\]-]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), model(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_bytes_panic(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text);
        }
    }
}
