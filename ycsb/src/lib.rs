//! YCSB's workloads, and the load generator `kvbench` that drives stores with them.
//!
//! From a command line to a report:
//! 1. [`workload`] reads YCSB's properties; [`chooser`], [`key`], [`values`] and [`record`] are what they mean.
//! 2. [`operation`] draws operations and decides, answer by answer, what they consist of; it does no I/O.
//! 3. [`db`] knows the stores: protocols that turn requests into bytes, or handles in this process.
//! 4. [`run`] drives a store from threads, in a closed or an open loop; [`measure`] keeps the latencies.
//! 5. [`report`] writes what came of it; [`command`] ties it together, and starts a node for the quickstart.

pub mod args;
pub mod chooser;
pub mod command;
pub mod db;
mod destination;
mod interrupt;
pub mod key;
pub mod measure;
pub mod operation;
mod quickstart;
pub mod record;
pub mod report;
pub mod run;
pub mod values;
pub mod workload;
