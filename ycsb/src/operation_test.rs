use super::*;
use crate::workload::named;
use std::collections::{BTreeMap, HashMap};

fn plan(letter: &str, more: &[&str], is_load: bool) -> Plan {
    let mut properties = named(letter).unwrap();
    more.iter().for_each(|assignment| properties.set(assignment).unwrap());
    let workload = Arc::new(Workload::new(letter, &properties).unwrap());
    if is_load { Plan::load(workload) } else { Plan::run(workload, 10_000) }
}

/// Runs operations one by one against a map and returns what was recorded.
fn run(
    plan: Plan,
    operations: u64,
    store: &mut BTreeMap<Vec<u8>, Vec<u8>>,
) -> HashMap<&'static str, [u64; 5]> {
    let mut planner = Planner::new(plan, 5);
    let mut recorder = Recorder::new(Instant::now(), Arc::default());
    let (mut draft, mut next) = (Draft::default(), Draft::default());
    for _ in 0..operations {
        let now = Instant::now();
        let mut operation = planner.begin(now, now, &mut draft);
        loop {
            let cursor = b"next".as_slice();
            let outcome = match draft.request() {
                Request::Read { key } => {
                    store.get(key).map_or(Outcome::NotFound, |value| Outcome::Value(value))
                }
                Request::Write { key, value } => {
                    store.insert(key.to_vec(), value.to_vec());
                    Outcome::Done
                }
                Request::Scan { limit, cursor: given, .. } => {
                    assert!(given.is_empty() || given == cursor);
                    Outcome::Page { rows: 30.min(limit as usize), cursor: (limit > 30).then_some(cursor) }
                }
            };
            let step = planner.answered(&mut operation, &outcome, now, &mut recorder, &mut next);
            std::mem::swap(&mut draft, &mut next);
            if step == Next::Done {
                break;
            }
        }
    }
    let series = |kind: Kind| recorder.series(kind).map(|series| (kind.name(), series.statuses));
    Kind::ALL.into_iter().filter_map(series).collect()
}

fn total(counts: &HashMap<&'static str, [u64; 5]>, name: &str) -> u64 {
    counts.get(name).map_or(0, |statuses| statuses.iter().sum())
}

#[test]
fn a_load_writes_every_record_once() {
    let mut store = BTreeMap::new();
    let counts = run(plan("a", &["recordcount=50"], true), 50, &mut store);
    assert_eq!(counts, HashMap::from([("INSERT", [50, 0, 0, 0, 0])]));
    assert_eq!(store.len(), 50);
    assert!(store.values().all(|value| value.len() == 1040));
    assert!(store.contains_key(b"user6284781860667377211".as_slice()));
}

#[test]
fn updating_one_field_is_one_update_and_leaves_the_others() {
    let mut store = BTreeMap::new();
    run(plan("a", &["recordcount=1"], true), 1, &mut store);
    let before = store.values().next().unwrap().clone();
    let update = ["recordcount=1", "readproportion=0", "updateproportion=1"];
    let counts = run(plan("a", &update, false), 1, &mut store);
    assert_eq!(counts, HashMap::from([("UPDATE", [1, 0, 0, 0, 0])]));
    let after = store.values().next().unwrap();
    let fields = record::decode(10, &before).unwrap().zip(record::decode(10, after).unwrap());
    assert_eq!(fields.filter(|(old, new)| old != new).count(), 1);
}

#[test]
fn read_modify_write_is_recorded_as_a_whole_and_in_parts() {
    let mut store = BTreeMap::new();
    run(plan("f", &["recordcount=20"], true), 20, &mut store);
    let counts = run(plan("f", &["recordcount=20"], false), 1000, &mut store);
    let rmw = total(&counts, "READ-MODIFY-WRITE");
    assert!((400..600).contains(&rmw), "{rmw}");
    assert_eq!((total(&counts, "UPDATE"), total(&counts, "READ")), (rmw, 1000));
}

#[test]
fn operations_are_drawn_in_their_proportions() {
    let mut store = BTreeMap::new();
    run(plan("d", &["recordcount=100"], true), 100, &mut store);
    let counts = run(plan("d", &["recordcount=100"], false), 20_000, &mut store);
    let inserts = total(&counts, "INSERT");
    assert!((850..1150).contains(&inserts), "{inserts}");
    assert_eq!(store.len() as u64, 100 + inserts);
    assert_eq!(counts["READ"][Status::NotFound as usize], 0, "only acknowledged records are read");
}

#[test]
fn a_scan_goes_on_until_it_has_its_rows() {
    let counts = run(plan("e", &["recordcount=100", "insertproportion=0"], false), 100, &mut BTreeMap::new());
    assert_eq!(counts, HashMap::from([("SCAN", [100, 0, 0, 0, 0])]));
}

#[test]
fn a_missing_record_is_not_found_and_is_not_written() {
    let mut store = BTreeMap::new();
    let counts = run(plan("f", &["recordcount=10"], false), 100, &mut store);
    assert!(counts.iter().all(|(_, statuses)| statuses[0] == 0));
    assert!(store.is_empty() && !counts.contains_key("UPDATE"));
}

#[test]
fn changed_bytes_are_noticed_where_integrity_is_checked() {
    let properties = ["recordcount=10", "dataintegrity=true"];
    let mut store = BTreeMap::new();
    run(plan("a", &properties, true), 10, &mut store);
    let counts = run(plan("a", &properties, false), 500, &mut store);
    assert!(counts.values().all(|statuses| statuses[1..] == [0; 4]), "{counts:?}");
    store.values_mut().for_each(|value| value[60] ^= 1);
    let counts = run(plan("c", &properties, false), 100, &mut store);
    assert_eq!(counts["READ"], [0, 0, 100, 0, 0]);
}
