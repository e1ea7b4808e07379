//! kvbench at the port of the other protocol.

use pinion_cluster::{Config, Node};
use std::process::Command;

#[test]
fn the_wrong_port_is_told_at_once_and_which_is_the_right_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(Config { shards: Some(1), pin: false, ..Config::ephemeral(dir.path()) }).unwrap();
    let (kv, resp) = (node.addresses().kv, node.addresses().resp.unwrap());
    for (db, target, right) in [("resp", kv, resp), ("pinion", resp, kv)] {
        for route in ["any", "direct"] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_kvbench"));
            command.args(["run", "--workload", "c", "--operations", "10", "--db", db, "--route", route]);
            // A run that tries again and again until it gives up takes longer than the whole test may.
            let output = command.args(["--target", &target.to_string()]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(&format!("on port {}", right.port())), "{db} {route}: {said}");
            assert!(!said.contains("stayed away"), "{db} {route}: {said}");
        }
    }
    node.stop().unwrap();
}
