//! Precedence, checks and messages of the configuration.

use super::*;

fn layer(settings: &[(&'static str, &str)]) -> Layer {
    settings
        .iter()
        .map(|&(name, text)| {
            (name, Setting { text: text.to_owned(), origin: Origin::Flag(format!("--{name}")) })
        })
        .collect()
}

fn refusal(settings: &[(&'static str, &str)]) -> String {
    let error = Config::from_layers(&[layer(settings)]).expect_err("this configuration is wrong");
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

#[test]
fn an_earlier_layer_wins_and_defaults_come_last() {
    let config =
        Config::from_layers(&[layer(&[("shards", "3")]), layer(&[("shards", "2"), ("memory", "512MB")])])
            .unwrap();
    assert_eq!(config.shards, Some(3));
    assert_eq!(config.memory_bytes, 512_000_000);
    assert_eq!(config.listen.port(), 7400);
    assert_eq!(config.durability, Durability::Sync);
}

#[test]
fn every_durability_is_read() {
    for (text, expected) in
        [("sync", Durability::Sync), ("interval:50", Durability::IntervalMs(50)), ("none", Durability::None)]
    {
        let config = Config::from_layers(&[layer(&[("durability", text)])]).unwrap();
        assert_eq!(config.durability, expected);
        assert_eq!(config.durability.to_string(), text);
    }
}

#[test]
fn listeners_can_be_off() {
    let config = Config::from_layers(&[layer(&[("resp-listen", "off"), ("admin-listen", "off")])]).unwrap();
    assert_eq!((config.resp_listen, config.admin_listen), (None, None));
}

#[test]
fn wrong_values_are_refused_with_their_origin() {
    for (name, text) in [
        ("listen", "nonsense"),
        ("shards", "0"),
        ("shards", "many"),
        ("memory", "12X"),
        ("memory", "1MB"),
        ("durability", "interval:0"),
        ("partitions", "100"),
        ("node-id", "a b"),
        ("value-max", "17MiB"),
        ("cpus", "3-1"),
        ("cpus", "0,0"),
        ("log-format", "xml"),
        ("insecure", "perhaps"),
        ("join", "10.0.0.1:7400"),
        ("dir", ""),
    ] {
        assert!(refusal(&[(name, text)]).starts_with(&format!("--{name}: ")), "{name} {text}");
    }
}

#[test]
fn an_open_address_needs_insecure() {
    assert!(refusal(&[("resp-listen", "0.0.0.0:7379")]).contains("--insecure"));
    let open = [("resp-listen", "0.0.0.0:7379"), ("insecure", "true")];
    assert!(Config::from_layers(&[layer(&open)]).is_ok());
}

#[test]
fn shards_need_partitions_and_memory() {
    assert!(refusal(&[("shards", "65")]).contains("--partitions"));
    assert!(refusal(&[("shards", "4"), ("memory", "32MiB")]).contains("--memory 64MiB"));
}

#[test]
fn more_memory_than_the_machine_has_is_warned_of() {
    let config = Config::from_layers(&[layer(&[("memory", "900T")])]).unwrap();
    assert!(config.warnings[0].starts_with("--memory: 900T are more than"), "{:?}", config.warnings);
    assert_eq!(Config::from_layers(&[layer(&[("memory", "64MB")])]).unwrap().warnings, [""; 0]);
}

#[test]
fn variables_that_mean_nothing_are_named() {
    let names = ["PINION_DIR", "PINION_CONFIG", "PINION_NODE_ID", "PINION_MEMROY", "PINION_ADDRESS", "HOME"];
    let warnings = flags::unknown_variables(names.map(str::to_owned));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("PINION_MEMROY is no setting"), "{warnings:?}");
}

#[test]
fn flags_come_before_the_environment() {
    let parsed = flags::parse(["kvd", "--shards", "2", "--insecure"].map(Into::into)).unwrap();
    assert_eq!(parsed.flags["shards"].text, "2");
    assert_eq!(parsed.flags["insecure"].text, "true");
    assert!(!parsed.check);
    assert!(flags::parse(["kvd", "--nonsense"].map(Into::into)).is_err());
}

#[test]
fn a_time_to_drain_is_a_duration_or_seconds_up_to_an_hour() {
    for (text, ms) in [("0", 0), ("10", 10_000), ("1s", 1_000), ("500ms", 500), ("1h", 3_600_000)] {
        let config = Config::from_layers(&[layer(&[("drain-timeout", text)])]).unwrap();
        assert_eq!(config.drain_timeout, Duration::from_millis(ms), "{text}");
    }
    for text in ["3601", "1h1s", "-1", "soon"] {
        let refused = refusal(&[("drain-timeout", text)]);
        assert!(refused.contains("--drain-timeout") && refused.contains("from 0s to 1h"), "{refused}");
    }
}

#[test]
fn a_time_for_requests_is_a_duration_or_seconds_within_bounds() {
    for (text, ms) in
        [("10ms", 10), ("500ms", 500), ("3s", 3_000), ("2m", 120_000), ("7", 7_000), ("1h", 3_600_000)]
    {
        let config = Config::from_layers(&[layer(&[("request-timeout", text)])]).unwrap();
        assert_eq!(config.request_timeout, Duration::from_millis(ms), "{text}");
    }
    for text in ["0", "9ms", "2h", "abc", "", "5 parsecs"] {
        let refused = refusal(&[("request-timeout", text)]);
        assert!(refused.contains("--request-timeout") && refused.contains("10ms to 1h"), "{refused}");
    }
}
