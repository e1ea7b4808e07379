//! What the work of a turn costs, and what it may cost, in bytes copied.

/// What the answers of one turn may cost before long values are put off to the next, in bytes copied.
pub const SPENT_MAX: usize = 1 << 20;

/// What they may cost before short values are put off too, and further input is left for the next turn: some four thousand
/// small ones, a few milliseconds.
pub const TURN_SPENT_MAX: usize = 4 * SPENT_MAX;

/// How much of a turn requests of other cores may take.
#[derive(Clone, Copy, Debug)]
pub struct MailShare {
    /// They are taken in until so much is spent, and answered with long values until so much.
    pub requests_until: usize,
    /// See `requests_until`.
    pub answers_until: usize,
    /// Some are left for the next turn.
    pub is_left: bool,
    /// Counts how often they were taken in: up to twice in a turn.
    pub rounds: usize,
}

impl MailShare {
    /// In a turn that has spent so much already: their part comes on top, and one long answer in any case.
    pub fn begun_at(spent: usize) -> MailShare {
        let (requests_until, answers_until) = (spent + SPENT_MAX, SPENT_MAX.max(spent + 1));
        MailShare { requests_until, answers_until, is_left: false, rounds: 0 }
    }
}

impl Default for MailShare {
    fn default() -> MailShare {
        MailShare::begun_at(0)
    }
}
