//! What command lines mean.

use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Kv, clap::Error> {
    Kv::try_parse_from(line.split(' '))
}

fn command(line: &str) -> Command {
    match parse(line).unwrap().input {
        Some(Input::Command(command)) => command,
        other => panic!("{line}: {other:?}"),
    }
}

fn key(text: &str) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

#[test]
fn the_definition_is_sound() {
    Kv::command().debug_assert();
    ShellLine::command().debug_assert();
}

#[test]
fn no_time_is_neither_a_ttl_nor_a_timeout() {
    assert!(parse("kv put k v --ttl 0s").is_err());
    assert!(parse("kv --timeout 0ms ping").is_err());
}

#[test]
fn a_put_takes_ttl_and_one_condition() {
    let Command::Put(put) = command("kv put k v --ttl 2h --if-version 7") else { panic!() };
    assert_eq!((put.ttl, put.if_version), (Some(Duration::from_secs(7200)), Some(7)));
    assert!(parse("kv put k v --if-absent --if-version 7").is_err());
    assert!(parse("kv put k").is_err());
}

#[test]
fn negative_numbers_and_the_dash_are_values() {
    assert_eq!(command("kv incr k -5"), Command::Incr { key: key("k"), by: -5 });
    assert_eq!(command("kv incr k"), Command::Incr { key: key("k"), by: 1 });
    let Command::Put(put) = command("kv put k -5") else { panic!() };
    assert_eq!(put.value, key("-5"));
    let Command::Put(put) = command("kv put k -") else { panic!() };
    assert!(put.value.is_stdin());
}

#[test]
fn options_go_before_the_command_or_after_it() {
    let kv = parse("kv -a one:1,two:2 --level strong --json scan --prefix p --limit 3").unwrap();
    assert_eq!(kv.options.address, ["one:1", "two:2"]);
    assert_eq!((kv.options.level, kv.options.json), (Some(Level::Strong), true));
    let Some(Input::Command(Command::Scan(range))) = kv.input else { panic!() };
    assert_eq!((range.bounds.prefix, range.limit), (key("p"), Some(3)));
    let kv = parse("kv get k --json -a one:1").unwrap();
    assert_eq!((kv.options.json, kv.options.address), (true, vec!["one:1".to_owned()]));
    assert!(parse("kv --level weak ping").is_err());
    assert!(parse("kv").unwrap().input.is_none());
}

#[test]
fn a_key_may_be_any_bytes() {
    let line = [b"get".to_vec(), vec![0xff, 0xfe]].map(OsString::from_vec);
    let line = ShellLine::try_parse_from(line).unwrap();
    assert_eq!(line.input, Input::Command(Command::Get { key: Bytes(vec![0xff, 0xfe]), raw: false }));
}

#[test]
fn other_stores_names_of_a_command_mean_the_same() {
    assert_eq!(command("kv set k v"), command("kv put k v"));
    assert_eq!(command("kv mset k v"), command("kv mput k v"));
    assert_eq!(command("kv incrby k 2"), command("kv incr k 2"));
    for name in ["delete", "rm", "remove"] {
        assert_eq!(command(&format!("kv {name} k")), command("kv del k"));
    }
    for name in ["exit", "quit"] {
        assert_eq!(parse(&format!("kv {name}")).unwrap().input, Some(Input::Exit));
    }
}
