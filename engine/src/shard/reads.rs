//! Point reads.

use super::Shard;
use super::expiry::told;
use super::flow::{Flow, Since, Stopped, Target};
use super::log_write::Pending;
use super::owned::OwnedOp;
use super::pending::{LookUp, PendingAnswer, PendingRead, Says};
use super::request::{Answer, Answers, Op, ROOM_BYTES, Refusal, Ticket, Value};
use super::sources::{Point, Sources};
use super::view::{Moment, Reader, View};
use crate::error::Error;
use crate::group::groups::Place;
use crate::key::Prefix;
use crate::table::{BlockRef, key_hash};

use smallvec::SmallVec;

/// So many keys of a read of several are looked at together: their blocks are in memory at once.
const SLICE_KEYS: usize = 64;

/// What an answer to one key of several takes beside its value, about, bytes.
const ITEM_BYTES: usize = 32;

/// How a slice of a read of several keys ended.
enum SliceEnd {
    Done,
    /// These blocks are needed first; nothing of the slice is answered.
    Cold(SmallVec<[BlockRef; 4]>),
    /// There is no room for the value of the key at `from`, of so many bytes.
    NoRoom {
        from: usize,
        bytes: usize,
    },
}

impl Shard {
    /// Reads one key: the pending value's log write is waited for, applied values are answered at once.
    pub(super) fn get(&mut self, target: Target, key: &[u8], reader: Reader, out: &mut impl Answers) -> Flow {
        target.prefix.stored_key(key, &mut self.key_scratch);
        let hash = key_hash(&self.key_scratch);
        let at = match reader {
            Reader::At(at) => at,
            Reader::Newest => {
                self.counters.reads += 1;
                if let Some(since) = self.pending_since(target, hash) {
                    if self.has_no_room_to_wait(since, target.place) {
                        return self.refuse(target, Refusal::Busy, out);
                    }
                    self.wait_for_log_write(since, target, &Op::Get { key });
                    return Flow::Done;
                }
                self.newest()
            }
        };
        match self.sources.get(&self.key_scratch, hash, &at.view, at.now_ms) {
            Ok(Point::Value(Value { bytes, .. }))
                if bytes.len() > ROOM_BYTES && !out.has_room(target.ticket, 0, bytes.len()) =>
            {
                let bytes = bytes.len();
                let at = self.pinned(target, reader);
                return Flow::Stopped(Box::new(Stopped { from: 0, at, cold: SmallVec::new(), bytes }));
            }
            Ok(Point::Value(value)) => {
                let value =
                    if reader == Reader::Newest { value } else { told(&self.groups[target.place], value) };
                out.answer(target.ticket, Answer::Value(value));
            }
            Ok(Point::Absent) if reader.is_unsure() => {
                let is_there = self.sources.get(&self.key_scratch, hash, &at.view, at.sure_ms);
                if !matches!(is_there, Ok(Point::Absent)) {
                    return Flow::Ticks;
                }
                out.answer(target.ticket, Answer::NotFound);
            }
            Ok(Point::Absent) => out.answer(target.ticket, Answer::NotFound),
            Ok(Point::NeedsRead(block)) => return Flow::Cold(SmallVec::from_slice(&[block])),
            Err(error) => self.refuse_damaged(target.ticket, &error, out),
        }
        Flow::Done
    }

