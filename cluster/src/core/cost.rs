//! What the work of a turn costs, and what it may cost, in bytes copied.

/// What the answers of one turn may cost before long values are put off to the next, in bytes copied.
pub const SPENT_MAX: usize = 1 << 20;

/// What they may cost before short values are put off too, and further input is left for the next turn: some four thousand
/// small ones, a few milliseconds.
pub const TURN_SPENT_MAX: usize = 4 * SPENT_MAX;

/// What an answer costs beside its bytes, in bytes copied in the same time.
pub const ANSWER_COST: usize = 1 << 10;
