//! What a replica is given when it starts, and what it waits for.

use pinion_engine::Error;
use pinion_engine::group::apply;
use pinion_engine::log::EntryType;
use pinion_engine::shard::GroupLog;

/// How often a replica looks at the time, microseconds.
pub const TICK_US: u64 = 25_000;

/// A leader says so often that it is there, in ticks.
pub const HEARTBEAT_TICKS: usize = 2;

/// Who hasn't heard of a leader for so many ticks stands for election at the earliest, and at the latest after twice as many. The first of
/// them may be nearly over when it begins. A leader looks so often whether it has heard of a majority since it looked last, and
/// leads no more if it hasn't.
pub const ELECTION_TICKS: usize = 12;

/// Entries in one message take no more than so many bytes, if there are several.
pub(super) const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// A peer's term isn't believed that is so far above the own: it would leave none to count on in.
pub(super) const TERMS_AHEAD_MAX: u64 = 1 << 32;

/// Messages with entries that may be on their way to a replica unanswered.
pub(super) const MESSAGES_IN_FLIGHT_MAX: usize = 64;

/// Who a replica is, and how much it keeps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its number, which is never 0 and never used again.
    pub id: u64,
    /// While the entries that aren't committed take so many bytes of memory, no more are proposed; at least 1 MiB. One
    /// always may be, of any length.
    pub uncommitted_bytes_max: u64,
    /// Decides when it stands for election: another one for each group of a node, and each start.
    pub seed: u64,
}

/// Whether a replica can go on from there; the error says what is wrong.
pub(super) fn check(log: &GroupLog, id: u64) -> Result<(), Error> {
    let conf = &log.conf;
    let ids = || conf.voters.iter().chain(&conf.learners);
    let is_under_way = conf.auto_leave || !conf.outgoing.is_empty() || !conf.next_learners.is_empty();
    let twice = ids().any(|id| ids().filter(|other| *other == id).count() > 1);
    if !ids().any(|other| *other == id) || conf.voters.is_empty() || ids().any(|id| *id == 0) || twice {
        return Err(unusable(format!(
            "{conf:?} can't be the replicas of a group that replica {id} is one of"
        )));
    }
    if is_under_way || log.entries.iter().any(|entry| entry.entry == EntryType::ConfChange) {
        return Err(unusable(
            "a change of the replicas is under way, which this build can't go on with".to_owned(),
        ));
    }
    let (mut index, mut term) = log.before;
    let is_odd = |(index, term): (u64, u64)| (index == 0) != (term == 0);
    if is_odd(log.before) || is_odd(log.applied) || index > log.applied.0 {
        return Err(unusable(format!("entry {index} of term {term} can't be the one that is applied last")));
    }
    for entry in &log.entries {
        if entry.index != index + 1 || entry.term < term.max(1) {
            return Err(unusable(format!(
                "entry {} of term {} comes behind entry {index} of term {term}",
                entry.index, entry.term
            )));
        }
        apply::check(entry.entry, entry.origin, &entry.payload)
            .map_err(|what| unusable(format!("entry {} can't be applied: {what}", entry.index)))?;
        (index, term) = (entry.index, entry.term);
    }
    if log.applied.0 > index || log.hard.commit > index {
        return Err(unusable(format!(
            "entry {} is committed, and the log ends with entry {index}: what was written is gone; rebuild this replica",
            log.hard.commit
        )));
    }
    Ok(())
}

fn unusable(what: String) -> Error {
    Error::Unusable(format!("a replica can't start: {what}"))
}