    /// Reads several keys as of one moment, some at a time: their blocks, then their values.
    pub(super) fn get_many(
        &mut self,
        target: Target,
        (keys, values): (&[&[u8]], bool),
        reader: Reader,
        out: &mut impl Answers,
    ) -> Flow {
        if reader == Reader::Newest {
            self.counters.reads += keys.len() as u64;
            let mut newest = None;
            for key in keys {
                target.prefix.stored_key(key, &mut self.key_scratch);
                let hash = key_hash(&self.key_scratch);
                newest = newest.max(self.pending_since(target, hash));
            }
            if let Some(since) = newest {
                if self.has_no_room_to_wait(since, target.place) {
                    return self.refuse(target, Refusal::Busy, out);
                }
                self.wait_for_log_write(since, target, &Op::GetMany { keys, values });
                return Flow::Done;
            }
        }
        let at = self.pinned(target, reader);
        if at.sure_ms < at.now_ms {
            return Flow::Ticks;
        }
        let (mut from, mut given) = (0, 0);
        for slice in keys.chunks(SLICE_KEYS) {
            // What decompressing one key's block takes from the cache could be another's.
            self.sources.cache.hold();
            let end = self.get_slice(target, (slice, values), from, at, &mut given, out);
            self.sources.cache.let_go();
            match end {
                Ok(SliceEnd::Done) => from += slice.len(),
                // Nothing has been answered: whoever called knows what to do with all of it.
                Ok(SliceEnd::Cold(cold)) if from == 0 => return Flow::Cold(cold),
                Ok(SliceEnd::Cold(cold)) => {
                    return Flow::Stopped(Box::new(Stopped { from, at, cold, bytes: 0 }));
                }
                Ok(SliceEnd::NoRoom { from, bytes }) => {
                    return Flow::Stopped(Box::new(Stopped { from, at, cold: SmallVec::new(), bytes }));
                }
                Err(error) => {
                    self.refuse_damaged(target.ticket, &error, out);
                    return Flow::Done;
                }
            }
        }
        Flow::Done
    }

    /// Looks at some applied keys twice: for the blocks that are missing, then for the values.
    fn get_slice(
        &mut self,
        target: Target,
        (keys, values): (&[&[u8]], bool),
        from: usize,
        at: Moment,
        given: &mut usize,
        out: &mut impl Answers,
    ) -> Result<SliceEnd, Error> {
        let Target { ticket, prefix, .. } = target;
        let cold = self.cold_blocks(prefix, keys.iter().copied(), at)?;
        if !cold.is_empty() {
            return Ok(SliceEnd::Cold(cold));
        }
        for (index, key) in keys.iter().enumerate() {
            prefix.stored_key(key, &mut self.key_scratch);
            let hash = key_hash(&self.key_scratch);
            let value = match self.sources.get(&self.key_scratch, hash, &at.view, at.now_ms) {
                Ok(Point::Value(value)) if values => Some(told(&self.groups[target.place], value)),
                Ok(Point::Value(value)) => Some(Value { bytes: &[], ..value }),
                Ok(Point::Absent) => None,
                // What was read stays while the cache holds it, and what is resident is there. Should that ever be
                // wrong, nothing is said of the keys that are left.
                Ok(Point::NeedsRead(block)) => {
                    let what = "a block that was read is not in memory; this is a defect, please report it";
                    let file = Sources::file_of(block);
                    return Err(Error::Unusable(format!("{file} at offset {}: {what}", block.offset)));
                }
                Err(error) => return Err(error),
            };
            let bytes = ITEM_BYTES + value.map_or(0, |value| value.bytes.len());
            if *given + bytes > ROOM_BYTES && !out.has_room(ticket, *given, bytes) {
                return Ok(SliceEnd::NoRoom { from: from + index, bytes });
            }
            *given += bytes;
            out.answer(ticket, Answer::Item { index: from + index, value });
        }
        Ok(SliceEnd::Done)
    }

    /// What a read sees that may not come to its end in this call.
    fn pinned(&self, target: Target, reader: Reader) -> Moment {
        match reader {
            Reader::At(at) => at,
            Reader::Newest => self.moment(target.place),
        }
    }

    /// Everything that is applied, now.
    fn newest(&self) -> Moment {
        let now_ms = self.clock.us() / 1000;
        Moment { view: View::NEWEST, now_ms, sure_ms: now_ms }
    }

