//! What was done and found, as a table.

use crate::kvd::Kvd;
use crate::ledger::Found;
use crate::volatile::disk::Losses;
use std::collections::BTreeMap;
use std::time::Duration;

/// One kind of fault.
pub struct Row {
    name: String,
    /// How often it was done.
    pub rounds: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    found: Found,
    losses: Losses,
    slowest_start: Duration,
    notes: BTreeMap<String, u64>,
    skipped: Option<String>,
}

impl Row {
    /// Nothing yet.
    pub fn new(name: &str) -> Row {
        Row {
            name: name.to_owned(),
            rounds: 0,
            writes: 0,
            found: Found::default(),
            losses: Losses::default(),
            slowest_start: Duration::ZERO,
            notes: BTreeMap::new(),
            skipped: None,
        }
    }

    /// It couldn't be done.
    pub fn skipped(name: &str, why: &str) -> Row {
        Row { skipped: Some(why.to_owned()), ..Row::new(name) }
    }

    /// A server has started.
    pub fn started(&mut self, kvd: &Kvd) {
        self.slowest_start = self.slowest_start.max(kvd.started_in);
    }

    /// Everything was read back and is right.
    pub fn checked(&mut self, found: Found) {
        self.found.registers += found.registers;
        self.found.surprises += found.surprises;
    }

    /// What a power loss took.
    pub fn lost(&mut self, losses: Losses) {
        self.losses.sectors += losses.sectors;
        self.losses.torn_files += losses.torn_files;
        self.losses.names += losses.names;
    }

    /// Something worth counting.
    pub fn note(&mut self, what: &str) {
        *self.notes.entry(what.to_owned()).or_default() += 1;
    }

    /// Prints it under [`print_head`].
    pub fn print(&self) {
        if let Some(why) = &self.skipped {
            return println!("{:<16} skipped: {why}", self.name);
        }
        println!(
            "{:<16} {:>7} {:>13} {:>13} {:>11} {:>13} {:>11} {:>8}",
            self.name,
            self.rounds,
            self.writes,
            self.found.registers,
            self.found.surprises,
            self.losses.sectors,
            self.losses.names,
            format!("{} ms", self.slowest_start.as_millis()),
        );
        for (note, count) in &self.notes {
            println!("    {count:>5} x {note}");
        }
    }
}

/// The heads of the columns.
pub fn print_head() {
    println!(
        "{:<16} {:>7} {:>13} {:>13} {:>11} {:>13} {:>11} {:>8}",
        "fault", "rounds", "acknowledged", "read back", "open, done", "sectors lost", "names lost", "start"
    );
}
