use super::*;

fn workload(letter: &str, more: &[&str]) -> Result<Workload, PropertyError> {
    let mut properties = named(letter).unwrap();
    more.iter().for_each(|assignment| properties.set(assignment).unwrap());
    Workload::new(letter, &properties)
}

#[test]
fn what_is_no_workload_is_told_what_would_be_one() {
    let wrong = named("z").unwrap_err().to_string();
    assert!(wrong.starts_with("\"z\" is neither a letter from a to f nor a file"), "{wrong}");
}

#[test]
fn the_six_workloads_have_the_published_proportions() {
    // Read, update, insert, scan, read-modify-write.
    let expected = [
        ("a", [0.5, 0.5, 0.0, 0.0, 0.0], "zipfian"),
        ("B", [0.95, 0.05, 0.0, 0.0, 0.0], "zipfian"),
        ("c", [1.0, 0.0, 0.0, 0.0, 0.0], "zipfian"),
        ("d", [0.95, 0.0, 0.05, 0.0, 0.0], "latest"),
        ("e", [0.0, 0.0, 0.05, 0.95, 0.0], "zipfian"),
        ("f", [0.5, 0.0, 0.0, 0.0, 0.5], "zipfian"),
    ];
    for (letter, proportions, distribution) in expected {
        let workload = workload(letter, &[]).unwrap();
        assert_eq!(
            (workload.proportions, workload.distribution_name),
            (proportions, distribution),
            "{letter}"
        );
    }
    assert!(matches!(workload("e", &[]).unwrap().scan_length, FieldLength::Uniform(1, 100)));
}

#[test]
fn defaults_are_those_of_ycsb() {
    let plain = Workload::new("plain", &Properties::default()).unwrap();
    assert_eq!(plain.proportions, [0.95, 0.05, 0.0, 0.0, 0.0]);
    assert_eq!((plain.field_count, plain.distribution_name, plain.keys.zero_padding), (10, "uniform", 1));
    assert!(matches!(plain.field_lengths.0, FieldLength::Constant(100)));
    assert!(matches!(plain.scan_length, FieldLength::Uniform(1, 1000)));
    assert!(plain.read_all_fields && !plain.write_all_fields && plain.keys.hashed && !plain.data_integrity);
}

#[test]
fn the_load_is_the_part_that_insertstart_and_insertcount_say() {
    let part = workload("a", &["recordcount=100", "insertstart=40"]).unwrap();
    assert_eq!((part.insert_start, part.insert_count), (40, 60));
    let error = workload("a", &["recordcount=100", "insertstart=40", "insertcount=61"]).unwrap_err();
    assert!(error.to_string().starts_with("recordcount=100 is less than"), "{error}");
}

#[test]
fn properties_that_make_no_sense_are_named() {
    let cases = [
        ("requestdistribution=zipf", "requestdistribution=zipf: expected one of uniform, zipfian, latest"),
        ("readproportion=-1", "readproportion=-1: expected a number, 0 or more"),
        ("fieldcount=0", "fieldcount must be at least 1"),
        ("minscanlength=0", "minscanlength=0 must be at least 1"),
        ("fieldlength=20000000", "fields of 20000000 bytes are over the limit"),
    ];
    for (assignment, text) in cases {
        let error = workload("a", &[assignment]).unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let error = workload("a", &["dataintegrity=true", "fieldlengthdistribution=uniform"]).unwrap_err();
    assert!(error.to_string().contains("needs fieldlengthdistribution=constant"), "{error}");
}

#[test]
fn updates_read_unless_they_replace_everything() {
    assert!(workload("a", &[]).unwrap().updates_read());
    assert!(!workload("a", &["writeallfields=true"]).unwrap().updates_read());
    assert!(!workload("a", &["fieldcount=1"]).unwrap().updates_read());
}
