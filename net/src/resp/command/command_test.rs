use super::*;
use proptest::prelude::*;

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[track_caller]
fn error(line: &str) -> String {
    let words = words(line);
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match Command::parse(&args) {
        Ok(command) => panic!("{line} is {command:?}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(line: &str, expected: Command<'_>) {
    let words = words(line);
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    assert_eq!(Command::parse(&args), Ok(expected), "{line}");
}

#[test]
fn errors_are_in_redis_words() {
    // Taken from redis-server 7.0, except where docs/resp.md names a difference.
    let cases = [
        ("foo a b", "ERR unknown command 'foo', with args beginning with: 'a' 'b' "),
        ("MULTI", "ERR unknown command 'MULTI', with args beginning with: "),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("PING a b", "ERR wrong number of arguments for 'ping' command"),
        ("MSET a 1 b", "ERR wrong number of arguments for 'mset' command"),
        ("SET a b EX", "ERR syntax error"),
        ("SET a b EX 1 PX 1", "ERR syntax error"),
        ("SET a b EX 1 KEEPTTL", "ERR syntax error"),
        ("SET a b NX XX", "ERR syntax error"),
        ("SET a b PERSIST", "ERR syntax error"),
        ("SET a b EX x", "ERR value is not an integer or out of range"),
        ("SET a b EX 0", "ERR invalid expire time in 'set' command"),
        ("SET a b PX -1", "ERR invalid expire time in 'set' command"),
        ("SET a b EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
        ("SETEX a 0 b", "ERR invalid expire time in 'setex' command"),
        ("PSETEX a 9223372036854775807 b", "ERR invalid expire time in 'psetex' command"),
        ("GETEX a EX 0", "ERR invalid expire time in 'getex' command"),
        ("GETEX a EX 1 PERSIST", "ERR syntax error"),
        ("GETEX a KEEPTTL", "ERR syntax error"),
        ("EXPIRE a b", "ERR value is not an integer or out of range"),
        ("EXPIRE a 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("EXPIRE a 1 FOO", "ERR Unsupported option FOO"),
        ("EXPIRE a 1 NX GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE a 1 GT LT", "ERR GT and LT options at the same time are not compatible"),
        ("INCRBY a 1.5", "ERR value is not an integer or out of range"),
        ("DECRBY a -9223372036854775808", "ERR decrement would overflow"),
        ("SCAN a", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        ("SCAN 0 COUNT x", "ERR value is not an integer or out of range"),
        ("SCAN 0 MATCH", "ERR syntax error"),
        ("FLUSHALL NOW", "ERR syntax error"),
        ("SELECT 99", "ERR DB index is out of range"),
        ("SELECT a", "ERR value is not an integer or out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO x", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 FOO", "ERR Syntax error in HELLO option 'FOO'"),
        ("CLIENT", "ERR wrong number of arguments for 'client' command"),
        ("CLIENT FOO", "ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        ("CLIENT SETNAME", "ERR wrong number of arguments for 'client|setname' command"),
        ("CLIENT SETNAME a\nb", "ERR Client names cannot contain spaces, newlines or special characters."),
        ("CONFIG SET a b c", "ERR syntax error"),
        ("CLUSTER COUNTKEYSINSLOT 16384", "ERR Invalid slot"),
        ("WAIT 1 x", "ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "ERR timeout is negative"),
    ];
    for (line, text) in cases {
        assert_eq!(error(line), text, "{line}");
    }
}

#[test]
fn an_unknown_command_quotes_a_bounded_part_of_its_arguments() {
    let long = "x".repeat(1000);
    let text = error(&format!("{long} {long} {long}"));
    assert!(text.len() < 350, "{}", text.len());
}

#[test]
fn set_reads_its_options_in_any_order() {
    let plain = Set::plain(b"k", b"v");
    check("set k v", Command::Set(plain));
    check(
        "SET k v keepttl xx",
        Command::Set(Set { expiry: NewExpiry::Keep, condition: SetCondition::Present, ..plain }),
    );
    check(
        "SET k v GET PXAT 5",
        Command::Set(Set { expiry: NewExpiry::AtMs(5), reply: SetReply::Old, ..plain }),
    );
    check("SETNX k v", Command::Set(Set { condition: SetCondition::Absent, reply: SetReply::Bit, ..plain }));
    check("PSETEX k 7 v", Command::Set(Set { expiry: NewExpiry::AfterMs(7), ..plain }));
    check("GETSET k v", Command::Set(Set { reply: SetReply::Old, ..plain }));
}

#[test]
fn an_expiry_that_has_passed_becomes_the_first_millisecond() {
    for line in ["EXPIRE k -1", "PEXPIRE k 0", "EXPIREAT k 0", "PEXPIREAT k -5"] {
        let (expiry, condition) = (NewExpiry::AtMs(1), ExpireCondition::Always);
        check(line, Command::Expire { key: b"k", expiry, condition });
    }
    let (expiry, condition) = (NewExpiry::AfterMs(2000), ExpireCondition::Later);
    check("EXPIRE k 2 xx gt", Command::Expire { key: b"k", expiry, condition });
}

#[test]
fn the_other_commands_carry_their_arguments() {
    check("DECRBY k 5", Command::IncrBy { key: b"k", by: -5 });
    check("MGET a b", Command::MGet(&[b"a", b"b"]));
    check("UNLINK a b", Command::Del(&[b"a", b"b"]));
    let scan = Scan { cursor: u64::MAX, pattern: Some(b"a*"), count: 50, kind: Some(b"string") };
    check("SCAN 18446744073709551615 match a* count 50 type string", Command::Scan(scan));
    check("substr k 0 -1", Command::GetRange { key: b"k", start: 0, end: -1 });
    check("client no-evict on", Command::Client(Client::Accepted));
    let auth = Some(Auth { user: Some(b"default"), password: b"x" });
    check(
        "HELLO 3 AUTH default x SETNAME me",
        Command::Hello(Hello { protocol: Some(crate::resp::Protocol::Resp3), auth, name: Some(b"me") }),
    );
    check("POST / HTTP/1.1", Command::Http);
}

#[test]
fn pairs_keep_keys_beside_their_values() {
    let args: [&[u8]; 5] = [b"MSET", b"a", b"1", b"b", b"2"];
    let Ok(Command::MSet(pairs)) = Command::parse(&args) else { panic!() };
    assert_eq!(pairs.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"1"[..]), (b"b", b"2")]);
}

#[test]
fn value_ranges_are_those_of_getrange() {
    let part = |start, end| &"This is a string"[value_range(16, start, end)];
    assert_eq!(part(0, 3), "This");
    assert_eq!(part(-3, -1), "ing");
    assert_eq!(part(0, -1), "This is a string");
    assert_eq!(part(10, 100), "string");
    assert_eq!(part(-100, -100), "T");
    assert_eq!(part(-1, -2), "");
    assert_eq!(part(20, 30), "");
    assert_eq!(value_range(0, 0, -1), 0..0);
    assert_eq!(value_range(5, i64::MIN, i64::MAX), 0..5);
}

#[test]
fn ttl_forms_round_as_redis_does() {
    assert_eq!(TtlForm::Seconds.reply(Some(2_500), 1_000), 2);
    assert_eq!(TtlForm::Seconds.reply(Some(2_499), 1_000), 1);
    assert_eq!(TtlForm::Milliseconds.reply(Some(2_499), 1_000), 1_499);
    assert_eq!(TtlForm::UnixSeconds.reply(Some(2_499), 1_000), 2);
    assert_eq!(TtlForm::UnixMilliseconds.reply(None, 1_000), -1);
}

fn any_args() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let names: Vec<Vec<u8>> = crate::resp::command_table::COMMANDS
        .iter()
        .flat_map(|info| std::iter::once(info.name).chain(info.subcommands.iter().map(|sub| sub.0)))
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let options =
        ["EX", "PX", "NX", "XX", "GET", "KEEPTTL", "GT", "LT", "MATCH", "COUNT", "1", "0", "-1", "3"];
    let arg = prop_oneof![
        proptest::sample::select(names.clone()),
        proptest::sample::select(options.map(|option| option.as_bytes().to_vec()).to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    (proptest::sample::select(names), proptest::collection::vec(arg, 0..6))
        .prop_map(|(name, rest)| std::iter::once(name).chain(rest).collect())
}

proptest! {
    #[test]
    fn any_arguments_give_a_command_or_an_error(args in any_args()) {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let _ = Command::parse(&args);
    }

    #[test]
    fn value_ranges_stay_inside_the_value(len in 0..100usize, start: i64, end: i64) {
        prop_assert!(value_range(len, start, end).end <= len);
    }
}

#[test]
fn names_of_clients_are_short() {
    let (most, more) = ([b'n'; 256], [b'n'; 257]);
    assert!(Command::parse(&[b"CLIENT", b"SETNAME", &most]).is_ok());
    let refused = "ERR names of clients and libraries are at most 256 bytes long";
    for command in [
        &[&b"CLIENT"[..], b"SETNAME", &more][..],
        &[b"CLIENT", b"SETINFO", b"lib-ver", &more],
        &[b"HELLO", b"3", b"SETNAME", &more],
    ] {
        let error = Command::parse(command).unwrap_err();
        assert_eq!(String::from_utf8_lossy(error.as_ref()), refused);
    }
}
