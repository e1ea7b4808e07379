//! The shell: a command a line, with history, completion and help.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::args::{Input, ShellLine};
use super::case;
use super::failure::Failure;
use super::lines::Lines;
use super::run::Runner;

const HISTORY_LINES: usize = 10_000;

/// Reads commands until the end of input; answers the exit code: the highest of all commands if nobody sits in front of it, so
/// that no outcome that isn't known hides behind another's; else 0.
pub fn run<W: Write>(runner: &mut Runner<'_, W>) -> Result<u8, Failure> {
    if io::stdin().is_terminal() { interact(runner).map(|()| 0) } else { obey(runner) }
}

/// Does the lines of a file or a pipe. A line that fails is named by its number, and the next ones are done all the same.
fn obey<W: Write>(runner: &mut Runner<'_, W>) -> Result<u8, Failure> {
    let mut lines = Lines::new(io::stdin().lock());
    let mut exit_code = 0;
    while let Some(line) = lines.next_line()? {
        match do_line(runner, line) {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => break,
            Err(failure) if is_deaf(&failure) => return Err(failure),
            Err(failure) => {
                runner.output.to.flush()?;
                let who = format!("kv: line {}: ", lines.number());
                eprintln!("{}", failure.line(&who, runner.output.json));
                exit_code = failure.exit_code().max(exit_code);
            }
        }
        runner.output.to.flush()?;
    }
    Ok(exit_code)
}

/// Whoever reads the output has gone: there is no sense in going on.
fn is_deaf(failure: &Failure) -> bool {
    matches!(failure, Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

fn interact<W: Write>(runner: &mut Runner<'_, W>) -> Result<(), Failure> {
    let mut editor = editor().map_err(|error| Failure::Io(io::Error::other(error)))?;
    let history = history_file();
    if let Some(history) = &history {
        // The first time there is none.
        let _ = editor.load_history(history);
    }
    let address = runner.options.address.join(",");
    let prompt = format!("kv {address}> ");
    writeln!(runner.output.to, "Connected to {address}. `help` lists the commands, Ctrl-D leaves.")?;
    loop {
        runner.output.to.flush()?;
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(Failure::Io(io::Error::other(error))),
        };
        if line.trim().is_empty() {
            continue;
        }
        // A line too long for the history is just not remembered.
        let _ = editor.add_history_entry(&line);
        match do_line(runner, line.as_bytes()) {
            Ok(Next::Line) => {}
            Ok(Next::Leave) => break,
            Err(failure) => {
                runner.output.to.flush()?;
                eprintln!("{}", failure.line("", runner.output.json));
            }
        }
    }
    if let Some(history) = history {
        save_history(&mut editor, &history);
    }
    Ok(())
}

enum Next {
    Line,
    Leave,
}

fn do_line<W: Write>(runner: &mut Runner<'_, W>, line: &[u8]) -> Result<Next, Failure> {
    let words = split(line).map_err(Failure::Usage)?;
    let words = words.into_iter().map(OsString::from_vec).collect();
    let words = case::lower(words, &ShellLine::command());
    let Some(name) = words.first().map(|word| word.to_string_lossy().into_owned()) else {
        return Ok(Next::Line);
    };
    match ShellLine::try_parse_from(words) {
        Ok(ShellLine { input: Input::Command(command) }) => runner.run(command).map(|()| Next::Line),
        Ok(ShellLine { input: Input::Exit }) => Ok(Next::Leave),
        Err(error) if !error.use_stderr() => {
            // Here the commands stand alone, in the examples, too.
            let text = error.render().to_string().replace("\n  kv ", "\n  ");
            write!(runner.output.to, "{text}")?;
            Ok(Next::Line)
        }
        Err(error) => Err(Failure::Usage(explain(&error, &name))),
    }
}

/// What is wrong with a line, without what only holds for a command line, and with the usage that `help` shows.
fn explain(error: &clap::Error, name: &str) -> String {
    let mut shell = ShellLine::command();
    shell.build();
    let usage =
        shell.find_subcommand_mut(name).map(|command| command.render_usage().to_string().replace("  ", " "));
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines =
        text.lines().filter(|line| !line.starts_with("Usage: <COMMAND>") && !line.starts_with("For more"));
    let lines = lines.map(|line| match &usage {
        Some(usage) if line.starts_with("Usage: ") => usage.trim_end(),
        _ => line,
    });
    let text = lines.collect::<Vec<_>>().join("\n").trim_end().replace("subcommand", "command");
    let text = text.replace("\n\n", "\n");
    if error.kind() == ErrorKind::InvalidSubcommand {
        format!("{text}\n  `help` lists the commands")
    } else {
        text
    }
}

/// Splits a line into words. Quotes keep spaces; outside of single quotes a backslash makes `\n`,
/// `\r`, `\t`, `\0`, `\xNN`, or the character after it.
fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\\', None | Some(b'"')) => word.get_or_insert_default().push(unescape(&mut bytes)?),
            (byte, Some(open)) if byte == open => quote = None,
            (byte, Some(_)) => word.get_or_insert_default().push(byte),
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (byte, None) if byte.is_ascii_whitespace() => words.extend(word.take()),
            (byte, None) => word.get_or_insert_default().push(byte),
        }
    }
    if let Some(quote) = quote {
        return Err(format!("a {} isn't closed", char::from(quote)));
    }
    words.extend(word);
    if words.iter().any(|word| word.contains(&0)) {
        return Err("the shell takes no zero bytes; use `put KEY -` outside of it".to_owned());
    }
    Ok(words)
}

fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, String> {
    Ok(match bytes.next() {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'x') => {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
            match (digit(), digit()) {
                (Some(high), Some(low)) => (high << 4 | low) as u8,
                _ => return Err("\\x takes two hexadecimal digits".to_owned()),
            }
        }
        Some(byte) => byte,
        None => return Err("the line ends with a backslash".to_owned()),
    })
}

/// Completes the names of commands.
struct Names(Vec<String>);

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = line[..at].to_ascii_lowercase();
        let start = if typed.starts_with("help ") { "help ".len() } else { 0 };
        let names = self.0.iter().filter(|name| name.starts_with(&typed[start..])).cloned();
        Ok((start, names.collect()))
    }
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}
impl Hinter for Names {
    type Hint = String;
}

fn editor() -> rustyline::Result<Editor<Names, FileHistory>> {
    let config = rustyline::Config::builder().max_history_size(HISTORY_LINES)?.build();
    let history = FileHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    let commands = ShellLine::command();
    let names = commands.get_subcommands().map(|command| command.get_name().to_owned());
    editor.set_helper(Some(Names(names.chain(["help".to_owned()]).collect())));
    Ok(editor)
}

/// `$XDG_STATE_HOME/pinion/kv_history`, by default below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let state = state.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
    state.map(|state| state.join("pinion/kv_history"))
}

fn save_history(editor: &mut Editor<Names, FileHistory>, file: &std::path::Path) {
    let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
    let saved = folder.map_err(ReadlineError::from).and_then(|()| editor.save_history(file));
    if let Err(error) = saved {
        eprintln!("the history isn't kept: {}: {error}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        split(line.as_bytes()).unwrap().into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn words_are_split_at_spaces_outside_of_quotes() {
        assert_eq!(words("put  key value "), ["put", "key", "value"]);
        assert_eq!(words(r#"put 'a b' "c d"e ''"#), ["put", "a b", "c de", ""]);
        assert_eq!(words(r#"put "it's" 'say "hi"'"#), ["put", "it's", "say \"hi\""]);
    }

    #[test]
    fn escapes_make_any_byte_but_zero() {
        assert_eq!(split(br"a\x0a\xff\ b").unwrap(), [b"a\n\xff b".to_vec()]);
        assert_eq!(split(br#""\t\\" '\n'"#).unwrap(), [b"\t\\".to_vec(), b"\\n".to_vec()]);
        assert!(split(br"\x00").is_err());
    }

    #[test]
    fn what_is_not_closed_is_named() {
        assert_eq!(split(b"put 'a").unwrap_err(), "a ' isn't closed");
        assert!(split(b"put \\").unwrap_err().contains("backslash"));
        assert!(split(b"put \\xg0").unwrap_err().contains("hexadecimal"));
    }
}
