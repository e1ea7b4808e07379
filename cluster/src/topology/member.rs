//! A node of the cluster, as its clients find it.

use pinion_net::wire::NodePorts;
use std::net::IpAddr;

/// A node of the cluster. What is told of it doesn't change without a new topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Identity of its store.
    pub id: [u8; 16],
    /// Where the binary protocol finds it. Without a host, clients keep to the address that they reached.
    pub host: String,
    /// The port that any of its cores may answer.
    pub port: u16,
    /// The port of each core.
    pub core_ports: Vec<u16>,
    /// Where Redis clients find it; `None`: at the address that they reached.
    pub resp_host: Option<IpAddr>,
    /// The port of each core; empty if it doesn't speak RESP.
    pub resp_core_ports: Vec<u16>,
}

impl Member {
    /// How many cores it has.
    pub fn cores(&self) -> usize {
        self.core_ports.len()
    }

    /// The 40 hexadecimal digits by which Redis clients know one of its cores.
    pub fn core_id(&self, core: usize) -> String {
        format!("{:032x}{core:08x}", u128::from_be_bytes(self.id))
    }

    /// The 40 hexadecimal digits by which Redis clients know the shard of one of its cores.
    pub fn shard_name(&self, core: usize) -> String {
        format!("{core:08x}{:032x}", u128::from_be_bytes(self.id))
    }

    /// Its place in the map of the binary protocol.
    pub(super) fn ports(&self) -> NodePorts {
        NodePorts {
            id: u64::from_le_bytes(*self.id.first_chunk().expect("an id has 16 bytes")),
            host: self.host.clone(),
            port: self.port,
            core_ports: self.core_ports.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_clients_know_a_core_and_its_shard_by_40_digits() {
        let member = Member {
            id: *b"\x01\x02..............",
            host: String::new(),
            port: 1,
            core_ports: vec![2, 3],
            resp_host: None,
            resp_core_ports: Vec::new(),
        };
        let id = "01022e2e2e2e2e2e2e2e2e2e2e2e2e2e";
        assert_eq!(member.core_id(11), format!("{id}0000000b"));
        assert_eq!(member.shard_name(11), format!("0000000b{id}"));
    }
}
