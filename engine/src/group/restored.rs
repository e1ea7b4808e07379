//! A group as the manifest has it, and what the manifest is to know of it.

use super::{Group, Order, SOLO_TERM};
use crate::key::Version;
use crate::log::LogPosition;
use crate::manifest::{ConfState, GroupState};
use smallvec::smallvec;

impl<W> Group<W> {
    /// The group as the manifest has it: everything up to there is in tables. One with replicas follows, until they agree who leads.
    pub fn restored(state: &GroupState) -> Group<W> {
        let mut group = Group::new(state.partition);
        group.incarnation = state.incarnation;
        let index = state.applied_index;
        (group.appended, group.persisted, group.committed) = (index, index, index);
        group.applied_term = state.applied_term.max(SOLO_TERM);
        group.terms = smallvec![(index, group.applied_term)];
        group.applied(index, state.max_version);
        (group.floor, group.clock_us, group.log_from) = (state.floor, state.clock_us, state.log_from);
        (group.origins, group.once) = (state.origins.clone(), state.once.clone());
        group.conf = state.conf.clone();
        if group.conf.is_some() {
            group.order = Order::Following { term: group.applied_term };
        }
        group.is_changed = false;
        group
    }

    /// What the manifest keeps of it, at shard time `clock_us`, which is the time of a group that orders itself. As nobody else can
    /// send such a group anything older, its newest version is the floor.
    pub fn state(&self, clock_us: u64) -> GroupState {
        let (floor, clock_us) = match self.order {
            Order::Solo => (self.newest, clock_us),
            Order::Led { .. } | Order::Following { .. } => (self.floor, self.clock_us),
        };
        GroupState {
            partition: self.id,
            incarnation: self.incarnation,
            has_left: false,
            applied_index: self.applied,
            applied_term: self.applied_term,
            max_version: self.newest,
            floor,
            clock_us,
            log_from: self.log_from,
            conf: self.conf.clone(),
            origins: self.origins.clone(),
            once: self.once.clone(),
        }
    }

    /// [`Group::state`], if there is something in it that it hasn't said before.
    pub fn news(&mut self, clock_us: u64) -> Option<GroupState> {
        std::mem::take(&mut self.is_changed).then(|| self.state(clock_us))
    }

    /// Its replicas, if it has others.
    pub fn conf(&self) -> Option<&ConfState> {
        self.conf.as_deref()
    }

    /// From which position of the log on its entries count.
    pub fn log_from(&self) -> LogPosition {
        self.log_from
    }

    /// Other replicas hold it from here on.
    pub(super) fn change_conf(&mut self, conf: ConfState) {
        self.conf = Some(Box::new(conf));
        if self.order == Order::Solo {
            // Up to here what was deleted may be gone: nothing older is to come back.
            self.floor = self.floor.max(self.newest);
            self.order = Order::Following { term: self.applied_term };
        }
    }

    /// No versions at or below it are still to come.
    pub(super) fn raise_floor(&mut self, floor: Version) {
        self.floor = self.floor.max(floor);
    }
}