    /// The blocks that reading these keys needs and the cache doesn't have.
    pub(super) fn cold_blocks<'k>(
        &mut self,
        prefix: Prefix,
        keys: impl Iterator<Item = &'k [u8]>,
        at: Moment,
    ) -> Result<SmallVec<[BlockRef; 4]>, Error> {
        let mut cold: SmallVec<[BlockRef; 4]> = SmallVec::new();
        for key in keys {
            prefix.stored_key(key, &mut self.key_scratch);
            let hash = key_hash(&self.key_scratch);
            if let Point::NeedsRead(block) = self.sources.get(&self.key_scratch, hash, &at.view, at.now_ms)?
                && !cold.contains(&block)
            {
                cold.push(block);
            }
        }
        Ok(cold)
    }

    /// The newest log write that has a write of the key in `key_scratch`.
    fn pending_since(&self, target: Target, hash: u64) -> Option<Since> {
        let is_pending = |write: &super::LogWrite| {
            write.pending(target.place, target.prefix.keyspace(), &self.key_scratch, hash) != Pending::Unknown
        };
        if is_pending(&self.forming) {
            Some(Since::Forming)
        } else if is_pending(&self.writing) {
            Some(Since::Writing)
        } else {
            self.held.newest(&self.groups[target.place], &self.key_scratch, hash).map(|_| Since::Held)
        }
    }

    fn wait_for_log_write(&mut self, since: Since, target: Target, op: &Op<'_>) {
        let answer = self.read_later(target, op, false);
        self.answer_later(since, answer);
    }

    /// A read that is done later, of what is there or on its way now.
    pub(super) fn read_later(&self, target: Target, op: &Op<'_>, is_led: bool) -> PendingAnswer {
        let Target { ticket, deadline_us, place, prefix } = target;
        let (version, now_ms) = (self.groups[place].assigned, self.now_ms(place));
        let read = PendingRead { prefix, op: OwnedOp::new(op), version, now_ms, is_led };
        PendingAnswer { ticket, deadline_us, place, says: Says::Read(Box::new(read)) }
    }

    /// Whether nobody more may wait for what is pending of a group.
    pub(super) fn has_no_room_to_wait(&self, since: Since, place: Place) -> bool {
        match since {
            Since::Held => self.held.is_full(&self.groups[place], 0, &self.budgets),
            Since::Applied | Since::Writing | Since::Forming | Since::Ticked => self.is_waiting_room_full(),
        }
    }

    /// Whether answers that wait for their log writes take all the memory they may.
    pub(super) fn is_waiting_room_full(&self) -> bool {
        self.forming.answer_bytes() + self.writing.answer_bytes() > self.budgets.parked
    }

    /// Counts what couldn't be read, and lets the log hear of it.
    pub(super) fn note_read_error(&mut self, text: &str) {
        self.counters.read_errors += 1;
        self.read_errors.note(text, self.mono_us);
    }

    /// Refuses a request that met what can't be read.
    pub(super) fn refuse_damaged(&mut self, ticket: Ticket, error: &Error, out: &mut impl Answers) {
        let text = self.dir.tell(error);
        self.note_read_error(&text);
        out.answer(ticket, Answer::Refused(Refusal::Damaged(&text)));
    }

    /// Lets an answer go whose entry is applied now. What a read answers is looked up then.
    pub(super) fn answer_pending(&mut self, answer: PendingAnswer, out: &mut impl Answers) {
        let PendingAnswer { ticket, deadline_us, place, mut says } = answer;
        says.translate(&self.groups[place]);
        let read = match says.send(ticket, out) {
            None => return,
            Some(LookUp::Again(once)) => return self.answer_again(place, ticket, &once, out),
            Some(LookUp::Read(read)) => read,
        };
        let PendingRead { prefix, op, version, now_ms, is_led } = *read;
        let sure_ms = if is_led { self.sure_ms(place, now_ms) } else { now_ms };
        let at = Moment { view: View { version, mark: self.sources.mark() }, now_ms, sure_ms };
        let target = Target { ticket, deadline_us, place, prefix };
        op.with(|op| match self.dispatch(&target, &op, None, Reader::At(at), out) {
            Flow::Done => {}
            Flow::Ticks => self.read_after_tick(target, &op, at, out),
            Flow::Cold(cold) => self.stop(target, &op, Stopped { from: 0, at, cold, bytes: 0 }, out),
            Flow::Stopped(stopped) => self.stop(target, &op, *stopped, out),
        });
    }
}
