//! The parts of the world that can be tested without a whole run.

use crate::net::{Net, NetOptions};
use crate::options::RunOptions;
use crate::profile::Profile;
use crate::report;
use crate::rng::stream;
use pinion_cluster::drive::Sockets;
use pinion_cluster::drive::Speaks;
use pinion_net::reactor::ConnId;

fn net() -> Net {
    Net::new(NetOptions { budget_bytes: 100, in_transit_bytes: 10, input_bytes_max: 1000 })
}

#[test]
fn calls_with_a_connection_that_is_gone_do_nothing() {
    let (mut net, gone) = (net(), ConnId::from_u64(7));
    net.output(gone).extend_from_slice(b"nobody hears this");
    net.pause(gone);
    net.resume(gone);
    net.close(gone);
    assert_eq!((net.queued(gone), net.real_bytes(), net.has_events()), (0, 0, false));
    assert!(net.output(gone).is_empty());
}

#[test]
fn a_core_that_accepts_no_more_sends_away_who_knocked() {
    let mut net = net();
    assert!(net.knock(3, (Speaks::Resp, false)));
    net.stop_accepting();
    assert_eq!(net.remains.iter().map(|remains| remains.client).collect::<Vec<_>>(), [3]);
    assert!(!net.knock(4, (Speaks::Resp, false)));
}

#[test]
fn a_crash_tells_every_client_that_was_there() {
    let mut net = net();
    net.knock(1, (Speaks::Wire, true));
    net.knock(2, (Speaks::Resp, false));
    let remains = net.crash(&mut stream(1, "net"));
    assert_eq!(remains.iter().map(|remains| remains.client).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn faults_can_be_left_out_by_their_numbers() {
    let mut run = RunOptions::new(3, Profile::Smoke);
    run.operations = 600;
    let faults = report::run(&run).faults;
    run.without = (0..faults).collect();
    let outcome = report::run(&run);
    assert!(outcome.failure.is_none());
    // Only the one at the end, which is no part of the schedule.
    assert_eq!(outcome.counters.get("crashes"), 1);
}
