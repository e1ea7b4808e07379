//! What couldn't be read, as the log hears of it: each trouble once in a while, however many requests meet it.
//!
//! One damaged block is met by every request for its keys, so what a client asks must not decide how much is logged. In a
//! period at most [`TOLD_MAX`] troubles are told, each once; the rest are counted, and their number is told when the
//! period is over.

/// A trouble that was told isn't again for so long, microseconds.
const PERIOD_US: u64 = 10_000_000;

/// So many different ones are told in a period.
const TOLD_MAX: usize = 8;

/// What was told of in this period.
#[derive(Debug, Default)]
pub(super) struct ReadErrors {
    told: Vec<String>,
    untold: u64,
    until_us: u64,
}

impl ReadErrors {
    /// Logs a trouble, unless it was told or too many others were.
    pub fn note(&mut self, text: &str, now_us: u64) {
        self.tick(now_us);
        if self.told.is_empty() {
            self.until_us = now_us + PERIOD_US;
        }
        if self.told.len() == TOLD_MAX || self.told.iter().any(|told| told == text) {
            self.untold += 1;
            return;
        }
        tracing::error!("{text}");
        self.told.push(text.to_owned());
    }

    /// Ends the period when its time has come, and tells then of what it left untold.
    #[inline]
    pub fn tick(&mut self, now_us: u64) {
        if !self.told.is_empty() && now_us >= self.until_us {
            self.end_period();
        }
    }

    #[cold]
    fn end_period(&mut self) {
        if let Some(last) = self.told.last().filter(|_| self.untold > 0) {
            let (more, seconds) = (self.untold, PERIOD_US / 1_000_000);
            tracing::error!("{more} more reads failed within {seconds} s, of this block or others: {last}");
        }
        self.told.clear();
        self.untold = 0;
    }
}
