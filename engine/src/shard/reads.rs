//! Point reads, and what waits for blocks.

use super::generation::Pending;
use super::moment::{Moment, Reader};
use super::owned::OwnedOp;
use super::parked::{OwnedRequest, Parked, Work, is_long};
use super::pending::{PendingAnswer, PendingRead, Says};
use super::queue::{Ready, Waiting};
use super::request::{Answer, Answers, Op, ROOM_BYTES, Refusal, Ticket, Value};
use super::sources::{Point, Sources};
use super::{Flow, Shard, Since, Stopped, Target, Why};
use crate::aligned::AlignedBuf;
use crate::error::Error;
use crate::io::{IoCompletion, IoOutput};
use crate::key::{Prefix, Version, user_key};
use crate::table::{BlockRef, key_hash};

use smallvec::SmallVec;

/// So many keys of a read of several are looked at together: their blocks are in memory at once.
const SLICE_KEYS: usize = 64;

/// Updates that waited for long values don't go on in a turn in which others have read or copied so many bytes of these.
const RESUMED_BYTES_MAX: usize = 1 << 20;

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
    /// Reads one key: the pending value's commit is waited for, applied values are answered at once.
    pub(super) fn get(&mut self, target: Target, key: &[u8], reader: Reader, out: &mut impl Answers) -> Flow {
        target.prefix.stored_key(key, &mut self.key_scratch);
        let hash = key_hash(&self.key_scratch);
        let at = match reader {
            Reader::At(at) => at,
            Reader::Newest => {
                self.counters.reads += 1;
                if let Some(since) = self.pending_since(target, hash) {
                    if self.is_waiting_room_full() {
                        return self.refuse(target, Refusal::Busy, out);
                    }
                    let keys = Box::new([self.key_scratch.as_slice().into()]);
                    self.wait_for_commit(since, target, keys, None);
                    return Flow::Done;
                }
                self.newest()
            }
        };
        match self.sources.get(&self.key_scratch, hash, at.version, at.now_ms) {
            Ok(Point::Value(Value { bytes, .. }))
                if bytes.len() > ROOM_BYTES && !out.has_room(target.ticket, 0, bytes.len()) =>
            {
                let bytes = bytes.len();
                let at = self.pinned(target, reader);
                return Flow::Stopped(Box::new(Stopped { from: 0, at, cold: SmallVec::new(), bytes }));
            }
            Ok(Point::Value(value)) => out.answer(target.ticket, Answer::Value(value)),
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
                if self.is_waiting_room_full() {
                    return self.refuse(target, Refusal::Busy, out);
                }
                let stored =
                    keys.iter().map(|key| [&target.prefix.to_bytes(), *key].concat().into()).collect();
                self.wait_for_commit(since, target, stored, Some(values));
                return Flow::Done;
            }
        }
        let at = self.pinned(target, reader);
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
            let value = match self.sources.get(&self.key_scratch, hash, at.version, at.now_ms) {
                Ok(Point::Value(value)) if values => Some(value),
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
        Moment { version: Version::MAX, now_ms: self.now_ms() }
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
            if let Point::NeedsRead(block) =
                self.sources.get(&self.key_scratch, hash, at.version, at.now_ms)?
                && !cold.contains(&block)
            {
                cold.push(block);
            }
        }
        Ok(cold)
    }

    /// The newest generation that has a write of the key in `key_scratch`.
    fn pending_since(&self, target: Target, hash: u64) -> Option<Since> {
        let is_pending = |generation: &super::Generation| {
            generation.pending(target.place, target.prefix.keyspace(), &self.key_scratch, hash)
                != Pending::Unknown
        };
        if is_pending(&self.forming) {
            Some(Since::Forming)
        } else if is_pending(&self.writing) {
            Some(Since::Writing)
        } else {
            self.held.newest(&self.groups[target.place], &self.key_scratch, hash).map(|_| Since::Held)
        }
    }

    fn wait_for_commit(&mut self, since: Since, target: Target, keys: Box<[Box<[u8]>]>, many: Option<bool>) {
        let Target { ticket, deadline_us, place, .. } = target;
        let read = PendingRead { keys, at: self.moment(place), many };
        let answer = PendingAnswer { ticket, deadline_us, place, says: Says::Read(Box::new(read)) };
        self.answer_later(since, answer);
    }

    /// Whether answers that wait for their commits take all the memory they may.
    pub(super) fn is_waiting_room_full(&self) -> bool {
        self.forming.answer_bytes() + self.writing.answer_bytes() > self.budgets.parked
    }

    /// Puts a request aside until its blocks are there, or its turn has come.
    #[inline(never)]
    pub(super) fn park(&mut self, target: Target, op: &Op<'_>, why: Why<'_>, out: &mut impl Answers) {
        if self.has_too_many_parked() {
            self.counters.refused += 1;
            return out.answer(target.ticket, Answer::Refused(Refusal::Busy));
        }
        let lines = self.lines_of(target.prefix, op, why);
        let owned = OwnedRequest { target, work: Work::Op(OwnedOp::new(op)) };
        let waiting = self.parked.insert(owned, self.moment(target.place), lines);
        if let Some(parked) = self.parked.get(waiting) {
            self.lines.join(waiting, parked.line_keys());
        }
        if let Why::Blocks(blocks) = why {
            self.wait_for_blocks(waiting, blocks, out);
        }
    }

    /// The lines a parking request stands in: none for a read that only waits for blocks.
    fn lines_of(&self, prefix: Prefix, op: &Op<'_>, why: Why<'_>) -> Vec<Box<[u8]>> {
        let stored = |key: &[u8]| -> Box<[u8]> { [&prefix.to_bytes(), key].concat().into() };
        let bare = stored(&[]);
        let mut lines: Vec<Box<[u8]>> = match op {
            Op::Get { key } if matches!(why, Why::Turn) => vec![stored(key)],
            Op::GetMany { keys, .. } if matches!(why, Why::Turn) => {
                keys.iter().map(|key| stored(key)).collect()
            }
            Op::Get { .. }
            | Op::GetMany { .. }
            | Op::Scan(_)
            | Op::ScanMany { .. }
            | Op::Count(_)
            | Op::GoOn { .. } => return Vec::new(),
            Op::Update { key, .. } => vec![stored(key)],
            Op::UpdateMany { updates } => updates.iter().map(|(key, _)| stored(key)).collect(),
            Op::Clear => self.lines.keys_of(&bare),
        };
        if self.lines.has(&bare) || matches!(op, Op::Clear) {
            lines.push(bare);
        }
        lines.sort();
        lines.dedup();
        lines
    }

    /// Makes a parked request wait for blocks, which are read unless they are under way.
    pub(super) fn wait_for_blocks(&mut self, waiting: Waiting, blocks: &[BlockRef], out: &mut impl Answers) {
        if !blocks.iter().all(|block| self.sources.table(block.table).is_some()) {
            debug_assert!(false, "a read names only tables of the current tree");
            return self.give_up(waiting, Refusal::Damaged("a table vanished while it was read"), out);
        }
        self.parked.wait_for(waiting, blocks);
        self.read_ahead(blocks);
    }

    /// Reads blocks into the cache, unless they are under way.
    pub(super) fn read_ahead(&mut self, blocks: &[BlockRef]) {
        for piece in self.parked.pieces(blocks) {
            if let Some(table) = piece.first().and_then(|block| self.sources.table(block.table)) {
                self.parked.read(table, piece, self.budgets.parked, &mut self.io);
            }
        }
    }

    /// Takes blocks that were read, and goes on with who waited for them.
    pub(super) fn blocks_done(&mut self, completion: IoCompletion, out: &mut impl Answers) {
        let Some((table, piece)) = self.parked.read_done(completion.token) else { return };
        let start = piece.first().map_or(0, |block| block.offset);
        let is_long = is_long(&piece);
        let mut raw = match completion.result {
            Ok(IoOutput::Data(raw)) => Ok(raw),
            Ok(_) => Err(Error::Unusable("a read completed without data".into()).to_string()),
            Err(source) => {
                let file =
                    piece.first().map_or_else(String::new, |&block| Sources::file_of(block).to_string());
                Err(self.home.tell(&Error::io("read", file, "", source)))
            }
        };
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        for block in piece {
            let waiters = self.parked.take_waiters(block);
            let at = (block.offset - start) as usize;
            let decoded = match &mut raw {
                Ok(raw) if is_long => {
                    let raw = std::mem::replace(raw, AlignedBuf::with_capacity(0));
                    table.take_block(block, raw).map_err(|error| self.home.tell(&error))
                }
                Ok(raw) => {
                    let raw = raw.get(at..at + block.len as usize).unwrap_or_default();
                    table.decode_block(block, raw).map_err(|error| self.home.tell(&error))
                }
                Err(error) => Err(error.clone()),
            };
            match decoded {
                Ok(decoded) => {
                    let decoded = self.sources.cache.insert(block, decoded);
                    let given =
                        waiters.into_iter().filter(|&waiting| self.parked.give(waiting, &decoded, block.len));
                    ready.extend(given);
                }
                Err(text) => {
                    self.counters.read_errors += 1;
                    tracing::error!("{text}");
                    failed.extend(waiters.into_iter().map(|waiting| (waiting, text.clone())));
                }
            }
        }
        // All of a piece is in the cache before anybody goes on.
        failed.into_iter().for_each(|(waiting, text)| self.give_up(waiting, Refusal::Damaged(&text), out));
        ready.into_iter().for_each(|waiting| self.resume(waiting, out));
        // What was read is let go by now, unless somebody needs it still.
        self.read_long();
    }

    /// Goes on with a request that has its blocks, if it is its turn; then with those behind it. Many may have waited for the
    /// same long value: a turn in which updates have copied much leaves the others over.
    pub(super) fn resume(&mut self, waiting: Waiting, out: &mut impl Answers) {
        let mut ready = Ready::from_slice(&[waiting]);
        while let Some(waiting) = ready.pop() {
            if self.resumed_bytes < RESUMED_BYTES_MAX || !self.parked.leave_over(waiting) {
                ready.extend(self.resume_one(waiting, out));
            }
        }
    }

    /// Goes on with updates that the turns before left over. If this one has no time for any, one went on in it.
    pub(super) fn resume_left_over(&mut self, out: &mut impl Answers) {
        if !self.parked.has_left_over() {
            return;
        }
        while self.resumed_bytes < RESUMED_BYTES_MAX
            && let Some(waiting) = self.parked.next_left_over()
        {
            let next = self.resume_one(waiting, out);
            next.into_iter().for_each(|waiting| self.resume(waiting, out));
        }
        self.read_long();
    }

    /// Reads the next long blocks that are waited for, if those before are let go.
    fn read_long(&mut self) {
        if !self.parked.has_left_over() {
            self.parked.read_long(self.budgets.parked, &mut self.io);
        }
    }

    /// Returns those who may go on then.
    fn resume_one(&mut self, waiting: Waiting, out: &mut impl Answers) -> Ready {
        let Some(parked) = self.parked.get(waiting) else { return Ready::new() };
        if !self.parked.has_its_blocks(waiting) || !self.lines.is_first(waiting, parked.line_keys()) {
            return Ready::new();
        }
        if matches!(parked.request.work, Work::Scan(_)) {
            self.resume_scan(waiting, out);
            return Ready::new();
        }
        let Some(parked) = self.parked.remove(waiting) else { return Ready::new() };
        match self.run_parked(&parked, out) {
            Flow::Done => self.lines.leave(waiting, parked.line_keys()),
            Flow::Cold(blocks) => {
                self.parked.put_back(waiting, parked);
                self.wait_for_blocks(waiting, &blocks, out);
                Ready::new()
            }
            Flow::Stopped(stopped) => {
                let next = self.lines.leave(waiting, parked.line_keys());
                if let OwnedRequest { target, work: Work::Op(op) } = parked.request {
                    self.put_aside(target, op, *stopped, out);
                }
                next
            }
        }
    }

    fn run_parked(&mut self, parked: &Parked, out: &mut impl Answers) -> Flow {
        // A read that waited for its turn sees what was before it; one that only waited for blocks, its arrival.
        let reader = if parked.lines.is_empty() { Reader::At(parked.at) } else { Reader::Newest };
        let OwnedRequest { target, work: Work::Op(op) } = &parked.request else { return Flow::Done };
        let copied_before = self.copied_bytes;
        let flow = op.with(|op| self.dispatch(target, &op, reader, out));
        self.resumed_bytes += self.copied_bytes - copied_before;
        flow
    }

    /// Refuses a waiting request and lets those behind it go on.
    pub(super) fn give_up(&mut self, waiting: Waiting, refusal: Refusal<'_>, out: &mut impl Answers) {
        let Some(parked) = self.parked.remove(waiting) else { return };
        out.answer(parked.request.target.ticket, Answer::Refused(refusal));
        for next in self.lines.leave(waiting, parked.line_keys()) {
            self.resume(next, out);
        }
        self.scan_left(waiting, out);
    }

    /// Refuses a request that met what can't be read.
    pub(super) fn refuse_damaged(&mut self, ticket: Ticket, error: &Error, out: &mut impl Answers) {
        let text = self.home.tell(error);
        tracing::error!("{text}");
        out.answer(ticket, Answer::Refused(Refusal::Damaged(&text)));
    }

    /// Lets an answer go whose commit is applied now. What a read answers is looked up then.
    pub(super) fn answer_pending(&mut self, answer: PendingAnswer, out: &mut impl Answers) {
        let PendingAnswer { ticket, deadline_us, place, .. } = answer;
        let Some(read) = answer.send(out) else { return };
        let PendingRead { keys, at, many } = *read;
        let Some(prefix) = keys.first().and_then(|key| Prefix::of(key)) else { return };
        let target = Target { ticket, deadline_us, place, prefix };
        let users: SmallVec<[&[u8]; 8]> = keys.iter().map(|key| user_key(key)).collect();
        let op = match many {
            Some(values) => Op::GetMany { keys: &users, values },
            None => Op::Get { key: users[0] },
        };
        match self.dispatch(&target, &op, Reader::At(at), out) {
            Flow::Done => {}
            Flow::Cold(cold) => self.stop(target, &op, Stopped { from: 0, at, cold, bytes: 0 }, out),
            Flow::Stopped(stopped) => self.stop(target, &op, *stopped, out),
        }
    }
}
