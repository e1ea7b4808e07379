//! Commands in any case: `GET`, `Get` and `get` are one. Only the name of the command is touched, never a key or a value.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::Command;

/// The words of a line with its command in lower case; `options` says which options take a word for themselves.
pub fn lower(mut words: Vec<OsString>, options: &Command) -> Vec<OsString> {
    if let Some(at) = command_at(&words, options) {
        words[at].make_ascii_lowercase();
        if words[at] == "help"
            && let Some(explained) = words.get_mut(at + 1)
        {
            explained.make_ascii_lowercase();
        }
    }
    words
}

/// Where the first word is that is neither an option nor belongs to one.
fn command_at(words: &[OsString], options: &Command) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match word.as_bytes() {
            b"--" => return None,
            [b'-', _, ..] => at += if takes_next(word, options) { 2 } else { 1 },
            _ => return Some(at),
        }
    }
    None
}

/// Whether the word behind this option is its value.
fn takes_next(option: &OsStr, options: &Command) -> bool {
    let text = option.to_string_lossy();
    let found = options.get_arguments().find(|argument| match text.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => text.chars().count() == 2 && argument.get_short() == text.chars().nth(1),
    });
    found.is_some_and(|argument| argument.get_action().takes_values())
}

#[cfg(test)]
mod tests {
    use super::super::args::Kv;
    use super::*;
    use clap::CommandFactory;

    fn lowered(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let words: Vec<_> =
            lower(words, &Kv::command()).into_iter().map(|w| w.into_string().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn only_the_command_loses_its_case() {
        assert_eq!(lowered("PUT Name Dylan"), "put Name Dylan");
        assert_eq!(
            lowered("-a GET:1 --json --level STRONG Get GET"),
            "-a GET:1 --json --level STRONG get GET"
        );
        assert_eq!(
            lowered("-aGET:1 --keyspace=GET SCAN --prefix P"),
            "-aGET:1 --keyspace=GET scan --prefix P"
        );
        assert_eq!(lowered("HELP PUT"), "help put");
        assert_eq!(lowered("-a HOST"), "-a HOST");
    }
}
