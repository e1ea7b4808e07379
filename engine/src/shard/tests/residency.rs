//! The memory of resident tables stays within its budget, whatever replaces what.

use super::*;
use crate::table::Table;
use rand::SeedableRng;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Every table that was ever in a tree or on its way there, for as long as somebody holds it.
#[derive(Default)]
struct Alive(HashMap<*const Table, Weak<Table>>);

impl Alive {
    fn resident_bytes(&mut self, shard: &Shard) -> u64 {
        let installs = shard.background.installs.iter().flat_map(|install| &install.added);
        for (_, table) in shard.sources.tree.tables().chain(installs.map(|(level, table)| (*level, table))) {
            self.0.insert(Arc::as_ptr(table), Arc::downgrade(table));
        }
        self.0.retain(|_, table| table.strong_count() > 0);
        let tables = self.0.values().filter_map(Weak::upgrade);
        tables.filter(|table| table.is_resident()).map(|table| table.meta().file_bytes).sum()
    }
}

#[test]
fn the_old_and_the_new_tables_of_a_merge_are_within_the_budget_together() {
    for seed in 0..3 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut tuning = small();
        tuning.budgets.resident = 400 << 10;
        tuning.tree.table_bytes = 64 << 10;
        let budget = tuning.budgets.resident as u64;
        let mut hand = Hand::new(Durability::None, tuning);
        let (mut alive, mut highest) = (Alive::default(), 0);
        for number in 0..6000_u32 {
            hand.send(put(&(number % 1000).to_be_bytes(), &[number as u8; 200]));
            hand.advance_ms(1);
            let most = if hand.shard.write_delay_us() > 0 { 200 } else { 12 };
            for _ in 0..random.random_range(0..most) {
                hand.go_on(&mut random);
                highest = highest.max(alive.resident_bytes(&hand.shard));
            }
        }
        assert!(hand.shard.stats().merges > 3, "{:?}", hand.shard.stats());
        assert!((budget / 2..=budget).contains(&highest), "seed {seed}: {highest} of {budget} bytes");
        hand.shard.flush();
        hand.settle();
        hand.advance_ms(11_000);
        hand.settle();
        let paged = hand.shard.sources.tree.tables().filter(|(_, table)| !table.is_resident()).count();
        assert_eq!(paged, 0, "seed {seed}: what fits is resident in the end: {:?}", hand.shard.stats());
    }
}

#[test]
fn a_flush_has_its_tables_resident_at_once_though_deeper_ones_fill_the_budget() {
    let mut tuning = small();
    tuning.budgets.resident = 400 << 10;
    tuning.tree.table_bytes = 64 << 10;
    let mut hand = Hand::new(Durability::Sync, tuning);
    for number in 0..3000_u32 {
        hand.put(&number.to_be_bytes(), &[1; 200]);
        hand.run_jobs();
    }
    hand.shard.flush();
    hand.settle();
    hand.advance_ms(11_000);
    hand.settle();
    let stats = hand.shard.stats();
    assert!(stats.levels[0].tables == 0 && hand.table_bytes() > 500 << 10, "{stats:?}");
    assert!(stats.resident_bytes > 200 << 10, "{stats:?}");
    for number in 0..100_u32 {
        hand.put(&number.to_be_bytes(), &[2; 200]);
    }
    hand.shard.flush();
    let is_flushed = |hand: &Hand| !hand.shard.sources.tree.levels()[0].tables().is_empty();
    while !is_flushed(&hand) {
        hand.end_turn();
        hand.perform_held();
        hand.run_jobs();
    }
    let tables = hand.shard.sources.tree.levels()[0].tables();
    assert!(tables.iter().all(|table| table.is_resident()), "{:?}", hand.shard.stats());
}
