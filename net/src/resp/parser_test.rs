use super::*;
use proptest::prelude::*;

fn commands(parser: &mut Parser, bytes: &[u8]) -> (Vec<Vec<Vec<u8>>>, Drained) {
    let mut seen = Vec::new();
    let drained = parser.each(bytes, |args| {
        seen.push(args.iter().map(|arg| arg.to_vec()).collect());
        Flow::Continue
    });
    (seen, drained)
}

#[track_caller]
fn invalid(bytes: &[u8], text: &str) {
    let (_, drained) = commands(&mut Parser::default(), bytes);
    let Stop::Invalid(error) = drained.stop else { panic!("{drained:?}") };
    assert_eq!(error.to_string(), text);
}

#[test]
fn errors_are_in_redis_words() {
    invalid(b"*a\r\n", "ERR Protocol error: invalid multibulk length");
    invalid(b"*1048577\r\n", "ERR Protocol error: invalid multibulk length");
    invalid(b"*99999999999999999999999", "ERR Protocol error: invalid multibulk length");
    invalid(b"*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'");
    invalid(b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length");
    invalid(
        b"*1\r\n$16777217\r\n",
        "ERR Protocol error: invalid bulk length: value of 16777217 bytes is over the limit of 16 MiB",
    );
    invalid(b"*1\r\n$05\r\nhello\r\n", "ERR Protocol error: invalid bulk length");
    invalid(b"SET \"a\r\n", "ERR Protocol error: unbalanced quotes in request");
    invalid(&[b'x'; (64 << 10) + 1], "ERR Protocol error: too big inline request");
    invalid(b"*1\r\n$2\r\nabc\r\n", "ERR Protocol error: expected a line break after the argument, got 'c'");
}

#[test]
fn empty_arrays_and_lines_are_skipped() {
    let (seen, drained) = commands(&mut Parser::default(), b"*0\r\n\r\n*-1\r\n\n   \r\nPING\r\n");
    assert_eq!(seen, [[b"PING".to_vec()]]);
    assert_eq!(drained, Drained { consumed: 23, stop: Stop::NeedMore { need: 1 } });
}

#[test]
fn a_pause_leaves_the_following_commands() {
    let bytes = b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n";
    let drained = Parser::default().each(bytes, |_| Flow::Pause);
    assert_eq!(drained, Drained { consumed: 14, stop: Stop::Paused });
}

#[test]
fn a_large_argument_says_how_much_it_needs() {
    let mut parser = Parser::default();
    let (_, drained) = commands(&mut parser, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\nxx");
    assert_eq!(drained, Drained { consumed: 0, stop: Stop::NeedMore { need: 20 + 10 + 1_000_000 + 2 } });
}

#[test]
fn a_command_over_the_limit_is_refused_before_it_is_buffered() {
    let mut parser = Parser::new(Limits { command_bytes_max: 100, ..Limits::default() });
    let (_, drained) = commands(&mut parser, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$90\r\n");
    assert_eq!(drained.stop, Stop::Invalid(ProtocolError::CommandTooBig(100)));
}

/// What comes of bytes when as many calls look at them as it takes.
fn finished<'a>(parser: &mut Parser, bytes: &'a [u8], args: &mut Args<'a>) -> Parsed {
    loop {
        match parser.next(bytes, args) {
            Parsed::Unfinished => {}
            parsed => return parsed,
        }
    }
}

#[test]
fn many_arguments_in_small_pieces_are_read_a_bounded_number_of_times() {
    let mut bytes = b"*100001\r\n$4\r\nMGET\r\n".to_vec();
    (0..100_000).for_each(|_| bytes.extend_from_slice(b"$1\r\nk\r\n"));
    let mut parser = Parser::default();
    let mut steps = 0;
    for end in (1..bytes.len()).step_by(64) {
        let before = parser.progress.at;
        let mut args = Args::new();
        assert!(matches!(finished(&mut parser, &bytes[..end], &mut args), Parsed::Incomplete { .. }));
        assert!(args.capacity() <= 8 || before == 0, "only the first look collects");
        steps += parser.progress.at - before;
    }
    assert!(steps <= bytes.len(), "each byte is checked once");
    let mut args = Args::new();
    assert_eq!(
        finished(&mut parser, &bytes, &mut args),
        Parsed::Long { start: 9, count: 100_001, consumed: bytes.len() }
    );
    assert!(args.is_empty(), "so many aren't collected at once");
}

fn encode(command: &[Vec<u8>], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for arg in command {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

fn some_commands() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let arg = proptest::collection::vec(any::<u8>(), 0..120);
    proptest::collection::vec(proptest::collection::vec(arg, 1..12), 1..6)
}

proptest! {
    #[test]
    fn commands_cut_anywhere_come_out_whole(commands in some_commands(), cuts in proptest::collection::vec(1..200usize, 1..20)) {
        let mut bytes = Vec::new();
        commands.iter().for_each(|command| encode(command, &mut bytes));
        let (mut parser, mut seen) = (Parser::default(), Vec::new());
        let (mut kept, mut at, mut cuts) = (Vec::new(), 0, cuts.into_iter().cycle());
        while at < bytes.len() {
            let end = bytes.len().min(at + cuts.next().unwrap());
            kept.extend_from_slice(&bytes[at..end]);
            at = end;
            let before = kept.len();
            let drained = parser.each(&kept, |args| {
                seen.push(args.iter().map(|arg| arg.to_vec()).collect::<Vec<_>>());
                Flow::Continue
            });
            let Stop::NeedMore { need } = drained.stop else { panic!("{drained:?}") };
            kept.drain(..drained.consumed);
            prop_assert!(need > before - drained.consumed);
            prop_assert!(need <= kept.len() + bytes.len() - at || at == bytes.len(), "it never asks for more than comes");
        }
        prop_assert_eq!(seen, commands);
    }

    #[test]
    fn any_bytes_are_parsed_the_same_whole_and_in_pieces(bytes in "[*$0-9\r\na-c \"'\\\\-]{0,80}", cut in 0..80usize) {
        let bytes = bytes.as_bytes();
        let (whole, at_once) = commands(&mut Parser::default(), bytes);
        let cut = cut.min(bytes.len());
        let mut parser = Parser::default();
        let (mut seen, first) = commands(&mut parser, &bytes[..cut]);
        if let Stop::NeedMore { .. } = first.stop {
            let (more, second) = commands(&mut parser, &bytes[first.consumed..]);
            seen.extend(more);
            prop_assert_eq!(second.consumed + first.consumed, at_once.consumed);
        }
        prop_assert_eq!(seen, whole);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        commands(&mut Parser::default(), &bytes);
    }
}

#[test]
fn how_long_a_line_may_be_does_not_depend_on_where_it_is_cut() {
    let limits = Limits { inline_bytes_max: 8, ..Limits::default() };
    for (line, fits) in
        [("12345678\n", true), ("12345678\r\n", true), ("123456789\n", false), ("123456789\r\n", false)]
    {
        for cut in 0..=line.len() {
            let mut parser = Parser::new(limits);
            let mut args = Args::new();
            let first = parser.next(&line.as_bytes()[..cut], &mut args);
            let last = match first {
                Parsed::Incomplete { .. } => parser.next(line.as_bytes(), &mut args),
                decided => decided,
            };
            assert_eq!(last != Parsed::Invalid(ProtocolError::InlineTooBig), fits, "{line:?} cut at {cut}");
        }
    }
}
