//! Which tables are resident: as many as the budget allows, upper levels first; and the account of their memory.
//!
//! A resident table is a copy of its file, verified when it was read, in memory that nothing reads again from the device.
//! The account counts it from when a job may load it until it is given back: the tables of the tree, those on their way
//! into it, those that left it and are still read, and what running jobs may take ([`Background::claims`]). The indexes
//! and filters of paged tables count too. Nothing is loaded but into room that the account shows, so that the old and the
//! new tables of a merge are within the budget together; a new table that finds none is paged until the old ones are gone.
//! For a flush, whose tables come first, room is made when it starts, long before it loads them.
//!
//! [`Background::claims`]: super::background::Background

use super::Shard;
use super::running::Running;
use crate::job::ResidencyJob;
use crate::table::Table;
use crate::tree::MergePlan;
use std::sync::Arc;

/// Tables that one job loads.
const BATCH: usize = 8;

impl Shard {
    /// Memory that tables take, or may come to take without being asked again.
    pub(super) fn table_memory(&self) -> u64 {
        let of = |table: &Arc<Table>| table.memory_bytes();
        let is_new = |table: &&Arc<Table>| self.sources.table(table.meta().number).is_none();
        let named = self.sources.tree.tables().map(|(_, table)| of(table));
        let added = self.background.installs.iter().flat_map(|install| &install.added);
        let added = added.map(|(_, table)| table).filter(is_new).map(of);
        let retired = self.background.retired.iter().map(|retired| of(&retired.table));
        named.chain(added).chain(retired).chain(self.background.claims.values().copied()).sum()
    }

    /// What is left of the budget.
    pub(super) fn table_room(&self) -> u64 {
        (self.budgets.resident as u64).saturating_sub(self.table_memory())
    }

    /// How much of a flush's tables are to be resident. Tables of deeper levels make way for them.
    pub(super) fn claim_for_flush(&mut self, bytes: u64) -> u64 {
        let budget = self.budgets.resident as u64;
        if self.bytes_through(0) + bytes > budget {
            return 0;
        }
        let makes_way = |(level, table): &(usize, &Arc<Table>)| {
            *level > 0 && table.is_resident() && !self.background.busy.contains(&table.meta().number)
        };
        let making_way = self.sources.tree.tables().filter(makes_way);
        let making_way: u64 = making_way.map(|(_, table)| table.meta().file_bytes).sum();
        let memory = self.table_memory();
        let claim = bytes.min((budget + making_way).saturating_sub(memory));
        self.background.is_housekeeping_due |= memory + claim > budget;
        claim
    }

    /// Whether the tables of a merge are among those that are to be resident, once they are in their place.
    pub(super) fn wants_resident(&self, plan: &MergePlan) -> bool {
        let replaced = plan.inputs.iter().filter(|(level, _)| *level <= plan.output_level);
        let replaced: u64 = replaced.map(|(_, table)| table.meta().file_bytes).sum();
        let after = self.bytes_through(plan.output_level) + plan.input_bytes() - replaced;
        after <= self.budgets.resident as u64
    }

    /// Bytes of the tables that come before those of a deeper level in the right to be resident.
    fn bytes_through(&self, level: usize) -> u64 {
        self.sources.tree.levels().iter().take(level + 1).map(|level| level.bytes()).sum()
    }

    /// What the tables of the tree may take in whole: without what the paged ones keep, and what a flush is to bring. What
    /// only passes (tables that are still read, the outputs of merges) is no reason to let one go.
    fn budget_for_residents(&self) -> u64 {
        let paged = self.sources.tree.tables().filter(|(_, table)| !table.is_resident());
        let paged: u64 = paged.map(|(_, table)| table.memory_bytes()).sum();
        let flushes = self.background.running.iter().filter(|(_, running)| matches!(running, Running::Flush));
        let flushes: u64 = flushes.filter_map(|(id, _)| self.background.claims.get(id)).sum();
        (self.budgets.resident as u64).saturating_sub(paged + flushes)
    }

    /// Loads the tables that are to be resident, as far as there is room, and makes the others paged.
    pub(super) fn schedule_residency(&mut self) {
        if self.background.is_running(|running| matches!(running, Running::Residency { .. })) > 0 {
            return;
        }
        self.background.is_housekeeping_due = false;
        let for_residents = self.budget_for_residents();
        let mut room = self.table_room();
        let (mut load, mut unload, mut bytes, mut claim) = (Vec::new(), Vec::new(), 0, 0);
        for (_, table) in self.sources.tree.tables() {
            let file_bytes = table.meta().file_bytes;
            bytes += file_bytes;
            let is_wanted = bytes <= for_residents;
            if self.background.busy.contains(&table.meta().number) || is_wanted == table.is_resident() {
                continue;
            }
            if !is_wanted {
                unload.push(table.clone());
            } else if file_bytes <= room && load.len() < BATCH {
                room -= file_bytes;
                claim += file_bytes;
                load.push(table.clone());
            }
        }
        // What goes makes room for what comes.
        let is_loading = unload.is_empty();
        let tables = if is_loading { load } else { unload };
        if tables.is_empty() {
            return;
        }
        let numbers: Vec<u64> = tables.iter().map(|table| table.meta().number).collect();
        self.background.busy.extend(&numbers);
        let job = ResidencyJob::new(tables, is_loading);
        let claim = if is_loading { claim } else { 0 };
        self.start_claiming(Running::Residency { tables: numbers }, Box::new(job), claim);
    }
}
