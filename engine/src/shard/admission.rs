//! Which updates are taken in: those within the limits, while there is room for what they write.

use super::evaluate::EXPIRY_LIMIT;
use super::request::{Condition, PutExpiry, Refusal, Update};
use super::{Shard, ShardOptions};
use crate::group::Order;
use crate::group::groups::Place;
use crate::log::batch::BatchBuilder;

impl Shard {
    /// As [`Shard::admit`], for all updates of a batch.
    pub(super) fn admit_many(
        &self,
        place: Place,
        updates: &[(&[u8], Update<'_>)],
    ) -> Result<(), Refusal<'static>> {
        let mut bytes = 0;
        for (key, update) in updates {
            let (value, condition) = match update {
                Update::Put { value, condition, .. } => (value.len(), condition),
                Update::Delete { condition, .. } => (0, condition),
                _ => return Err(Refusal::Invalid("a batch takes puts and deletes only")),
            };
            if *condition != Condition::None {
                return Err(Refusal::Invalid("the puts and deletes of a batch take no conditions"));
            }
            if let Update::Put { expiry: PutExpiry::After(ms), .. } = update
                && self.clocks_of(place).expiry_after(*ms).is_none()
            {
                return Err(Refusal::Limit(EXPIRY_LIMIT));
            }
            self.admit(place, key, update)?;
            bytes += key.len() + value + BatchBuilder::OP_BYTES;
        }
        if bytes > ShardOptions::BATCH_BYTES_MAX {
            return Err(Refusal::Limit("batches are at most 25,165,824 bytes (24 MiB) long"));
        }
        if self.has_no_room_for(place, bytes) { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Checks limits, and whether the shard takes writes now.
    pub(super) fn admit(
        &self,
        place: Place,
        key: &[u8],
        update: &Update<'_>,
    ) -> Result<(), Refusal<'static>> {
        let value = match update {
            Update::Put { value, .. } => value,
            Update::Append { suffix } => suffix,
            _ => &[][..],
        };
        if key.is_empty() || key.len() > ShardOptions::KEY_BYTES_MAX {
            return Err(Refusal::Limit("keys are 1 to 65,535 bytes long"));
        }
        if value.len() > self.options.value_bytes_max {
            return Err(Refusal::Limit(ShardOptions::value_limit(self.options.value_bytes_max)));
        }
        if let Some(reason) = self.read_only_reason() {
            return Err(Refusal::ReadOnly(reason));
        }
        if self.has_no_room_for(place, key.len() + value.len()) { Err(Refusal::Busy) } else { Ok(()) }
    }

    /// Whether so many bytes more must wait. What is pending counts: it comes to the memtable without being asked.
    fn has_no_room_for(&self, place: Place, bytes: usize) -> bool {
        bytes > self.forming_room()
            || self.held.is_full(&self.groups[place], bytes, &self.budgets)
            || self.written_bytes() > self.budgets.memtables
            || self.is_waiting_room_full()
            || self.groups[place].order() != Order::Solo
                && self.replicated.rounds.is_full(place, self.budgets.held())
    }

    /// Bytes that still have room in the forming log write.
    fn forming_room(&self) -> usize {
        if self.forming.is_empty() {
            return usize::MAX;
        }
        self.budgets.log_write.saturating_sub(self.forming.bytes())
    }

    /// How long a value may be that a small update makes, if it is long: that wasn't asked for when it was let in. A part of the
    /// memory for what is written is left for others. One that never fits beside them goes when there is little else.
    pub(super) fn made_room(&self) -> usize {
        let (kept, most) = (self.kept_bytes(), self.budgets.memtables);
        let copies = if self.applies_at_once() { 2 } else { 1 };
        let is_crowded = kept > most / 2;
        let room = if is_crowded { self.budgets.long().saturating_sub(kept) / copies } else { usize::MAX };
        room.min(self.forming_room())
    }

    /// Memory of what was written and isn't in a table: memtables, and what is on its way to them.
    pub(super) fn written_bytes(&self) -> usize {
        let pending = if self.applies_at_once() { 0 } else { self.forming.bytes() + self.writing.bytes() };
        self.sources.memtable_bytes() + pending
    }

    /// [`Shard::written_bytes`], with what is in the memtable already and on its way to the log.
    pub(super) fn kept_bytes(&self) -> usize {
        self.sources.memtable_bytes() + self.forming.bytes() + self.writing.bytes()
    }
}
