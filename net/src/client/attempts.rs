//! Over its attempts, what is known of a request: whether it may be sent again, and what became of it in the end.
//!
//! A write is sent again after an attempt of unknown outcome only if that carried a number: the server then answers as the
//! first time, or does it now. Once an attempt's outcome is unknown, a later refusal doesn't say what became of that one.

use super::error::Error;
use super::once::{Number, Numbered};
use crate::wire::{ErrorCode, Once};

/// The attempts of one request, or of the requests that a part of a batch takes.
#[derive(Debug)]
pub(super) struct Attempts<'c> {
    /// Open as long as these attempts are made; none for what isn't done exactly once.
    number: Option<Number<'c>>,
    /// What the newest attempt carried.
    sent: Option<Once>,
    /// What the first attempt of unknown outcome carried.
    earlier: Option<Once>,
    /// Why the outcome of the first such attempt is unknown, since [`Attempts::begin`].
    unknown: Option<Error>,
}

impl<'c> Attempts<'c> {
    /// None so far.
    pub(super) fn new(number: Option<Number<'c>>) -> Attempts<'c> {
        Attempts { number, sent: None, earlier: None, unknown: None }
    }

    /// Begins with a request that has, of what earlier ones with this number had, perhaps only a part.
    pub(super) fn begin(&mut self) {
        self.unknown = None;
    }

    /// What the next attempt is to carry.
    pub(super) fn next(&self) -> Option<Numbered> {
        self.number.as_ref().map(|number| number.after(self.earlier))
    }

    /// Takes note of what the attempt carried that was made now.
    pub(super) fn sent(&mut self, once: Option<Once>) {
        self.sent = once;
    }

    /// Whether an attempt since [`Attempts::begin`] may have been executed.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }

    /// Whether what the newest attempt ended in may be made better of by another one. `is_unknown`: an earlier one may
    /// have been executed.
    pub(super) fn may_try_again(&mut self, error: &Error, is_unknown: bool) -> bool {
        match error {
            Error::Unknown { code: ErrorCode::FORGOTTEN, .. } => false,
            Error::Unknown { .. } => {
                let Some(sent) = self.sent else { return false };
                self.earlier.get_or_insert(sent);
                self.unknown.get_or_insert_with(|| error.clone());
                true
            }
            Error::Refused { code: ErrorCode::UNAVAILABLE | ErrorCode::CLOCK, .. } => true,
            // A log that failed is settled soon, and only then is it known what it holds.
            Error::Refused { code: ErrorCode::READ_ONLY | ErrorCode::DEADLINE, .. } => is_unknown,
            Error::Refused { code, .. } => is_unknown && code.is_temporary(),
            _ => false,
        }
    }

    /// What the whole ended in whose newest attempt ended in this.
    pub(super) fn conclude<T>(&self, newest: Result<T, Error>) -> Result<T, Error> {
        match (&self.unknown, newest) {
            (Some(unknown), Err(error)) => Err(after_unknown(unknown, error)),
            (_, newest) => newest,
        }
    }
}

/// The error of a request of which one attempt's outcome is unknown and a later one ended in this.
pub(super) fn after_unknown(unknown: &Error, later: Error) -> Error {
    match later.code() {
        // These the server remembers, or finds that it remembers nothing: they are about all attempts.
        Some(ErrorCode::FORGOTTEN | ErrorCode::NOT_AN_INTEGER | ErrorCode::OVERFLOW) => later,
        _ => unknown.clone(),
    }
}
