//! YCSB's workloads, and the load generator `kvbench` that drives stores with them.

pub mod chooser;
pub mod db;
pub mod key;
pub mod measure;
pub mod operation;
pub mod record;
pub mod run;
pub mod values;
pub mod workload;
