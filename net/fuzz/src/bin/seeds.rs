//! Writes the seeds of the protocols' targets: `seeds DIR` makes `DIR/TARGET/NAME`. Everything comes from our own encoders. `DIR/session` is for the
//! node's connections, in the package of the cluster.

use pinion_net::resp::{Encoder, Protocol, command_table};
use pinion_net::wire::{
    BatchBuilder, Command, Condition, ErrorCode, Expiry, Features, Hello, Home, KeyListBuilder, Level,
    Limits, Map, NodePorts, Once, Opcode, Range, Request, Responder, Scan, ServerHello, ValueRef,
};
use pinion_net_fuzz::{MAGIC, SEAL};
use std::num::NonZeroU128;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Flag of a connection's input: it speaks the Redis protocol.
const RESP: u8 = 0x80;

fn main() {
    let Some(dir) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds DIR");
        process::exit(2);
    };
    requests(&dir);
    responses(&dir);
    commands(&dir);
    replies(&dir);
    for (name, seed) in
        [("star", &b"a*b?c\xffaxxbyc"[..]), ("class", b"[a-z]*[^0-9]\\*\xffabc*"), ("empty", b"\xff")]
    {
        write(&dir, "resp_glob", name, seed);
    }
}

fn write(dir: &Path, target: &str, name: &str, bytes: &[u8]) {
    let dir = dir.join(target);
    fs::create_dir_all(&dir).and_then(|()| fs::write(dir.join(name), bytes)).expect("seeds can be written");
}

/// Writes a seed of one protocol, and the same for a connection of a node.
fn write_both(dir: &Path, target: &str, name: &str, bytes: &[u8]) {
    write(dir, target, name, bytes);
    let mut bytes = bytes.to_vec();
    bytes[0] = if target == "resp_commands" { RESP } else { SEAL | MAGIC };
    write(dir, "session", &format!("{target}-{name}"), &bytes);
}

fn requests(dir: &Path) {
    let (mut keys, mut ops) = (KeyListBuilder::default(), BatchBuilder::default());
    for key in [&b"a"[..], b"key", b"{tag}key"] {
        keys.push(key).expect("the key is short");
        ops.put(key, b"value", Expiry::After(1000)).expect("the value is short");
        ops.delete(key).expect("the key is short");
    }
    let key = &b"key"[..];
    let client = NonZeroU128::new(7).expect("it isn't zero");
    let range = Range { from: b"a", to: b"z", prefix: b"k" };
    let put = |expiry, condition| Command::Put { key, value: b"value", expiry, condition, want_old: true };
    let all = [
        ("hello", Command::Hello(Hello::new("seed", Features::CHECKSUM, b"proof"))),
        ("hello-once", Command::Hello(Hello::new("seed", Features::ONCE, b"").with_client(client))),
        ("ping", Command::Ping { payload: b"payload" }),
        ("info", Command::Info),
        ("get", Command::Get { key }),
        ("exists", Command::Exists { key }),
        ("multi-get", Command::MultiGet { keys: keys.list() }),
        ("put", put(Expiry::Never, Condition::None)),
        ("put-at", put(Expiry::At(5), Condition::Absent)),
        ("put-keep", put(Expiry::Keep, Condition::Version(7))),
        (
            "delete",
            Command::Delete { key, condition: Condition::Present, want_old: false, want_existed: true },
        ),
        ("increment", Command::Increment { key, by: -3 }),
        ("expire", Command::Expire { key, expiry: Expiry::After(50) }),
        ("batch", Command::Batch { ops: ops.ops() }),
        ("scan", Command::Scan(Scan { range, cursor: b"", limit: 10, keys_only: true })),
        ("scan-on", Command::Scan(Scan { range, cursor: b"cursor", limit: 10, keys_only: false })),
        ("count", Command::Count(range)),
        ("clear", Command::Clear),
    ];
    let mut together = vec![SEAL | MAGIC];
    let once = Once { number: 9, lowest: 7, first_sent_us: 1 << 50, is_again: true };
    let numbered = all.iter().filter(|(_, command)| !command.opcode().is_read());
    let numbered: Vec<_> =
        numbered.map(|(name, command)| (format!("{name}-once"), Some(once), *command)).collect();
    let plain = all.into_iter().map(|(name, command)| (name.to_owned(), None, command));
    for (name, once, command) in plain.chain(numbered) {
        for checked in [false, true] {
            let request =
                Request { id: 9, level: Level::Default, keyspace: 0, deadline_ms: 100, once, command };
            let mut bytes = vec![SEAL | MAGIC];
            request
                .encode(&Limits::default(), checked, &mut bytes)
                .expect("the request is within the limits");
            together.extend_from_slice(&bytes[1..]);
            write_both(
                dir,
                "wire_requests",
                &format!("{name}{}", if checked { "-checked" } else { "" }),
                &bytes,
            );
        }
    }
    write_both(dir, "wire_requests", "pipelined", &together);
}

