//! Every workload, over both protocols and both routes.

use std::sync::Arc;

use pinion_cluster::config::Durability;
use pinion_cluster::{Config, Node};
use pinion_ycsb::db::{self, Database, EmbeddedOptions, Kind as Store};
use pinion_ycsb::operation::Plan;
use pinion_ycsb::run::{AWAY_MAX, Measured, Pacing, Progress, Settings, run};
use pinion_ycsb::workload::{Kind, Workload, named};

const RECORDS: u64 = 2_000;

struct Bench {
    node: Node,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn start() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::ephemeral(dir.path());
        config.shards = Some(2);
        config.pin = false;
        config.memory_bytes = 64 << 20;
        config.durability = Durability::None;
        Bench { node: Node::start(config).unwrap(), _dir: dir }
    }

    fn drive(&self, store: Store, is_direct: bool, letter: &str, is_load: bool) -> Measured {
        let mut properties = named(letter).unwrap();
        let records = format!("recordcount={RECORDS}");
        [records.as_str(), "dataintegrity=true", "fieldlength=20"]
            .iter()
            .for_each(|assignment| properties.set(assignment).unwrap());
        let workload = Arc::new(Workload::new(letter, &properties).unwrap());
        let operations = RECORDS;
        let settings = Settings {
            threads: 2,
            connections: 4,
            depth: 8,
            operations,
            duration: None,
            pacing: Pacing::Closed,
            seed: 1,
            away_max: AWAY_MAX,
        };
        let addresses = self.node.addresses();
        let target = if store == Store::Resp { addresses.resp.unwrap() } else { addresses.kv };
        let durability = pinion_engine::shard::Durability::None;
        let options = db::Options {
            kind: store,
            targets: vec![target.to_string()],
            is_direct,
            threads: 2,
            embedded: EmbeddedOptions { dir: "unused".into(), durability, memory_bytes: 0 },
            null_record: Vec::new(),
        };
        let plan = if is_load { Plan::load(workload) } else { Plan::run(workload, operations) };
        run(Database::find(&options).unwrap(), &plan, &settings, &mut Progress::none()).unwrap()
    }
}

#[track_caller]
fn all_well(measured: &Measured) {
    assert!(measured.error.is_none() && measured.first_failure.is_none(), "{measured:?}");
    let failed: u64 = measured.seconds.iter().map(|second| second.failed).sum();
    let ended: u64 = measured.seconds.iter().map(|second| second.operations).sum();
    assert_eq!((failed, ended), (0, RECORDS));
}

#[test]
fn every_workload_runs_over_the_binary_protocol_and_finds_what_was_written() {
    let bench = Bench::start();
    all_well(&bench.drive(Store::Pinion, true, "a", true));
    for (letter, is_direct) in [("a", true), ("b", false), ("c", true), ("f", false), ("d", true)] {
        all_well(&bench.drive(Store::Pinion, is_direct, letter, false));
    }
    db::clear(bench.node.addresses().kv).unwrap();
    let measured = bench.drive(Store::Pinion, true, "c", false);
    assert_eq!(measured.recorder.series(Kind::Read).unwrap().statuses, [0, RECORDS, 0, 0, 0]);
    all_well(&bench.drive(Store::Pinion, true, "e", true));
    let measured = bench.drive(Store::Pinion, true, "e", false);
    all_well(&measured);
    assert!(measured.recorder.series(Kind::Scan).unwrap().statuses[0] > RECORDS / 2);
    bench.node.stop().unwrap();
}

#[test]
fn resp_finds_the_same_records_through_the_common_port_and_the_cores_ports() {
    let bench = Bench::start();
    all_well(&bench.drive(Store::Resp, false, "a", true));
    all_well(&bench.drive(Store::Resp, true, "f", false));
    all_well(&bench.drive(Store::Pinion, true, "c", false));
    bench.node.stop().unwrap();
}
