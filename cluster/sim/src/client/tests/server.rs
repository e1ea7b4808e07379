//! A server in memory that speaks both protocols. Parts of requests run at random times, in order per connection and
//! partition; answers of the binary protocol leave in any order.

use super::store::{Answer, Lie, Store, ttl};
use crate::client::Dialect;
use crate::client::request::{Key, Request, SetReply};
use crate::model::op::{Condition, ExpireCondition, NewExpiry, Update};
use crate::model::seen::TtlUnit;
use pinion_net::resp::{self, Args, Parser, Protocol, ReplyQueue, Sequence, glob};
use pinion_net::wire::{self, ErrorCode, Limits, OpKind, Parsed, Responder, ServerHello, ValueRef, parse};
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

enum Whom {
    Resp(Sequence),
    Wire(Responder),
}

enum Work {
    Request(Request),
    RespScan { cursor: u64, pattern: Vec<u8>, count: usize },
    Keys(Vec<u8>),
    Count { prefix: Vec<u8>, from: Vec<u8>, to: Vec<u8> },
    Page { prefix: Vec<u8>, from: Vec<u8>, to: Vec<u8>, limit: usize, keys_only: bool },
}

struct Job {
    whom: Whom,
    work: Work,
    /// Partitions that have yet to do their part.
    missing: Vec<u16>,
    answers: BTreeMap<u16, Answer>,
}

/// A connection of the server.
pub struct Conn {
    dialect: Dialect,
    parser: Parser,
    inbox: Vec<u8>,
    replies: ReplyQueue<()>,
    jobs: VecDeque<Job>,
    pub out: Vec<u8>,
    /// Answers of the binary protocol that may leave.
    ready: Vec<Vec<u8>>,
    pub closes: bool,
    checked: bool,
    pub is_gone: bool,
}

impl Conn {
    pub fn new(dialect: Dialect) -> Conn {
        Conn {
            dialect,
            parser: Parser::default(),
            inbox: Vec::new(),
            replies: ReplyQueue::new(),
            jobs: VecDeque::new(),
            out: Vec::new(),
            ready: Vec::new(),
            closes: false,
            checked: false,
            is_gone: false,
        }
    }

    pub fn has_work(&self) -> bool {
        !self.jobs.is_empty() || !self.ready.is_empty()
    }

