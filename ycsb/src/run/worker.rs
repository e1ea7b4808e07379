//! What every worker has, whichever way it reaches the store.

use std::sync::{Arc, Mutex, PoisonError};

use super::pace::{Quota, Schedule};
use crate::measure::Recorder;
use crate::operation::Planner;

/// What every worker has.
pub(super) struct Worker {
    pub(super) planner: Planner,
    pub(super) recorder: Recorder,
    pub(super) schedule: Schedule,
    pub(super) quota: Quota,
    pub(super) first_failure: Arc<Mutex<Option<String>>>,
}

impl Worker {
    /// Keeps the text of the first failure.
    #[cold]
    pub(super) fn note_failure(&self, text: &str) {
        let mut first = self.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| text.to_owned());
    }
}