fn server_hello() -> ServerHello {
    let node = NodePorts { id: 5, host: "localhost".to_owned(), port: 7400, core_ports: vec![7401, 7402] };
    let homes = (0..8).map(|partition| Home { node: 0, core: partition % 2 }).collect();
    ServerHello {
        version: 1,
        features: Features::CHECKSUM,
        server_version: "pinion 0.1.0".to_owned(),
        map: Map { epoch: 1, nodes: vec![node], homes },
        ..ServerHello::default()
    }
}

fn responses(dir: &Path) {
    let value = ValueRef { bytes: b"value", version: 1 << 40, expiry: 77 };
    let save = |opcode: Opcode, name: &str, encode: &dyn Fn(Responder, &mut Vec<u8>)| {
        for checked in [false, true] {
            let mut bytes = vec![SEAL | MAGIC];
            encode(Responder::for_parts(9, opcode as u8, checked), &mut bytes);
            write(dir, "wire_responses", &format!("{name}{}", if checked { "-checked" } else { "" }), &bytes);
        }
    };
    save(Opcode::Get, "value", &|to, out| to.value(out, value));
    save(Opcode::Get, "not-found", &|to, out| to.forwarded().not_found(out));
    save(Opcode::Put, "written", &|to, out| to.written(out, 5, Some(value)));
    save(Opcode::Put, "not-met", &|to, out| to.not_met(out, Some(value)));
    save(Opcode::Put, "unknown", &|to, out| to.unknown(out, ErrorCode::LOG_FAILED, "text"));
    save(Opcode::Increment, "integer", &|to, out| to.integer(out, -3));
    save(Opcode::Clear, "done", &|to, out| to.done(out));
    save(Opcode::Ping, "bytes", &|to, out| to.bytes(out, b"payload"));
    save(Opcode::Scan, "refused", &|to, out| to.refused(out, ErrorCode::BUSY, "text"));
    save(Opcode::Hello, "hello", &|to, out| to.hello(out, &server_hello()));
    save(Opcode::MultiGet, "results", &|to, out| {
        let mut results = to.results(out, 3, value.bytes.len());
        results.push(out, Some(value));
        results.push(out, None);
        results.push_refused(out, ErrorCode::DAMAGED, "text");
        results.finish(out);
    });
    save(Opcode::Batch, "outcomes", &|to, out| {
        let mut outcomes = to.outcomes(out);
        outcomes.done(out, 1, 7);
        outcomes.refused(out, 2, ErrorCode::BUSY, "text");
        outcomes.unknown(out, 3, ErrorCode::LOG_FAILED, "text");
        outcomes.finish(out);
    });
    save(Opcode::Scan, "page", &|to, out| {
        let mut page = to.page(out);
        page.push(out, b"key", value);
        page.push(out, b"other", value);
        page.finish(out, Some(b"cursor"));
    });
}

fn commands(dir: &Path) {
    let mut all = vec![0];
    for info in command_table::COMMANDS {
        let args = info.arity.unsigned_abs() as usize;
        let mut seed = vec![0];
        pinion_net::resp::client::encode(&vec![info.name.as_bytes(); args.max(1)], &mut seed);
        write_both(dir, "resp_commands", info.name, &seed);
        all.extend_from_slice(&seed[1..]);
    }
    write_both(dir, "resp_commands", "all", &all);
    for (name, line) in [
        ("inline", &b"\x00SET a \"\\x41 b\" EX 10 NX GET\r\nGET 'a b'\r\n\r\nPING\n"[..]),
        ("in-pieces", b"\x06*3\r\n$3\r\nSET\r\n$1\r\na\r\n$12\r\nabcdefghijkl\r\n*0\r\n*-1\r\nPING\r\n"),
        ("small-limits", b"\x05*2\r\n$3\r\nGET\r\n$1\r\na\r\n*9\r\n"),
    ] {
        write_both(dir, "resp_commands", name, line);
    }
}

fn replies(dir: &Path) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = Vec::new();
        let mut reply = Encoder::new(&mut out, protocol);
        reply.array(6);
        reply.map(1);
        reply.simple("a");
        reply.null();
        reply.bulk(b"b\r\n");
        reply.set(2);
        reply.boolean(true);
        reply.double(0.5);
        reply.text("t");
        reply.error("ERR no");
        reply.integer(-7);
        write(dir, "resp_replies", &format!("{protocol:?}").to_lowercase(), &out);
    }
    write(dir, "resp_replies", "push", b">2\r\n+a\r\n(123\r\n!5\r\nERR a\r\n*-1\r\n");
}
