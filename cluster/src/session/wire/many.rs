//! Requests on many keys: one request per partition, atomic there; the response is put together from the parts.
//!
//! A response is one frame, so its values are gathered before it leaves: as many as fit it, and as the memory for connections
//! has room for, one at least. Those left out are asked for again by the client. A long value is gathered in pieces that are
//! freed as they are copied into the response, so that it isn't there twice.

use super::answer::value_ref;
use super::{Call, Taken, condition, put_expiry, ticket, with};
use crate::core::bulk::Share;
use crate::core::sockets::Sockets;
use crate::core::turn::Turn;
use crate::core::weight::Weight;
use crate::session::limits::ROOM_BYTES_MAX;
use crate::session::pieces::Pieces;
use crate::session::refusals;
use crate::session::settled::Ending;
use crate::session::waits::Wait;
use crate::stats::Class;
use pinion_engine::key::{Expiry, Keyspace, Partition, Version};
use pinion_engine::shard::request::{Answer, Op, PutExpiry, Request, Update, Value};
use pinion_net::reactor::ConnId;
use pinion_net::wire::{BatchOps, Condition, ErrorCode, KeyList, OpKind, Responder, ResultsEncoder};
use std::ops::Range;

/// The parts of a response that have come.
pub struct Gather {
    kind: Kind,
    /// Places of the keys in the request, sorted by partition; and where each part begins, and the end of the last.
    order: Vec<u32>,
    starts: Vec<u32>,
    /// For each part how many of its keys are answered.
    answered: Vec<u32>,
    partitions: Vec<Partition>,
    /// Answers that are missing.
    missing: usize,
    /// Per key (values) or per partition (outcomes).
    parts: Vec<Part>,
    /// Values, but for long ones; and how much those take.
    bytes: Vec<u8>,
    long_bytes: usize,
    /// How the first part ended that didn't come to a good end.
    failed: Option<Ending>,
    /// Of a batch: see [`Bulk`](crate::core::bulk::Bulk).
    share: Option<Share>,
}

impl Gather {
    /// How the request ends for the statistics, if not as its last part did.
    pub fn failed(&self) -> Option<Ending> {
        self.failed
    }

    /// Bytes of the values that have come.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.long_bytes
    }

    /// Places in the response of those keys of a part that aren't answered.
    fn rest(&self, part: usize) -> &[u32] {
        &self.order[(self.starts[part] + self.answered[part]) as usize..self.starts[part + 1] as usize]
    }

    /// Answers that a part still has to come.
    pub fn due(&self, part: usize) -> usize {
        if self.kind == Kind::Values { self.rest(part).len() } else { 1 }
    }

    /// Whether a value of so many bytes fits the response beside those that have come.
    pub fn fits(&self, bytes: usize) -> bool {
        ResultsEncoder::fits(self.parts.len(), self.bytes() + bytes)
    }

    /// Whether a read of a part that is kept for want of room is of use. Else its keys are left out; `true` if nothing is
    /// missing then.
    pub fn wait(&mut self, part: usize, wait: &Wait, has_memory: bool) -> Result<(), bool> {
        if self.fits(wait.bytes) && (has_memory || self.bytes() == 0) {
            return Ok(());
        }
        Err(self.fill(part, || Part::LeftOut))
    }

    /// The rest of a part comes to this; `true` if nothing is missing any more.
    fn fill(&mut self, part: usize, with: impl Fn() -> Part) -> bool {
        let rest = self.rest(part).to_vec();
        self.answered[part] += rest.len() as u32;
        self.missing -= rest.len();
        rest.into_iter().for_each(|place| self.parts[place as usize] = with());
        self.missing == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Values, one a key.
    Values,
    /// Outcomes, one a partition.
    Outcomes,
    /// Done when all partitions are.
    AllDone,
}

enum Part {
    Missing,
    Absent,
    Value {
        bytes: Range<usize>,
        version: Version,
        expiry: Expiry,
    },
    Long {
        pieces: Box<Pieces>,
        version: Version,
        expiry: Expiry,
    },
    /// There is a value, but no room for it in the response.
    LeftOut,
    Done(Version),
    Refused(ErrorCode, String),
    Unknown(String),
}

