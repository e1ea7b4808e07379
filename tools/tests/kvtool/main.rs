//! kvtool on stores that were written by the engine, sound ones and damaged ones.

mod common;
mod crash;
mod reading;
mod reshard;
