//! Faults that meet: two on one way, and one that meets the end of the run.

use super::Cluster;
use super::plan::{Fault, Trouble};
use crate::links::Way;
use crate::options::RunOptions;
use crate::profile::Profile;

/// Three nodes, and these faults.
fn cluster(faults: &[(u64, u64, Trouble)]) -> Cluster {
    let run = RunOptions { operations: 300, nodes: 3, ..RunOptions::new(1, Profile::Links) };
    let mut cluster = Cluster::new(run);
    let fault = |(at_us, us, trouble): &(u64, u64, Trouble)| Fault {
        at_us: *at_us,
        us: *us,
        trouble: trouble.clone(),
    };
    cluster.plan.faults = faults.iter().map(fault).collect();
    cluster
}

#[test]
fn a_node_whose_stop_outlasts_the_faults_is_started_again() {
    let mut cluster = cluster(&[]);
    cluster.plan.faults = (0..3)
        .map(|node| Fault { at_us: cluster.plan.us - 50, us: 1, trouble: Trouble::Stop { node } })
        .collect();
    let held = cluster.run();
    assert!(held.is_ok(), "{held:?}");
    assert_eq!(cluster.counters().get("graceful stops"), 3);
    assert_eq!(cluster.counters().get("starts"), 6);
}

#[test]
fn a_short_fault_leaves_what_a_longer_one_does_to_the_same_way() {
    let (from, to) = (0, 1);
    let clog = |byte_us| Trouble::Clog { from, to, byte_us };
    let mut cluster = cluster(&[
        (1_000, 9_000, Trouble::Cut { from, to, is_both: true }),
        (2_000, 3_000, Trouble::Isolate { node: from }),
        (3_000, 4_000, clog(700)),
        (4_000, 2_000, clog(70)),
        (4_500, 3_500, Trouble::Lose { from, to, lost: 5 }),
    ]);
    let mut at = |us| {
        cluster.now_us = us;
        cluster.strike().expect("faults of ways break no promise");
        [(from, to), (to, from), (from, 2)].map(|(from, to)| cluster.links.way(from, to).clone())
    };
    let (whole, cut) = (Way::default(), Way { is_cut: true, ..Way::default() });
    at(1_000);
    assert_eq!(at(2_000), [&cut, &cut, &cut].map(Way::clone));
    for us in [3_000, 4_000] {
        at(us);
    }
    let bad = Way { byte_us: 700, lost: 5, ..cut.clone() };
    assert_eq!(at(4_500), [&bad, &cut, &cut].map(Way::clone));
    assert_eq!(
        at(6_500),
        [&bad, &cut, &whole].map(Way::clone),
        "one that isolated, and one of the two that clog, are over"
    );
    assert_eq!(at(7_500), [&Way { byte_us: 0, ..bad.clone() }, &cut, &whole].map(Way::clone));
    assert_eq!(at(8_500), [&cut, &cut, &whole].map(Way::clone));
    assert_eq!(at(10_500), [&whole, &whole, &whole].map(Way::clone));
}