    pub fn received(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while at < inbox.len() && !self.closes {
            let taken = if self.dialect.is_resp() {
                self.take_resp(&inbox[at..])
            } else {
                self.take_wire(&inbox[at..])
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        self.inbox = inbox[at..].to_vec();
    }

    fn take_resp(&mut self, bytes: &[u8]) -> usize {
        let mut args = Args::new();
        let mut parser = std::mem::take(&mut self.parser);
        let parsed = parser.next(bytes, &mut args);
        self.parser = parser;
        match parsed {
            resp::Parsed::Command { consumed } => {
                let sequence = self.replies.begin(());
                match resp::Command::parse(&args) {
                    Ok(command) => self.resp_command(sequence, &command),
                    Err(error) => {
                        self.replies.complete(sequence, &mut self.out, |reply| reply.error(&error));
                    }
                };
                consumed
            }
            resp::Parsed::Inline { consumed, .. } => {
                self.replies.answer((), &mut self.out, |reply| reply.error("ERR Protocol error"));
                self.closes = true;
                consumed
            }
            resp::Parsed::Long { .. } | resp::Parsed::Unfinished => {
                unreachable!("these clients name few keys")
            }
            resp::Parsed::Empty { consumed } => consumed,
            resp::Parsed::Incomplete { .. } => 0,
            resp::Parsed::Invalid(error) => {
                self.replies.answer((), &mut self.out, |reply| reply.error(error.to_string()));
                self.closes = true;
                bytes.len()
            }
        }
    }

    fn resp_command(&mut self, sequence: Sequence, command: &resp::Command<'_>) {
        use resp::Command as C;
        let keys = |keys: &[&[u8]]| keys.iter().map(|key| Key::from(*key)).collect::<Vec<_>>();
        let work = match *command {
            C::Hello(hello) => {
                if let Some(protocol) = hello.protocol {
                    self.replies.set_protocol(protocol);
                }
                self.replies.complete(sequence, &mut self.out, |reply| {
                    let is_resp3 = reply.protocol() == Protocol::Resp3;
                    reply.map(1);
                    reply.bulk(b"proto");
                    reply.integer(if is_resp3 { 3 } else { 2 });
                });
                return;
            }
            C::Get { key } => Work::Request(Request::Get(key.into())),
            C::Set(set) => Work::Request(Request::Set {
                key: set.key.into(),
                bytes: set.value.into(),
                expiry: new_expiry(set.expiry),
                condition: match set.condition {
                    resp::SetCondition::Always => Condition::Always,
                    resp::SetCondition::Absent => Condition::Absent,
                    resp::SetCondition::Present => Condition::Present,
                },
                reply: match set.reply {
                    resp::SetReply::Ok => SetReply::Ok,
                    resp::SetReply::Bit => SetReply::Bit,
                    resp::SetReply::Old => SetReply::Old,
                },
            }),
            C::GetDel { key } => Work::Request(Request::GetDel(key.into())),
            C::MGet(list) => Work::Request(Request::MultiGet(keys(list))),
            C::MSet(pairs) => {
                let put = |bytes: &[u8]| Update::Put {
                    bytes: bytes.into(),
                    expiry: NewExpiry::Never,
                    condition: Condition::Always,
                    old: false,
                };
                Work::Request(Request::Batch(
                    pairs.iter().map(|(key, value)| (key.into(), put(value))).collect(),
                ))
            }
            C::Del(list) => Work::Request(Request::Del(keys(list))),
            C::Exists(list) => Work::Request(Request::Exists(keys(list))),
            C::Expire { key, expiry, condition } => Work::Request(Request::Expire {
                key: key.into(),
                expiry: new_expiry(expiry),
                condition: match condition {
                    resp::ExpireCondition::Always => ExpireCondition::Always,
                    resp::ExpireCondition::HasNone => ExpireCondition::HasNone,
                    resp::ExpireCondition::HasOne => ExpireCondition::HasOne,
                    resp::ExpireCondition::Later => ExpireCondition::Later,
                    resp::ExpireCondition::Earlier => ExpireCondition::Earlier,
                },
            }),
            C::Persist { key } => Work::Request(Request::Expire {
                key: key.into(),
                expiry: NewExpiry::Never,
                condition: ExpireCondition::HasOne,
            }),
            C::Ttl { key, form: resp::TtlForm::Seconds } => {
                Work::Request(Request::Ttl(key.into(), TtlUnit::Seconds))
            }
            C::Ttl { key, .. } => Work::Request(Request::Ttl(key.into(), TtlUnit::Milliseconds)),
            C::IncrBy { key, by } => Work::Request(Request::Add { key: key.into(), by }),
            C::Append { key, suffix } => {
                Work::Request(Request::Append { key: key.into(), suffix: suffix.into() })
            }
            C::StrLen { key } => Work::Request(Request::StrLen(key.into())),
            C::Scan(scan) => {
                let pattern = scan.pattern.unwrap_or(b"*").to_vec();
                Work::RespScan { cursor: scan.cursor, pattern, count: scan.count }
            }
            C::Keys { pattern } => Work::Keys(pattern.to_vec()),
            C::DbSize => Work::Count { prefix: vec![], from: vec![], to: vec![] },
            C::Flush => Work::Request(Request::Clear),
            ref other => panic!("clients don't send {other:?}"),
        };
        self.jobs.push_back(Job {
            whom: Whom::Resp(sequence),
            work,
            missing: Vec::new(),
            answers: BTreeMap::new(),
        });
    }

    fn take_wire(&mut self, bytes: &[u8]) -> usize {
        let limits = Limits::default();
        let (frame, length) = match parse(bytes, &limits) {
            Parsed::Frame(frame, length) => (frame, length),
            Parsed::Incomplete { .. } => return 0,
            Parsed::Invalid(error) => {
                let mut out = Vec::new();
                Responder::for_error(&error).error(&mut out, &error);
                self.ready.push(out);
                self.closes = true;
                return bytes.len();
            }
        };
        let mut out = Vec::new();
        match wire::Request::decode(&frame, &limits) {
            Ok(request) if request.keyspace != 0 => {
                let responder = Responder::new(&request, self.checked);
                responder.refused(&mut out, ErrorCode::UNKNOWN_KEYSPACE, "");
            }
            Ok(request) => self.wire_command(&request, &mut out),
            Err(error) => Responder::for_frame(&frame, self.checked).error(&mut out, &error),
        }
        if !out.is_empty() {
            self.ready.push(out);
        }
        length
    }

    fn wire_command(&mut self, request: &wire::Request<'_>, out: &mut Vec<u8>) {
        use wire::Command as C;
        let responder = Responder::new(request, self.checked);
        let range = |range: &wire::Range<'_>| (range.prefix.to_vec(), range.from.to_vec(), range.to.to_vec());
        let work = match request.command {
            C::Hello(hello) => {
                self.checked = hello.features.has(wire::Features::CHECKSUM);
                let map = wire::Map {
                    epoch: 1,
                    nodes: vec![wire::NodePorts { id: 1, host: String::new(), port: 1, core_ports: vec![1] }],
                    homes: vec![wire::Home { node: 0, core: 0 }],
                };
                return responder.hello(out, &ServerHello { version: 1, map, ..ServerHello::default() });
            }
            C::Get { key } => Work::Request(Request::Get(key.into())),
            C::Exists { key } => Work::Request(Request::Exists(vec![key.into()])),
            C::MultiGet { keys } => Work::Request(Request::MultiGet(keys.iter().map(Rc::from).collect())),
            C::Put { key, value, expiry, condition, want_old } => Work::Request(Request::Set {
                key: key.into(),
                bytes: value.into(),
                expiry: wire_expiry(expiry),
                condition: wire_condition(condition),
                reply: if want_old { SetReply::Old } else { SetReply::Ok },
            }),
            C::Delete { key, condition, want_old, want_existed } => Work::Request(Request::Delete {
                key: key.into(),
                condition: wire_condition(condition),
                old: want_old,
                existed: want_existed,
            }),
            C::Increment { key, by } => Work::Request(Request::Add { key: key.into(), by }),
            C::Expire { key, expiry } => Work::Request(Request::Expire {
                key: key.into(),
                expiry: wire_expiry(expiry),
                condition: ExpireCondition::Always,
            }),
            C::Batch { ops } => {
                let updates = ops.iter().map(|op| {
                    let update = match op.kind {
                        OpKind::Put { value, expiry } => Update::Put {
                            bytes: value.into(),
                            expiry: wire_expiry(expiry),
                            condition: Condition::Always,
                            old: false,
                        },
                        OpKind::Delete => Update::Delete { condition: Condition::Always, old: false },
                    };
                    (op.key.into(), update)
                });
                Work::Request(Request::Batch(updates.collect()))
            }
            C::Clear => Work::Request(Request::Clear),
            C::Count(ref asked) => {
                let (prefix, from, to) = range(asked);
                Work::Count { prefix, from, to }
            }
            C::Scan(ref scan) => {
                let (prefix, from, to) = range(&scan.range);
                let from = from.max(scan.cursor.to_vec());
                let limit = if scan.limit == 0 { 1000 } else { scan.limit as usize };
                Work::Page { prefix, from, to, limit, keys_only: scan.keys_only }
            }
            ref other => panic!("clients don't send {other:?}"),
        };
        self.jobs.push_back(Job {
            whom: Whom::Wire(responder),
            work,
            missing: Vec::new(),
            answers: BTreeMap::new(),
        });
    }

    /// Does one part of one request, and answers it if it was the last.
    pub fn step(&mut self, store: &mut Store, cursors: &mut Vec<Vec<u8>>, rng: &mut SmallRng) {
        if store.lie == Lie::SwapsPipelined && self.jobs.len() > 1 && rng.random_range(0..4) == 0 {
            let both_writes = self.jobs.iter().take(2).all(|job| {
                matches!(&job.work, Work::Request(request) if !super::store::is_read(request))
                    && job.missing.is_empty()
            });
            if both_writes {
                store.lies += 1;
                self.jobs.swap(0, 1);
            }
        }
        if !self.jobs.is_empty() && rng.random_range(0..3) > 0 {
            self.run_some(store, cursors, rng);
        }
        if !self.ready.is_empty() && rng.random() {
            let index = rng.random_range(0..self.ready.len());
            let bytes = self.ready.swap_remove(index);
            self.out.extend_from_slice(&bytes);
        }
    }

    fn run_some(&mut self, store: &mut Store, cursors: &mut Vec<Vec<u8>>, rng: &mut SmallRng) {
        // A job may overtake those before it in partitions that they don't touch.
        let mut busy: Vec<u16> = Vec::new();
        for index in 0..self.jobs.len().min(4) {
            let job = &mut self.jobs[index];
            let Work::Request(request) = &job.work else {
                if index == 0 {
                    let job = self.jobs.pop_front().expect("it was there");
                    self.walk(job, store, cursors, rng);
                }
                return;
            };
            if job.missing.is_empty() {
                job.missing = match request {
                    Request::Clear => (0..store.partitions).collect(),
                    request => request.keys().iter().map(|key| store.partition_of(key)).collect(),
                };
                job.missing.sort_unstable();
                job.missing.dedup();
            }
            let free: Vec<u16> =
                job.missing.iter().copied().filter(|partition| !busy.contains(partition)).collect();
            busy.extend(&job.missing);
            if free.is_empty() || rng.random_range(0..3) == 0 {
                continue;
            }
            let partition = free[rng.random_range(0..free.len())];
            let answer = run_part(request, partition, store, rng);
            job.missing.retain(|missing| *missing != partition);
            job.answers.insert(partition, answer);
            if job.missing.is_empty() {
                let job = self.jobs.remove(index).expect("it was there");
                self.answer(job, store, rng);
            }
            return;
        }
    }

    fn walk(&mut self, job: Job, store: &mut Store, cursors: &mut Vec<Vec<u8>>, rng: &mut SmallRng) {
        let mut items = store.items(rng);
        if store.lie == Lie::CountsWrong && rng.random_range(0..3) == 0 && items.pop().is_some() {
            store.lies += 1;
        }
        let keep = |items: &mut Vec<(Vec<u8>, super::store::Cell)>, prefix: &[u8], from: &[u8], to: &[u8]| {
            items.retain(|(key, _)| {
                key.starts_with(prefix) && key.as_slice() >= from && (to.is_empty() || key.as_slice() < to)
            });
        };
        match (&job.work, &job.whom) {
            (Work::Keys(pattern), Whom::Resp(sequence)) => {
                items.retain(|(key, _)| glob::matches(pattern, key));
                self.replies.complete(*sequence, &mut self.out, |reply| {
                    reply.array(items.len());
                    items.iter().for_each(|(key, _)| reply.bulk(key));
                });
            }
            (Work::RespScan { cursor, pattern, count }, Whom::Resp(sequence)) => {
                let from = cursor.checked_sub(1).map_or(&[][..], |place| &cursors[place as usize]);
                keep(&mut items, b"", from, b"");
                let rest = items.split_off((*count).min(items.len()));
                let next = match rest.first() {
                    Some((key, _)) => {
                        cursors.push(key.clone());
                        cursors.len()
                    }
                    None => 0,
                };
                items.retain(|(key, _)| glob::matches(pattern, key));
                self.replies.complete(*sequence, &mut self.out, |reply| {
                    reply.array(2);
                    reply.bulk(next.to_string().as_bytes());
                    reply.array(items.len());
                    items.iter().for_each(|(key, _)| reply.bulk(key));
                });
            }
            (Work::Count { prefix, from, to }, whom) => {
                keep(&mut items, prefix, from, to);
                let count = items.len() as i64;
                match whom {
                    Whom::Resp(sequence) => {
                        self.replies.complete(*sequence, &mut self.out, |reply| reply.integer(count))
                    }
                    Whom::Wire(responder) => {
                        let mut out = Vec::new();
                        responder.integer(&mut out, count);
                        self.ready.push(out);
                        true
                    }
                };
            }
            (Work::Page { prefix, from, to, limit, keys_only }, Whom::Wire(responder)) => {
                keep(&mut items, prefix, from, to);
                let rest = items.split_off((*limit).min(items.len()));
                let mut out = Vec::new();
                let mut page = responder.page(&mut out);
                for (key, cell) in &items {
                    let bytes = if *keys_only { &[][..] } else { &cell.bytes };
                    page.push(&mut out, key, value_ref(cell, bytes));
                }
                page.finish(&mut out, rest.first().map(|(key, _)| key.as_slice()));
                self.ready.push(out);
            }
            _ => unreachable!("walks are made with their kind of answer"),
        }
    }

    fn answer(&mut self, job: Job, store: &mut Store, rng: &mut SmallRng) {
        let Work::Request(request) = &job.work else { return };
        if !self.is_gone {
            for (partition, answer) in &job.answers {
                if let Answer::Written { version, .. } | Answer::Number(_, version) = answer {
                    store.answered(*partition, *version);
                }
            }
        }
        store.catch_up(rng);
        match job.whom {
            Whom::Resp(sequence) => {
                let values = in_order(request, &job.answers, store);
                let clock_ms = store.clock_ms;
                self.replies.complete(sequence, &mut self.out, |reply| {
                    super::answers::resp(request, &job.answers, &values, clock_ms, reply);
                });
            }
            Whom::Wire(responder) => {
                let values = in_order(request, &job.answers, store);
                let mut out = Vec::new();
                super::answers::wire(request, &job.answers, &values, responder, &mut out);
                self.ready.push(out);
            }
        }
    }
}

/// The values of a read in the order of its keys.
fn in_order(
    request: &Request,
    answers: &BTreeMap<u16, Answer>,
    store: &Store,
) -> Vec<Option<super::store::Cell>> {
    let mut next: BTreeMap<u16, usize> = BTreeMap::new();
    request
        .keys()
        .iter()
        .filter_map(|key| {
            let partition = store.partition_of(key);
            let Some(Answer::Values(values)) = answers.get(&partition) else { return None };
            let place = next.entry(partition).or_default();
            *place += 1;
            values.get(*place - 1).cloned()
        })
        .collect()
}

fn run_part(request: &Request, partition: u16, store: &mut Store, rng: &mut SmallRng) -> Answer {
    if super::store::is_read(request) {
        let keys: Vec<&[u8]> = request
            .keys()
            .into_iter()
            .filter(|key| store.partition_of(key) == partition)
            .map(|key| &**key)
            .collect();
        return store.read(&keys, rng);
    }
    let is_lie = store.lie == Lie::WritesWhatItRefused;
    if rng.random_range(0..60) == 0 && !matches!(request, Request::Clear) {
        if is_lie {
            store.lies += 1;
            do_part(request, partition, store, rng);
        }
        return Answer::Busy;
    }
    do_part(request, partition, store, rng)
}

fn do_part(request: &Request, partition: u16, store: &mut Store, rng: &mut SmallRng) -> Answer {
    use crate::model::Ask;
    match request.ask() {
        Ask::Update(key, update) => store.update_one(&key, &update, rng),
        Ask::Batch(updates) => {
            let mine: Vec<_> =
                updates.into_iter().filter(|(key, _)| store.partition_of(key) == partition).collect();
            store.update_many(&mine, rng)
        }
        Ask::Clear => store.clear(partition, rng),
        Ask::Read(_) => unreachable!("reads were done"),
    }
}

pub fn value_ref<'a>(cell: &super::store::Cell, bytes: &'a [u8]) -> ValueRef<'a> {
    ValueRef { bytes, version: cell.version, expiry: cell.expiry_ms.unwrap_or(0) }
}

fn new_expiry(expiry: resp::NewExpiry) -> NewExpiry {
    match expiry {
        resp::NewExpiry::Never => NewExpiry::Never,
        resp::NewExpiry::Keep => NewExpiry::Keep,
        resp::NewExpiry::AfterMs(ms) => NewExpiry::After(ms),
        resp::NewExpiry::AtMs(ms) => NewExpiry::At(ms),
    }
}

fn wire_expiry(expiry: wire::Expiry) -> NewExpiry {
    match expiry {
        wire::Expiry::Never => NewExpiry::Never,
        wire::Expiry::Keep => NewExpiry::Keep,
        wire::Expiry::After(ms) => NewExpiry::After(ms),
        wire::Expiry::At(ms) => NewExpiry::At(ms),
    }
}

fn wire_condition(condition: wire::Condition) -> Condition {
    match condition {
        wire::Condition::None => Condition::Always,
        wire::Condition::Absent => Condition::Absent,
        wire::Condition::Present => Condition::Present,
        wire::Condition::Version(version) => Condition::Version(version),
    }
}

/// How a time to live is told.
pub fn told_ttl(cell: Option<&super::store::Cell>, unit: TtlUnit, clock_ms: u64) -> i64 {
    ttl(cell, unit, clock_ms)
}
