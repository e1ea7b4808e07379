//! What consensus does for groups that are led here, by hand.

use super::{Hand, Seen};
use crate::group::groups::Place;
use crate::key::{Expiry, Keyspace, Version};
use crate::log::{BatchBuilder, Entry, EntryType};
use std::collections::BTreeMap;

impl Hand {
    /// Does what consensus does for groups that are led here: what was taken in has its place, and is agreed on when
    /// [`Hand::agree`] says so.
    pub(super) fn propose(&mut self) {
        let Hand { shard, answered, .. } = self;
        let led: BTreeMap<Place, (u64, u64)> = shard
            .replicated()
            .into_iter()
            .map(|(place, _)| {
                (place, (shard.groups[place].order().term(), shard.groups[place].appended_index() + 1))
            })
            .collect();
        let mut entries = Vec::new();
        let proposed = shard.propose(answered, |place, kind, payload| {
            let (term, index) = led[&place];
            let payload = payload.clone();
            entries.push((place, Entry { term, index, entry: kind, origin: 0, payload }));
            Ok((term, index))
        });
        proposed.unwrap();
        for (place, entry) in entries {
            let number = entry.index;
            shard.append(place, &[entry], None, number, answered).unwrap();
        }
        for place in shard.rounds_wanted() {
            self.rounds += 1;
            shard.round_begun(place, self.rounds);
            if self.confirms {
                shard.round_confirmed(place, self.rounds, 0, answered);
            }
        }
    }

    /// The others agree on the entries of a group up to this one, as far as they are persisted here.
    pub(super) fn agree(&mut self, place: Place, index: u64) {
        let persisted = self.persisted.get(&place).copied().unwrap_or(0);
        self.shard.apply_up_to(place, index.min(persisted), &mut self.answered);
    }
}

/// An entry of another leader in its term 2, whose time this is: it sets a key.
pub(super) fn entry_at(index: u64, time_us: u64, key: &[u8], (value, expiry): (&[u8], Expiry)) -> Entry {
    let mut batch = BatchBuilder::new(time_us);
    batch.put(Keyspace(0), key, Version(index), expiry, value);
    let payload = batch.bytes().to_vec().into();
    Entry { term: 2, index, entry: EntryType::Normal, origin: 0, payload }
}

/// What who doesn't lead answers.
pub(super) fn not_leader() -> Seen {
    Seen::Refused("NotLeader".to_owned())
}
