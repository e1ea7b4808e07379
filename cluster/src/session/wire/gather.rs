//! The response to a request on many keys ([`super::many`]), until all its parts have come.

use super::translate::value_ref;
use crate::session::bulk::Share;
use crate::session::groups::Groups;
use crate::session::pieces::Pieces;
use crate::session::refusals;
use crate::session::settled::Ending;
use crate::session::waits::Wait;
use pinion_engine::key::{Expiry, Partition, Version};
use pinion_engine::shard::request::{Answer, Value};
use pinion_net::wire::{ErrorCode, Responder, ResultsEncoder};
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
    /// Of a batch, held until it is answered: see [`Bulk`](crate::session::bulk::Bulk).
    _share: Option<Share>,
}

impl Gather {
    /// Of keys in these groups, of which none is answered.
    pub(super) fn new(kind: Kind, groups: &Groups, share: Option<Share>) -> Gather {
        let missing = if kind == Kind::Values { groups.order.len() } else { groups.parts.len() };
        Gather {
            kind,
            order: groups.order.clone(),
            starts: groups.starts(),
            answered: vec![0; groups.parts.len()],
            partitions: groups.parts.iter().map(|&(partition, _)| partition).collect(),
            missing,
            parts: (0..missing).map(|_| Part::Missing).collect(),
            bytes: Vec::new(),
            long_bytes: 0,
            failed: None,
            _share: share,
        }
    }

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
pub(super) enum Kind {
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
    Unknown(ErrorCode, String),
}

impl Part {
    /// The same for another key. It says no more than its code does: the text would be there once for each key.
    fn without_text(&self) -> Part {
        match self {
            Part::Refused(code, _) => Part::Refused(*code, String::new()),
            Part::Unknown(code, _) => Part::Unknown(*code, String::new()),
            _ => Part::Missing,
        }
    }
}

/// What is remembered of each key of a request until it is answered: its part, its place, and at most where that begins.
pub const BYTES_PER_KEY: usize = size_of::<Part>() + 3 * size_of::<u32>();

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
        Answer::Unknown(unsure) => {
            let (code, text) = refusals::unsure(unsure);
            Part::Unknown(code, text)
        }
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
            Part::Unknown(_, text) => results.push_refused(out, ErrorCode::UNAVAILABLE, &text),
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
            Part::Unknown(code, text) => outcomes.unknown(out, partition.0, *code, text),
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
        Part::Refused(code, text) | Part::Unknown(code, text) => Some((*code, text.as_str())),
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
