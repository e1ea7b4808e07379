//! What CLUSTER answers: slots, and the cores and nodes that serve them.
//!
//! To a cluster client every core of every node is a master with its own port.
//!
//! ```
//! use pinion_net::resp::topology::{Member, Topology};
//! let id = "0123456789abcdef0123456789abcdef01234567".to_owned();
//! let member = Member { id, host: "127.0.0.1".into(), port: 9379, slots: vec![0..=16383] };
//! let topology = Topology { members: vec![member], myself: 0, epoch: 1 };
//! assert!(topology.nodes().contains("127.0.0.1:9379@0 myself,master - 0 0 1 connected 0-16383"));
//! ```

use std::fmt::Write;
use std::ops::RangeInclusive;

use super::reply::Encoder;

/// A core as cluster clients see it: a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// 40 hexadecimal digits that stay for the life of the member.
    pub id: String,
    /// Its address; empty: the one the client used to connect.
    pub host: String,
    /// Its RESP port.
    pub port: u16,
    /// Its slots: disjoint ranges in order.
    pub slots: Vec<RangeInclusive<u16>>,
}

/// Who serves which slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Everyone.
    pub members: Vec<Member>,
    /// Which of them answers.
    pub myself: usize,
    /// Counts changes of the map.
    pub epoch: u64,
}

impl Topology {
    /// The id of the member that answers.
    pub fn my_id(&self) -> &str {
        self.members.get(self.myself).map_or("", |member| member.id.as_str())
    }

    /// CLUSTER SLOTS: for each range its ends and its node.
    pub fn write_slots(&self, reply: &mut Encoder<'_>) {
        reply.array(self.members.iter().map(|member| member.slots.len()).sum());
        for member in &self.members {
            for range in &member.slots {
                reply.array(3);
                reply.integer((*range.start()).into());
                reply.integer((*range.end()).into());
                reply.array(4);
                reply.bulk(member.host.as_bytes());
                reply.integer(member.port.into());
                reply.bulk(member.id.as_bytes());
                reply.map(0);
            }
        }
    }

    /// CLUSTER SHARDS: for each master its slots and itself.
    pub fn write_shards(&self, reply: &mut Encoder<'_>) {
        reply.array(self.members.len());
        for member in &self.members {
            reply.map(2);
            reply.bulk(b"slots");
            reply.array(member.slots.len() * 2);
            for range in &member.slots {
                reply.integer((*range.start()).into());
                reply.integer((*range.end()).into());
            }
            reply.bulk(b"nodes");
            reply.array(1);
            reply.map(7);
            let (id, host) = (member.id.as_str(), member.host.as_str());
            for (name, text) in [("id", id), ("ip", host), ("endpoint", host), ("role", "master")] {
                reply.bulk(name.as_bytes());
                reply.bulk(text.as_bytes());
            }
            reply.bulk(b"port");
            reply.integer(member.port.into());
            reply.bulk(b"replication-offset");
            reply.integer(0);
            reply.bulk(b"health");
            reply.bulk(b"online");
        }
    }

    /// CLUSTER NODES: a line for each member. There is no cluster bus; its port is given as 0.
    pub fn nodes(&self) -> String {
        let mut text = String::new();
        for (at, member) in self.members.iter().enumerate() {
            let flags = if at == self.myself { "myself,master" } else { "master" };
            let Member { id, host, port, .. } = member;
            // Writing to a String can't fail.
            let _ = write!(text, "{id} {host}:{port}@0 {flags} - 0 0 {} connected", self.epoch);
            for range in &member.slots {
                let _ = match (range.start(), range.end()) {
                    (start, end) if start == end => write!(text, " {start}"),
                    (start, end) => write!(text, " {start}-{end}"),
                };
            }
            text.push('\n');
        }
        text
    }

    /// CLUSTER INFO.
    pub fn info(&self) -> String {
        let assigned: usize =
            self.members.iter().flat_map(|member| &member.slots).map(|range| range.clone().count()).sum();
        let state = if assigned == 16384 { "ok" } else { "fail" };
        let members = self.members.len();
        let epoch = self.epoch;
        format!(
            "cluster_enabled:1\r\ncluster_state:{state}\r\ncluster_slots_assigned:{assigned}\r\n\
             cluster_slots_ok:{assigned}\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\n\
             cluster_known_nodes:{members}\r\ncluster_size:{members}\r\ncluster_current_epoch:{epoch}\r\n\
             cluster_my_epoch:{epoch}\r\ncluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::super::client::decode;
    use super::*;

    fn two() -> Topology {
        let member = |id: &str, port, slots| Member { id: id.repeat(40), host: "::1".into(), port, slots };
        let members = vec![member("a", 1, vec![0..=5, 7..=7]), member("b", 2, vec![6..=6, 8..=16383])];
        Topology { members, myself: 1, epoch: 3 }
    }

    #[test]
    fn slots_and_shards_are_whole_elements_in_both_protocols() {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            for write in [Topology::write_slots, Topology::write_shards] {
                let mut out = Vec::new();
                write(&two(), &mut Encoder::new(&mut out, protocol));
                let (_, length) = decode(&out).unwrap().unwrap();
                assert_eq!(length, out.len());
            }
        }
    }

    #[test]
    fn texts_name_every_member_and_slot() {
        let nodes = two().nodes();
        assert!(nodes.contains(" ::1:1@0 master - 0 0 3 connected 0-5 7\n"), "{nodes}");
        assert!(nodes.contains(" ::1:2@0 myself,master - 0 0 3 connected 6 8-16383\n"), "{nodes}");
        assert!(two().info().contains("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n"));
    }
}
