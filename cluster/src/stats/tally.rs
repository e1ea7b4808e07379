//! What a core counts of RESP commands, for INFO: it alone adds, every core may read.
//!
//! Adding is a load and a store without order between them, which costs what an addition to a plain number costs. RESETSTAT
//! moves the number that counting is told from, so that nothing is ever taken from the counter itself.

use pinion_net::resp::CommandId;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that rises, told from the last reset on.
#[derive(Debug, Default)]
pub struct Counter {
    counted: AtomicU64,
    reset_at: AtomicU64,
}

impl Counter {
    /// Adds; only the core that owns it does.
    #[inline]
    pub fn add(&self, number: u64) {
        self.counted.store(self.counted.load(Ordering::Relaxed) + number, Ordering::Relaxed);
    }

    /// What it has come to since the last reset.
    pub fn get(&self) -> u64 {
        self.counted.load(Ordering::Relaxed).saturating_sub(self.reset_at.load(Ordering::Relaxed))
    }

    /// Begins at 0 again.
    pub fn reset(&self) {
        self.reset_at.store(self.counted.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// The first words of error replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ErrorWord {
    /// Anything without a word of its own.
    Err,
    /// A command of a refused transaction.
    ExecAbort,
    /// The shard takes no writes.
    MisConf,
    /// A protocol that isn't spoken.
    NoProto,
    /// It took too long.
    TimedOut,
    /// Too much at once.
    TryAgain,
    /// A user there isn't.
    WrongPass,
}

impl ErrorWord {
    /// All, in the order of their numbers.
    pub const ALL: [ErrorWord; 7] = [
        ErrorWord::Err,
        ErrorWord::ExecAbort,
        ErrorWord::MisConf,
        ErrorWord::NoProto,
        ErrorWord::TimedOut,
        ErrorWord::TryAgain,
        ErrorWord::WrongPass,
    ];

    /// As replies have it.
    pub fn text(self) -> &'static str {
        match self {
            ErrorWord::Err => "ERR",
            ErrorWord::ExecAbort => "EXECABORT",
            ErrorWord::MisConf => "MISCONF",
            ErrorWord::NoProto => "NOPROTO",
            ErrorWord::TimedOut => "TIMED_OUT",
            ErrorWord::TryAgain => "TRYAGAIN",
            ErrorWord::WrongPass => "WRONGPASS",
        }
    }

    /// That of an error reply.
    pub fn of(error: &[u8]) -> ErrorWord {
        let word = error.split(|&byte| byte == b' ').next().unwrap_or_default();
        ErrorWord::ALL.into_iter().find(|each| each.text().as_bytes() == word).unwrap_or(ErrorWord::Err)
    }
}

/// What is counted of one command.
#[derive(Debug, Default)]
pub struct CommandTally {
    /// Run to their end.
    pub calls: Counter,
    /// From arrival to reply, by the clock of the turns, in microseconds.
    pub usec: Counter,
    /// Refused before they were begun.
    pub rejected: Counter,
    /// Of the calls, those that ended in an error.
    pub failed: Counter,
}

/// What one core counts.
#[derive(Debug)]
#[repr(align(128))]
pub struct Tally {
    commands: Box<[CommandTally]>,
    errors: [Counter; ErrorWord::ALL.len()],
    /// Keys that reads found.
    pub hits: Counter,
    /// Keys that reads didn't find.
    pub misses: Counter,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            commands: (0..CommandId::count()).map(|_| CommandTally::default()).collect(),
            errors: Default::default(),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }
}

impl Tally {
    /// Counts a command that has its reply.
    #[inline]
    pub fn called(&self, command: CommandId, us: u64) {
        if let Some(tally) = self.commands.get(command.index()) {
            tally.calls.add(1);
            if us > 0 {
                tally.usec.add(us);
            }
        }
    }

    /// Counts a command that wasn't begun.
    pub fn rejected(&self, command: CommandId) {
        if let Some(tally) = self.commands.get(command.index()) {
            tally.rejected.add(1);
        }
    }

    /// Counts an error reply, and that it was a command's.
    pub fn failed(&self, command: CommandId, word: ErrorWord) {
        self.error(word);
        if let Some(tally) = self.commands.get(command.index()) {
            tally.failed.add(1);
        }
    }

    /// Counts an error reply.
    pub fn error(&self, word: ErrorWord) {
        self.errors[word as usize].add(1);
    }

    /// What is counted of a command.
    pub fn of_command(&self, command: CommandId) -> Option<&CommandTally> {
        self.commands.get(command.index())
    }

    /// Error replies that begin with this word.
    pub fn errors(&self, word: ErrorWord) -> u64 {
        self.errors[word as usize].get()
    }

    /// Begins everything at 0 again.
    pub fn reset(&self) {
        for tally in &self.commands {
            [&tally.calls, &tally.usec, &tally.rejected, &tally.failed].into_iter().for_each(Counter::reset);
        }
        self.errors.iter().chain([&self.hits, &self.misses]).for_each(Counter::reset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_begins_every_count_at_0_again() {
        let tally = Tally::default();
        let get = CommandId::find(b"get").unwrap();
        let counts = || {
            let of = tally.of_command(get).unwrap();
            [of.calls.get(), of.usec.get(), of.failed.get(), tally.errors(ErrorWord::TryAgain)]
        };
        tally.called(get, 5);
        tally.called(get, 0);
        tally.failed(get, ErrorWord::of(b"TRYAGAIN the shard is busy"));
        tally.called(CommandId::NONE, 5);
        assert_eq!(counts(), [2, 5, 1, 1]);
        tally.reset();
        assert_eq!(counts(), [0, 0, 0, 0]);
        tally.called(get, 3);
        assert_eq!(counts(), [1, 3, 0, 0]);
    }

    #[test]
    fn an_error_is_known_by_its_first_word() {
        assert_eq!(ErrorWord::of(b"WRONGPASS no"), ErrorWord::WrongPass);
        assert_eq!(ErrorWord::of(b"ERR no"), ErrorWord::Err);
        assert_eq!(ErrorWord::of(b"anything"), ErrorWord::Err);
    }
}