impl Part {
    /// The same for another key. It says no more than its code does: the text would be there once for each key.
    fn without_text(&self) -> Part {
        match self {
            Part::Refused(code, _) => Part::Refused(*code, String::new()),
            Part::Unknown(_) => Part::Unknown(String::new()),
            _ => Part::Missing,
        }
    }
}

/// What is remembered of each key of a request until it is answered: its part, its place, and at most where that begins.
pub const BYTES_PER_KEY: usize = size_of::<Part>() + 3 * size_of::<u32>();

/// Keys by partition; `None` if a core they need has no room yet (then the connection is held).
fn gather<'k>(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    kind: Kind,
    keys: impl Iterator<Item = &'k [u8]>,
) -> Option<Gather> {
    let mut homes: Vec<(Partition, usize, u32)> = Vec::new();
    for (place, key) in keys.enumerate() {
        let (partition, core) = turn.home(key);
        homes.push((partition, core, place as u32)); // a frame has room for fewer than 2^24 keys
    }
    homes.sort_unstable();
    let (mut starts, mut partitions) = (Vec::new(), Vec::new());
    for (index, &(partition, core, _)) in homes.iter().enumerate() {
        if partitions.last() != Some(&partition) {
            if !turn.has_room(core, conn) {
                return None;
            }
            partitions.push(partition);
            starts.push(index as u32);
        }
    }
    starts.push(homes.len() as u32);
    let missing = if kind == Kind::Values { homes.len() } else { partitions.len() };
    let parts = (0..missing).map(|_| Part::Missing).collect();
    let order = homes.into_iter().map(|(_, _, place)| place).collect();
    let answered = vec![0; partitions.len()];
    Some(Gather {
        kind,
        order,
        starts,
        answered,
        partitions,
        missing,
        parts,
        bytes: Vec::new(),
        long_bytes: 0,
        failed: None,
        share: None,
    })
}

/// The places of a part's keys in the request, for each part.
fn groups(gather: &Gather) -> Vec<(Partition, Vec<u32>)> {
    let places =
        |part: usize| gather.order[gather.starts[part] as usize..gather.starts[part + 1] as usize].to_vec();
    gather.partitions.iter().enumerate().map(|(part, &partition)| (partition, places(part))).collect()
}

fn begin(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    responder: Responder,
    class: Class,
    gather: Gather,
) -> Option<usize> {
    let started_us = turn.hub.now.mono_us;
    let call = Call { gather: Some(Box::new(gather)), ..Call::new(responder, class, started_us) };
    with(turn, conn, |wire| wire.insert(call))
}

/// MULTI-GET.
pub fn get(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    responder: Responder,
    list: KeyList<'_>,
) -> Taken {
    let keys: Vec<&[u8]> = list.iter().collect();
    if keys.is_empty() {
        responder.results(turn.io.output(conn), 0, 0).finish(turn.io.output(conn));
        return Taken::Yes;
    }
    let Some(gather) = gather(turn, conn, Kind::Values, keys.iter().copied()) else { return Taken::NotYet };
    let groups = groups(&gather);
    let Some(place) = begin(turn, conn, responder, Class::Read, gather) else { return Taken::Yes };
    let per_key = turn.room_per_read(conn).min(ROOM_BYTES_MAX / keys.len());
    let mut wanted: Vec<&[u8]> = Vec::new();
    for (part, (partition, places)) in groups.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(places.into_iter().map(|place| keys[place as usize]));
        let op = Op::GetMany { keys: &wanted, values: true };
        let request = Request { keyspace: Keyspace(0), partition, op };
        turn.submit_read(ticket(conn, place, part), per_key * wanted.len(), request);
    }
    Taken::Yes
}

