//! What a server receives on the Redis protocol's port.
//!
//! Bound on memory: 256 KiB and 128 bytes for each byte of input: an inline argument of one byte is a vector of its own, and this target keeps
//! three copies of all commands.
//!
//! - The same commands come out whether the bytes come at once or in pieces. So does an error, but perhaps not before as many bytes are there as
//!   the command would need.
//! - A parser that needs more says how much, and that is more than there is.
//! - A command is typed or answered by one line of error; written again, it parses to the same arguments.
//! - What a client says of itself forges no line of CLIENT LIST.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinion_net::resp::client::encode;
use pinion_net::resp::command_table::Name;
use pinion_net::resp::{Client, Command, CommandId, Encoder, Flow, Limits, Parser, Protocol, ProtocolError, Stop};
use pinion_net_fuzz::bound;

type Commands = Vec<Vec<Vec<u8>>>;

fuzz_target!(|input: &[u8]| {
    bound::within((256 << 10) + 128 * input.len(), || run(input));
});

fn run(input: &[u8]) {
    let (&flags, bytes) = input.split_first().unwrap_or((&0, b""));
    let limits = match flags & 1 {
        0 => Limits::default(),
        _ => Limits {
            bulk_bytes_max: 64,
            inline_bytes_max: 64,
            args_max: 8,
            command_bytes_max: 128,
            run_args_max: 4,
            look_args_max: 5,
        },
    };
    let (at_once, end) = whole(bytes, limits);
    let (in_pieces, same_end, kept) = pieces(bytes, limits, usize::from(flags >> 1) + 1);
    assert_eq!(at_once, in_pieces, "the same commands, in whatever pieces they come");
    assert!(
        end == same_end || (same_end.is_none() && end == whole(&kept, limits).1),
        "{end:?}, {same_end:?}"
    );
    for args in &at_once {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        check(&args, &mut Vec::new());
    }
}

fn collect(found: &mut Commands) -> impl FnMut(&[&[u8]]) -> Flow {
    |args| {
        found.push(args.iter().map(|arg| arg.to_vec()).collect());
        Flow::Continue
    }
}

fn error_of(stop: Stop, left: usize) -> Option<ProtocolError> {
    match stop {
        Stop::NeedMore { need } => {
            assert!(need > left, "{need} bytes are needed and {left} there");
            None
        }
        Stop::Invalid(error) => Some(error),
        Stop::Paused => panic!("nobody paused it"),
    }
}

fn whole(bytes: &[u8], limits: Limits) -> (Commands, Option<ProtocolError>) {
    let mut found = Commands::new();
    let drained = Parser::new(limits).each(bytes, collect(&mut found));
    (found, error_of(drained.stop, bytes.len() - drained.consumed))
}

fn pieces(bytes: &[u8], limits: Limits, len: usize) -> (Commands, Option<ProtocolError>, Vec<u8>) {
    let (mut found, mut kept, mut parser) = (Commands::new(), Vec::new(), Parser::new(limits));
    for piece in bytes.chunks(len) {
        kept.extend_from_slice(piece);
        let drained = parser.each(&kept, collect(&mut found));
        kept.drain(..drained.consumed);
        if let Some(error) = error_of(drained.stop, kept.len()) {
            return (found, Some(error), kept);
        }
    }
    (found, None, kept)
}

fn check(args: &[&[u8]], out: &mut Vec<u8>) {
    let name = Name::first_of(args);
    let (id, command) = (CommandId::of(name, args), Command::of(name, args));
    match command {
        Ok(Command::Command(query)) => query.answer(&mut Encoder::new(out, Protocol::Resp3)),
        Ok(Command::Client(Client::SetName(text) | Client::SetInfo(_, text))) => {
            assert!(text.iter().all(u8::is_ascii_graphic), "forges a line: {text:?}");
        }
        Ok(Command::Client(Client::List(filter) | Client::Kill(filter))) => {
            assert_eq!(filter.numbers().count(), filter.ids.len());
        }
        Ok(_) => {}
        Err(error) => {
            let mut line = Vec::new();
            Encoder::new(&mut line, Protocol::Resp2).error(error);
            assert!(line.ends_with(b"\r\n") && line.iter().filter(|&&byte| byte == b'\n').count() == 1);
        }
    }
    assert!(id == CommandId::NONE || CommandId::find(id.to_string().as_bytes()) == Some(id));
    let mut again = Vec::new();
    encode(args, &mut again);
    let mut found = Commands::new();
    let drained = Parser::default().each(&again, collect(&mut found));
    assert_eq!(
        (drained.consumed, found.as_slice()),
        (again.len(), [args.iter().map(|arg| arg.to_vec()).collect::<Vec<_>>()].as_slice())
    );
}
