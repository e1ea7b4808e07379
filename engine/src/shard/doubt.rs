//! After a failed log write: how a shard comes to take writes again by itself.
//!
//! Nobody knows what the failed write left on disk, or what a failed sync did. So the shard takes no writes,
//! serves reads of what is applied, and, with pauses that grow while the disk stays broken:
//!
//! 1. cuts the log behind its last whole commit ([`crate::log::Log::cut`]): from then on what failed is
//!    certainly not applied, for ever; until then a crash may still bring it back;
//! 2. unless every log write was synced before it was acknowledged: flushes all memtables and starts the log at
//!    the cut, so that nothing acknowledged depends on what a failed sync may have lost;
//! 3. takes writes again.

use super::Shard;
use super::options::Durability;
use super::running::Install;
use super::unsettled::Doubt;
use crate::error::is_without_room;
use std::io;

/// What a shard does about a log write that failed.
const UNSETTLED: &str = "the shard takes no writes until it has settled that, by itself";

/// Why a shard takes no writes that was opened where a segment of the log found no room.
fn no_room(dir: &str) -> String {
    format!(
        "there is no room for the log in {dir}; the shard takes no writes until there is: free some space, it goes on by \
         itself"
    )
}

impl Shard {
    /// A log write or sync failed, or an attempt to cut the log.
    pub(super) fn note_doubt(&mut self, error: &io::Error) {
        let seconds = self.log_backoff.failed(self.mono_us, error);
        let (is_full, is_unwritten) = (is_without_room(error), self.is_unwritten());
        let reason = match &self.doubt {
            Some(_) if is_unwritten && is_full => no_room(self.dir.dir()),
            Some(_) if is_unwritten => {
                format!("the log can't be begun ({error}); the shard takes no writes until it can, by itself")
            }
            None => format!("a log write failed ({error}); {UNSETTLED}"),
            Some(_) => {
                format!("a log write failed, and what it left can't be settled ({error}); {UNSETTLED}")
            }
        };
        // What goes on failing in the same way is told once.
        if self.doubt.as_ref().is_none_or(|doubt| doubt.reason != reason) {
            tracing::error!("{reason}; it tries in {seconds} s, later if that fails");
        }
        let attempts = self.doubt.as_ref().map_or(0, |doubt| doubt.attempts + 1);
        self.doubt = Some(Doubt { reason, is_full, is_unwritten, attempts, is_cutting: false });
        self.hurry_before_closing();
    }

    /// There was no room to begin a segment of the log when the shard was opened: it serves reads until there is.
    pub(super) fn doubt_for_room(dir: &str) -> Doubt {
        let reason = no_room(dir);
        tracing::error!("{reason}");
        Doubt { reason, is_full: true, is_unwritten: true, attempts: 0, is_cutting: false }
    }

    /// Whether the log that takes no writes is one that nothing was written to since the shard was opened.
    fn is_unwritten(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.is_unwritten)
    }

    /// Why something that the shard took in may be lost, now that it has closed: [`Shard::failure`], but for a shard that has
    /// had no room to take anything in.
    pub fn failure_at_stop(&self) -> Option<&str> {
        let is_idle = self.doubt.as_ref().is_some_and(|doubt| doubt.is_unwritten && doubt.is_full);
        self.failure().filter(|_| self.defect.is_some() || !is_idle)
    }

    /// A shard that closes makes its only attempt at once, whatever failed before.
    fn hurry_before_closing(&mut self) {
        if self.is_closing && self.doubt.as_ref().is_some_and(|doubt| doubt.attempts == 0) {
            self.background.trouble = None;
            self.background.rest_until_us = self.mono_us;
            self.manifest_backoff.until_us = self.mono_us;
            self.log_backoff.until_us = self.mono_us;
        }
    }

    /// The shard begins to close: one in doubt makes one more attempt.
    pub(super) fn try_before_closing(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.attempts = 0;
        }
        self.hurry_before_closing();
    }

    /// Takes the next step towards taking writes again.
    pub(super) fn settle_doubt(&mut self) {
        let Some(doubt) = &mut self.doubt else { return };
        if !self.log.is_cut() {
            if self.log_backoff.until_us <= self.mono_us {
                doubt.is_cutting |= self.log.cut(&mut self.io);
            }
        } else if self.is_saved() {
            self.log.resume();
            let is_unwritten = self.is_unwritten();
            self.doubt = None;
            self.synced_mono_us = self.mono_us;
            // Every cut adds a segment: a log that is cut again and again is let go of as any long one.
            self.freeze_if_full();
            let what = if is_unwritten {
                "there is room for the log"
            } else {
                "what a failed log write left is settled"
            };
            tracing::warn!("{what}: the shard takes writes again");
        } else {
            self.save();
        }
    }

    /// The log is cut: what is in memtables is before the cut.
    pub(super) fn log_cut(&mut self) {
        self.logged_end = self.log.end();
        if let Some(doubt) = &mut self.doubt {
            doubt.is_cutting = false;
        }
    }

    /// Whether nothing acknowledged depends on what a sync that failed may have lost.
    fn is_saved(&self) -> bool {
        self.is_synced()
            // What waits for others would have to be copied behind the cut first.
            || (self.held.is_idle()
                && self.sources.active.is_empty()
                && self.sources.frozen.is_empty()
                && self.manifest.state().log_start >= self.applied_end())
    }

    /// Whether every acknowledged write was synced before.
    fn is_synced(&self) -> bool {
        self.groups.iter().all(|group| group.durability == Durability::Sync)
    }

    /// Has everything flushed, and the log started at the cut.
    fn save(&mut self) {
        if !self.sources.active.is_empty() {
            self.freeze();
        } else if self.sources.frozen.is_empty() && !self.background.is_moving_log_start() {
            let log_start = Some(self.applied_end());
            let groups = self.group_news();
            let clock = Some(self.clock.stamp());
            self.publish(
                Install { removed: vec![], added: vec![], log_start, is_flush: false },
                groups,
                clock,
            );
        }
    }

    /// When an attempt is due; `None` if one is on its way, or waits for I/O that is.
    pub(super) fn doubt_due_us(&self) -> Option<u64> {
        let doubt = self.doubt.as_ref()?;
        let is_waiting = !doubt.is_cutting && !self.log.is_cut() && self.log_backoff.until_us > self.mono_us;
        is_waiting.then_some(self.log_backoff.until_us)
    }

    /// Whether a shard in doubt has something acknowledged that it may still bring to safety.
    pub(super) fn is_saving(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| {
            let is_given_up =
                doubt.attempts > 0 || self.background.trouble.is_some() || self.defect.is_some();
            !self.is_synced() && !is_given_up
        })
    }
}