/// BATCH.
pub fn batch(
    turn: &mut Turn<'_, impl Sockets>,
    conn: ConnId,
    responder: Responder,
    ops: BatchOps<'_>,
) -> Taken {
    let Some(share) = turn.begin_batch(ops.len(), conn) else { return Taken::NotYet };
    let updates: Vec<(&[u8], Update<'_>)> = ops
        .iter()
        .map(|op| {
            let update = match op.kind {
                OpKind::Put { value, expiry } => Update::Put {
                    value,
                    expiry: put_expiry(expiry),
                    condition: condition(Condition::None),
                    want_old: false,
                },
                OpKind::Delete => Update::Delete {
                    condition: condition(Condition::None),
                    want_old: false,
                    want_existed: false,
                },
            };
            (op.key, update)
        })
        .collect();
    if updates.is_empty() {
        responder.outcomes(turn.io.output(conn)).finish(turn.io.output(conn));
        return Taken::Yes;
    }
    if updates.iter().any(|(_, update)| expires_too_late(update, turn.hub.wall_ms)) {
        let text = "an expiry lies beyond what 64 bits of milliseconds hold; nothing of the batch was done";
        responder.refused(turn.io.output(conn), ErrorCode::LIMIT, text);
        return Taken::Yes;
    }
    let keys = updates.iter().map(|(key, _)| *key);
    let Some(mut gather) = gather(turn, conn, Kind::Outcomes, keys) else { return Taken::NotYet };
    let groups = groups(&gather);
    let weight = Weight::batch(&updates);
    for (partition, _) in &groups {
        let core = turn.hub.node.placement.core_of(*partition);
        if !turn.may_write(conn, core, weight) {
            return Taken::NotYet;
        }
    }
    gather.share = Some(share);
    let Some(place) = begin(turn, conn, responder, Class::Write, gather) else { return Taken::Yes };
    let mut wanted: Vec<(&[u8], Update<'_>)> = Vec::new();
    for (part, (partition, places)) in groups.into_iter().enumerate() {
        wanted.clear();
        wanted.extend(places.into_iter().map(|place| updates[place as usize]));
        let core = turn.hub.node.placement.core_of(partition);
        with(turn, conn, |wire| wire.wrote_to = Some(core));
        let op = Op::UpdateMany { updates: &wanted };
        turn.submit(ticket(conn, place, part), Request { keyspace: Keyspace(0), partition, op });
    }
    Taken::Yes
}

/// Whether a shard would refuse this expiry, and so a part of the batch beside others that are done.
fn expires_too_late(update: &Update<'_>, now_ms: u64) -> bool {
    matches!(update, Update::Put { expiry: PutExpiry::After(ms), .. } if now_ms.checked_add(*ms).is_none())
}

/// CLEAR: every partition of every core.
pub fn clear(turn: &mut Turn<'_, impl Sockets>, conn: ConnId, responder: Responder) -> Taken {
    let partitions: Vec<Partition> = turn.hub.node.placement.all().collect();
    let gather = Gather {
        kind: Kind::AllDone,
        order: Vec::new(),
        starts: vec![0; partitions.len() + 1],
        answered: vec![0; partitions.len()],
        missing: partitions.len(),
        parts: partitions.iter().map(|_| Part::Missing).collect(),
        partitions: partitions.clone(),
        bytes: Vec::new(),
        long_bytes: 0,
        failed: None,
        share: None,
    };
    let Some(place) = begin(turn, conn, responder, Class::Write, gather) else { return Taken::Yes };
    for (part, partition) in partitions.into_iter().enumerate() {
        let request = Request { keyspace: Keyspace(0), partition, op: Op::Clear };
        turn.submit(ticket(conn, place, part), request);
    }
    Taken::Yes
}

/// Takes in the answer of a part; `true` if nothing is missing any more.
pub fn take(gather: &mut Gather, part: usize, answer: &Answer<'_>) -> bool {
    let ending = Ending::of(answer);
    if ending != Ending::Done && gather.failed.is_none() {
        gather.failed = Some(ending);
    }
    match *answer {
        Answer::Item { value, .. } => {
            if let Some(&place) = gather.rest(part).first() {
                let kept = value.map_or(Part::Absent, |value| keep(gather, value));
                gather.parts[place as usize] = kept;
                gather.answered[part] += 1;
                gather.missing -= 1;
            }
            gather.missing == 0
        }
        _ if gather.kind == Kind::Values => {
            // The first of its keys says why, for all.
            let outcome = outcome(answer);
            let first = gather.rest(part).first().copied();
            let is_complete = gather.fill(part, || outcome.without_text());
            if let Some(place) = first {
                gather.parts[place as usize] = outcome;
            }
            is_complete
        }
        _ => {
            gather.parts[part] = outcome(answer);
            gather.missing -= 1;
            gather.missing == 0
        }
    }
}

/// Keeps a value for the response, if it fits that beside what the results of all keys need.
fn keep(gather: &mut Gather, value: Value<'_>) -> Part {
    let Value { bytes, version, expiry } = value;
    if !gather.fits(bytes.len()) {
        return Part::LeftOut;
    }
    if bytes.len() > Pieces::BYTES {
        gather.long_bytes += bytes.len();
        return Part::Long { pieces: Box::new(Pieces::of(bytes)), version, expiry };
    }
    let start = gather.bytes.len();
    gather.bytes.extend_from_slice(bytes);
    Part::Value { bytes: start..gather.bytes.len(), version, expiry }
}

fn outcome(answer: &Answer<'_>) -> Part {
    match answer {
        Answer::Written { version, .. } => Part::Done(*version),
        Answer::Refused(refusal) => {
            let (code, text) = refusals::told(refusal);
            Part::Refused(code, text)
        }
        Answer::Unknown(text) => Part::Unknown((*text).to_owned()),
        _ => Part::Refused(ErrorCode::INTERNAL, "a batch was answered with something else".to_owned()),
    }
}

/// Writes the response when all parts are there.
pub fn respond(responder: Responder, gather: Gather, out: &mut Vec<u8>) {
    match gather.kind {
        Kind::Values => respond_values(responder, gather, out),
        Kind::Outcomes => respond_outcomes(responder, &gather, out),
        Kind::AllDone => respond_all_done(responder, &gather, out),
    }
}

fn respond_values(responder: Responder, gather: Gather, out: &mut Vec<u8>) {
    let mut results = responder.results(out, gather.parts.len(), gather.bytes());
    for part in gather.parts {
        match part {
            Part::Value { bytes, version, expiry } => {
                let bytes = &gather.bytes[bytes];
                results.push(out, Some(value_ref(Value { bytes, version, expiry })));
            }
            Part::Long { mut pieces, version, expiry } => {
                results.push_head(out, pieces.bytes(), version.0, expiry.0);
                while !pieces.is_gone() {
                    pieces.leave(out);
                }
            }
            Part::LeftOut => results.push_refused(out, ErrorCode::LIMIT, LEFT_OUT),
            Part::Refused(code, text) => results.push_refused(out, code, &text),
            Part::Unknown(text) => results.push_refused(out, ErrorCode::UNAVAILABLE, &text),
            Part::Missing | Part::Absent | Part::Done(_) => results.push(out, None),
        }
    }
    results.finish(out);
}

/// Why a value isn't in the response to a MULTI-GET.
const LEFT_OUT: &str = "the response is full; ask for this key again";

fn respond_outcomes(responder: Responder, gather: &Gather, out: &mut Vec<u8>) {
    let mut outcomes = responder.outcomes(out);
    for (partition, part) in gather.partitions.iter().zip(&gather.parts) {
        match part {
            Part::Done(version) => outcomes.done(out, partition.0, version.0),
            Part::Refused(code, text) => outcomes.refused(out, partition.0, *code, text),
            Part::Unknown(text) => outcomes.unknown(out, partition.0, ErrorCode::LOG_FAILED, text),
            Part::Missing | Part::Absent | Part::LeftOut | Part::Value { .. } | Part::Long { .. } => {
                outcomes.unknown(out, partition.0, ErrorCode::INTERNAL, "");
            }
        }
    }
    outcomes.finish(out);
}

/// It was refused only if every part was: what one part says of itself doesn't hold for the others.
fn respond_all_done(responder: Responder, gather: &Gather, out: &mut Vec<u8>) {
    let all = gather.parts.len();
    let done = gather.parts.iter().filter(|part| matches!(part, Part::Done(_))).count();
    let refused = gather.parts.iter().filter(|part| matches!(part, Part::Refused(..))).count();
    let failed = gather.parts.iter().find_map(|part| match part {
        Part::Refused(code, text) => Some((*code, text.as_str())),
        Part::Unknown(text) => Some((ErrorCode::LOG_FAILED, text.as_str())),
        _ => None,
    });
    match failed {
        None => responder.done(out),
        Some((code, text)) if refused == all => responder.refused(out, code, text),
        Some((code, text)) if done == 0 && refused == 0 => responder.unknown(out, code, text),
        Some((_, text)) => {
            let text = format!("{done} of {all} partitions are done; another says: {text}");
            responder.unknown(out, ErrorCode::PARTIAL, &text);
        }
    }
}
