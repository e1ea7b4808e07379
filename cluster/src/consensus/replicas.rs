//! The replicas of a shard's groups, driven beside it: what the shard takes in is proposed, what they agree on is applied.

use super::Rejected;
use super::message::Message;
use super::ready::{NotProposed, Ready};
use super::replica::Replica;
use super::settings::Settings;
use pinion_engine::group::groups::Place;
use pinion_engine::group::{NotTaken, Order};
use pinion_engine::shard::Shard;
use pinion_engine::shard::request::{Answers, Refusal};
use pinion_engine::{Error, Partition};
use std::collections::BTreeMap;

/// Entries that are applied are kept for those who are behind, up to so much memory for each group, bytes.
const KEPT_BYTES: usize = 1 << 20;

/// See the module's text.
#[derive(Default)]
pub struct Replicas {
    places: BTreeMap<Partition, Place>,
    replicas: BTreeMap<Place, (Partition, Replica)>,
    outbox: Vec<(Partition, Message)>,
}

impl Replicas {
    /// Those of a shard that was opened, at this time. The error says which group can't go on from what its storage says.
    pub fn open(shard: &mut Shard, settings: &Settings, now_us: u64) -> Result<Replicas, Error> {
        let mut made = Replicas::default();
        for (place, partition) in shard.replicated() {
            let own = Settings { seed: settings.seed ^ u64::from(partition.0) << 32, ..settings.clone() };
            let replica = Replica::new(&own, shard.group_log(place), now_us)
                .map_err(|error| Error::Unusable(format!("partition {}: {error}", partition.0)))?;
            made.places.insert(partition, place);
            made.replicas.insert(place, (partition, replica));
        }
        Ok(made)
    }

    /// Takes a message for a group of the shard, whose sender is known to be the one that it names. One for a group that isn't here comes
    /// to nothing, and so do entries that the shard has no room for: their leader sends them again.
    pub fn step(
        &mut self,
        shard: &mut Shard,
        partition: Partition,
        message: Message,
        now_us: u64,
    ) -> Result<(), Rejected> {
        let place = self.places.get(&partition);
        let Some((place, (_, replica))) =
            place.and_then(|place| Some((*place, self.replicas.get_mut(place)?)))
        else {
            return Err(Rejected::Stale);
        };
        if message.says.has_entries() && !shard.has_room_for_entries(place, replica.committed()) {
            return Err(Rejected::Busy);
        }
        let time_us = message.time_us;
        replica.step(message, now_us)?;
        shard.hear_time(place, time_us);
        Ok(())
    }

    /// What is to be sent. Each message says what time it is in its group, so that all replicas who hear of each other know.
    pub fn take_messages(&mut self, shard: &Shard) -> impl Iterator<Item = (Partition, Message)> {
        let places = &self.places;
        self.outbox.drain(..).map(|(partition, message)| {
            let time_us = places.get(&partition).map_or(0, |&place| shard.time_us(place));
            (partition, Message { time_us, ..message })
        })
    }

    /// The replica of a partition.
    pub fn replica(&self, partition: Partition) -> Option<&Replica> {
        self.replicas.get(self.places.get(&partition)?).map(|(_, replica)| replica)
    }

    /// As [`Replicas::replica`].
    pub fn replica_mut(&mut self, partition: Partition) -> Option<&mut Replica> {
        self.replicas.get_mut(self.places.get(&partition)?).map(|(_, replica)| replica)
    }

    /// Does what a turn of the shard asks for, before it ends. When nobody knows any more what the log has, nothing is done: the shard is to
    /// be opened again.
    pub fn turn(&mut self, shard: &mut Shard, now_us: u64, out: &mut impl Answers) -> Result<(), NotTaken> {
        if !shard.knows_its_log() {
            self.replicas.clear();
        }
        if !shard.takes_entries() {
            return Ok(());
        }
        let persisted: Vec<_> = shard.take_persisted().collect();
        for (place, number) in persisted {
            if let Some((partition, replica)) = self.replicas.get_mut(&place) {
                let messages = replica.persisted(number).into_iter();
                self.outbox.extend(messages.map(|message| (*partition, message)));
            }
        }
        for (_, replica) in self.replicas.values_mut() {
            replica.tick(now_us);
        }
        self.act(shard, out)?;
        let replicas = &mut self.replicas;
        shard.propose(out, |place, kind, payload| {
            let (_, replica) = replicas.get_mut(&place).ok_or(Refusal::NotLeader)?;
            let proposed = replica.propose(kind, 0, payload.clone());
            proposed.map_err(|error| match error {
                NotProposed::NotLeader => Refusal::NotLeader,
                NotProposed::Busy => Refusal::Busy,
                NotProposed::Kind => {
                    Refusal::Invalid("a batch that can't be applied; this is a defect, please report it")
                }
            })
        })?;
        for place in shard.rounds_wanted() {
            if let Some(round) = self.replicas.get_mut(&place).and_then(|(_, replica)| replica.read()) {
                shard.round_begun(place, round);
            }
        }
        self.act(shard, out)
    }

    /// Does what the replicas want done.
    fn act(&mut self, shard: &mut Shard, out: &mut impl Answers) -> Result<(), NotTaken> {
        for (&place, &mut (partition, ref mut replica)) in &mut self.replicas {
            follow_suit(replica, shard, place, out);
            while let Some(ready) = replica.ready() {
                let is_to_be_written = ready.is_to_be_written();
                let Ready { number, entries, hard, messages, reads, .. } = ready;
                if is_to_be_written {
                    shard.append(place, &entries, hard, number, out)?;
                }
                self.outbox.extend(messages.into_iter().map(|message| (partition, message)));
                for read in reads {
                    shard.round_confirmed(place, read.round, read.index, out);
                }
                follow_suit(replica, shard, place, out);
            }
            shard.apply_up_to(place, replica.applicable(), out);
            let (_, applied) = shard.progress(place);
            replica.applied(applied);
            replica.give_up(applied, KEPT_BYTES);
        }
        Ok(())
    }
}

/// Tells the shard who leads, if that is news.
fn follow_suit(replica: &Replica, shard: &mut Shard, place: Place, out: &mut impl Answers) {
    let (order, _) = shard.progress(place);
    let (term, leads) = (replica.term(), replica.is_leader());
    let is_so = match order {
        Order::Led { term: led } => leads && led == term,
        // A group without entries says 1, before the first election.
        Order::Following { term: followed } => !leads && followed >= term,
        Order::Solo => true,
    };
    if is_so {
        return;
    }
    if matches!(order, Order::Led { .. }) || !leads {
        shard.follow(place, term, out);
    }
    if leads {
        shard.lead(place, term);
    }
}
