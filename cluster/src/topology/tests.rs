//! What a topology says, and which one may follow which.

use super::current::{Current, View};
use super::*;
use std::sync::Arc;

const PARTITIONS: usize = 16;

fn member(id: u8, cores: u16) -> Member {
    let ports = |first: u16| (first..first + cores).collect();
    Member {
        id: [id; 16],
        host: format!("node{id}"),
        port: 7400,
        core_ports: ports(8400),
        resp_host: None,
        resp_core_ports: ports(9379),
    }
}

fn members() -> Vec<Member> {
    vec![member(1, 2), member(2, 3)]
}

/// Every partition on both nodes; every other one has its home on the second.
fn of_two(epoch: u64, me: u16) -> Topology {
    Topology::new(epoch, members(), me, PARTITIONS, |partition| match partition.0 % 2 {
        0 => smallvec![0, 1],
        _ => smallvec![1, 0],
    })
}

#[test]
fn a_node_that_is_alone_is_the_home_of_all() {
    let topology = Topology::alone(member(1, 2), PARTITIONS);
    assert_eq!((topology.epoch(), topology.cores(), topology.partitions()), (1, 2, PARTITIONS));
    assert!(topology.map().is_sound());
    for partition in topology.all() {
        let home = topology.home_at(topology.core_of(partition));
        assert_eq!(topology.replicas_of(partition), [home]);
    }
}

#[test]
fn each_node_finds_its_own_cores_and_all_tell_the_same_homes() {
    let (one, other) = (of_two(5, 0), of_two(5, 1));
    assert_eq!(one.map(), other.map());
    assert!(one.map().is_sound());
    assert_eq!((one.cores(), other.cores()), (2, 3));
    for partition in one.all() {
        let replicas = one.replicas_of(partition);
        assert_eq!(replicas, other.replicas_of(partition));
        for topology in [&one, &other] {
            assert!(replicas.contains(&topology.home_at(topology.core_of(partition))));
        }
    }
}

#[test]
fn runs_of_slots_cover_each_slot_once_at_its_home() {
    let topology = of_two(1, 0);
    let mut next = 0;
    for (run, home) in topology.slot_runs() {
        assert_eq!(run.start, next);
        next = run.end;
        for number in run {
            let slot = Slot::new(number as u16).expect("there is such a slot");
            assert_eq!(topology.replicas_of(topology.partition_of(slot))[0], home);
        }
    }
    assert_eq!(next, 16384);
}

#[test]
fn only_a_newer_topology_follows_and_only_one_that_this_nodes_shards_can_serve() {
    let before = of_two(5, 0);
    assert!(of_two(6, 0).may_follow(&before));
    assert!(!of_two(5, 0).may_follow(&before) && !of_two(4, 0).may_follow(&before));
    let leaves_some_out = Topology::new(6, members(), 0, PARTITIONS, |partition| smallvec![partition.0 % 2]);
    assert!(!leaves_some_out.may_follow(&before), "every other partition isn't here any more");
    let of_others = Topology::new(6, vec![member(1, 3)], 0, PARTITIONS, |_| smallvec![0]);
    assert!(!of_others.may_follow(&before), "the cores' partitions are others");
    assert!(!of_two(6, 1).may_follow(&before), "it is another node's");
}

#[test]
fn a_core_sees_one_topology_a_turn_and_never_an_older_one() {
    let current = Arc::new(Current::new(of_two(5, 0)));
    let mut view = View::new(Arc::clone(&current));
    assert!(current.replace(of_two(7, 0)));
    assert_eq!(view.epoch(), 5, "its turn goes on");
    view.look();
    assert_eq!(view.epoch(), 7);
    assert!(!current.replace(of_two(6, 0)) && !current.replace(of_two(7, 0)));
    view.look();
    assert_eq!((view.epoch(), current.newest().epoch()), (7, 7));
}
