//! kvtool on stores that were written by the engine, sound ones and damaged ones.

#[cfg(test)]
mod common;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod lost_shards;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod reshard;
