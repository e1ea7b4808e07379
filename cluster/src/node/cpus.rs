//! Which CPU each shard gets: of those it may have, the ones with the fewest shards on this machine.
//!
//! A shard claims its CPU by a name among the abstract sockets, `pinion-cpu-C-L` for the shard L of CPU C: the kernel gives
//! each name to one process, and takes it back when that ends, however it ends. Processes in other network namespaces
//! (most containers) aren't seen.

use crate::config::machine::cpu_list;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What names begin with.
const NAMES: &str = "pinion-cpu";

/// Shards of all processes that a CPU is shared by, at most; beyond that nobody counts.
const SHARDS_MAX: usize = 64;

/// The CPUs of a node's shards; claimed until this is dropped.
#[derive(Debug)]
pub struct Cpus {
    /// For each shard.
    pub of_shards: Vec<usize>,
    /// Those of them that have shards of other nodes, too.
    pub shared: Vec<usize>,
    _claims: Vec<UnixDatagram>,
}

impl Cpus {
    /// Claims CPUs for so many shards: each gets the first of those that have the fewest.
    pub fn claim(cpus: &[usize], shards: usize) -> Cpus {
        Cpus::claim_among(NAMES, cpus, shards)
    }

    fn claim_among(names: &str, cpus: &[usize], shards: usize) -> Cpus {
        let mut claimed = Cpus { of_shards: Vec::new(), shared: Vec::new(), _claims: Vec::new() };
        for shard in 0..shards {
            let Some((cpu, level, claim)) = claimed.next(names, cpus) else {
                // No names to be had here: in turn.
                claimed.of_shards.push(cpus[shard % cpus.len()]);
                continue;
            };
            let own = claimed.of_shards.iter().filter(|&&other| other == cpu).count();
            if level > own && !claimed.shared.contains(&cpu) {
                claimed.shared.push(cpu);
            }
            claimed.of_shards.push(cpu);
            claimed._claims.push(claim);
        }
        claimed
    }

    fn next(&self, names: &str, cpus: &[usize]) -> Option<(usize, usize, UnixDatagram)> {
        for level in 0..SHARDS_MAX {
            for &cpu in cpus {
                let name = format!("{names}-{cpu}-{level}");
                let addr = SocketAddr::from_abstract_name(name).ok()?;
                match UnixDatagram::bind_addr(&addr) {
                    Ok(claim) => return Some((cpu, level, claim)),
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                    Err(_) => return None,
                }
            }
        }
        None
    }

    /// Says where the shards run, and what is wrong with that.
    pub fn tell(&self) {
        let places = self.of_shards.iter().enumerate();
        let places: Vec<String> = places.map(|(shard, cpu)| format!("{shard} on CPU {cpu}")).collect();
        tracing::info!("shards are pinned: {}", places.join(", "));
        if !self.shared.is_empty() {
            tracing::warn!(
                "other kvds on this machine have shards on CPUs {}, too; no other was free: give each process CPUs of its \
                 own with --cpus, or fewer --shards",
                cpu_list(&self.shared)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that no other test has.
    fn names(test: &str) -> String {
        format!("pinion-test-{}-{test}", std::process::id())
    }

    #[test]
    fn two_nodes_of_one_shard_each_take_different_cpus() {
        let names = names("two");
        let first = Cpus::claim_among(&names, &[0, 1], 1);
        let second = Cpus::claim_among(&names, &[0, 1], 1);
        assert_eq!((&first.of_shards[..], &second.of_shards[..]), (&[0][..], &[1][..]));
        assert_eq!((first.shared.len(), second.shared.len()), (0, 0));
        let third = Cpus::claim_among(&names, &[0, 1], 1);
        assert_eq!(third.shared, third.of_shards, "none is free");
        drop(first);
        assert_eq!(Cpus::claim_among(&names, &[0, 1], 1).of_shards, [0], "given back");
    }

    #[test]
    fn shards_of_one_node_share_its_cpus_evenly_and_without_blame() {
        let cpus = Cpus::claim_among(&names("one"), &[4, 7], 5);
        assert_eq!(cpus.of_shards, [4, 7, 4, 7, 4]);
        assert!(cpus.shared.is_empty());
    }

    #[test]
    fn a_cpu_with_fewer_shards_comes_first() {
        let names = names("fewer");
        let _first = Cpus::claim_among(&names, &[0], 2);
        assert_eq!(Cpus::claim_among(&names, &[0, 1], 3).of_shards, [1, 1, 0]);
    }
}
