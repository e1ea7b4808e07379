//! Requests are put aside until the blocks that they need are read, or their turn on a key has come; and go on then.

use super::Shard;
use super::flow::{Flow, Target, Why};
use super::owned::OwnedOp;
use super::parked::{OwnedRequest, Parked, Work, is_long};
use super::queue::{Ready, Waiting};
use super::request::{Answer, Answers, Once, Op, Refusal};
use super::sources::Sources;
use super::view::Reader;
use crate::aligned::AlignedBuf;
use crate::error::Error;
use crate::group::Order;
use crate::io::{IoCompletion, IoOutput};
use crate::key::Prefix;
use crate::table::BlockRef;

/// Updates that waited for long values don't go on in a turn in which others have read or copied so many bytes of these.
const RESUMED_BYTES_MAX: usize = 1 << 20;

impl Shard {
    /// Puts a request aside until its blocks are there, or its turn has come.
    #[inline(never)]
    pub(super) fn park(
        &mut self,
        target: Target,
        (op, once): (&Op<'_>, Option<&Once>),
        why: Why<'_>,
        out: &mut impl Answers,
    ) {
        if self.has_too_many_parked() {
            self.counters.refused += 1;
            return out.answer(target.ticket, Answer::Refused(Refusal::Busy));
        }
        let lines = self.lines_of(target.prefix, op, why);
        let once = once.map(|once| Box::new(*once));
        let owned = OwnedRequest { target, once, work: Work::Op(OwnedOp::new(op)) };
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
                Err(self.dir.tell(&Error::io("read", file, "", source)))
            }
        };
        let (mut ready, mut failed) = (Vec::new(), Vec::new());
        for block in piece {
            let waiters = self.parked.take_waiters(block);
            let at = (block.offset - start) as usize;
            let decoded = match &mut raw {
                Ok(raw) if is_long => {
                    let raw = std::mem::replace(raw, AlignedBuf::with_capacity(0));
                    table.take_block(block, raw).map_err(|error| self.dir.tell(&error))
                }
                Ok(raw) => {
                    let raw = raw.get(at..at + block.len as usize).unwrap_or_default();
                    table.decode_block(block, raw).map_err(|error| self.dir.tell(&error))
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
                    self.note_read_error(&text);
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
        if matches!(parked.request.work, Work::Apply) {
            self.blocks_to_apply_are_there(parked.request.target.place, out);
            return Ready::new();
        }
        match self.run_parked(&parked, out) {
            Flow::Done => self.lines.leave(waiting, parked.line_keys()),
            Flow::Cold(blocks) => {
                self.parked.put_back(waiting, parked);
                self.wait_for_blocks(waiting, &blocks, out);
                Ready::new()
            }
            Flow::Ticks => {
                if let OwnedRequest { target, work: Work::Op(op), .. } = &parked.request {
                    op.with(|op| self.read_after_tick(*target, &op, parked.at, out));
                }
                self.lines.leave(waiting, parked.line_keys())
            }
            Flow::Stopped(stopped) => {
                let next = self.lines.leave(waiting, parked.line_keys());
                if let OwnedRequest { target, work: Work::Op(op), .. } = parked.request {
                    self.put_aside(target, op, *stopped, out);
                }
                next
            }
        }
    }

    fn run_parked(&mut self, parked: &Parked, out: &mut impl Answers) -> Flow {
        // A read that waited for its turn sees what was before it; one that only waited for blocks, its arrival.
        let reader = if parked.lines.is_empty() { Reader::At(parked.at) } else { Reader::Newest };
        let OwnedRequest { target, once, work: Work::Op(op) } = &parked.request else { return Flow::Done };
        let is_followed = matches!(self.groups[target.place].order(), Order::Following { .. });
        if is_followed && op.with(|op| op.is_write()) {
            return self.refuse(*target, Refusal::NotLeader, out);
        }
        // Another copy of it may have been done meanwhile.
        if let Some(once) = once.as_deref()
            && !self.is_to_be_done(*target, once, out)
        {
            return Flow::Done;
        }
        let copied_before = self.copied_bytes;
        let flow = op.with(|op| self.dispatch(target, &op, once.as_deref(), reader, out));
        self.resumed_bytes += self.copied_bytes - copied_before;
        flow
    }

    /// Refuses a waiting request and lets those behind it go on.
    pub(super) fn give_up(&mut self, waiting: Waiting, refusal: Refusal<'_>, out: &mut impl Answers) {
        let Some(parked) = self.parked.remove(waiting) else { return };
        if matches!(parked.request.work, Work::Apply) {
            return self.block_to_apply_is_missing(parked.request.target.place);
        }
        out.answer(parked.request.target.ticket, Answer::Refused(refusal));
        self.let_go(waiting, &parked, out);
    }

    /// Lets those go on who stand behind a request that is over.
    pub(super) fn let_go(&mut self, waiting: Waiting, parked: &Parked, out: &mut impl Answers) {
        for next in self.lines.leave(waiting, parked.line_keys()) {
            self.resume(next, out);
        }
        self.scan_left(waiting, out);
    }
}
