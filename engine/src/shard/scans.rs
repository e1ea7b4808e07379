//! Ordered reads: pages over one partition or several, and counts.
//!
//! They see applied data only, each partition at one moment. A page that lacks blocks parks with what it has; a count
//! that lacks blocks answers what it has counted. Blocks are read in pieces ([`super::parked`]).

use super::Shard;
use super::flow::{Flow, Target};
use super::parked::{OwnedRequest, Parked, Work};
use super::parked_scan::ParkedScan;
use super::queue::Waiting;
use super::request::{Answer, Answers, Count, Refusal, Scan};
use super::view::{Moment, Reader, View};
use crate::error::Error;
use crate::group::Order;
use crate::group::groups::Place;
use crate::key::{Keyspace, Partition, user_key};
use crate::table::BlockRef;
use crate::tree::{self, CountStop, Counted, Lane, ScanLimits, ScanRange, ScanStep};
use smallvec::SmallVec;

/// Entries that a page looks at, hidden ones included, before it ends: bounded work in one call.
const SCAN_WORK: usize = 8192;
/// Entries that a slice of a count looks at: less than is read ahead of it, where they have about 1 KiB, so that reading
/// goes on meanwhile.
const COUNT_WORK: usize = 512;
/// Blocks that a page may hold on to from one read to the next, in bytes, where it could do without.
const PINNED_BYTES_MAX: usize = tree::READ_BYTES_MAX;

/// Each partition would have to be asked who leads it.
const TOGETHER: &str = "partitions with replicas aren't read together with others";

impl Shard {
    /// Whether one of several partitions has replicas.
    fn has_replicated(&self, partitions: &[Partition]) -> bool {
        let places = partitions.iter().filter_map(|&partition| self.groups.place(partition));
        partitions.len() > 1 && places.into_iter().any(|place| self.groups[place].order() != Order::Solo)
    }

    /// Reads a page of some partitions in the order of keys.
    pub(super) fn scan(
        &mut self,
        target: Target,
        partitions: &[Partition],
        (scan, oversized): (&Scan<'_>, bool),
        reader: Reader,
        out: &mut impl Answers,
    ) {
        self.counters.scans += 1;
        if self.has_replicated(partitions) {
            return out.answer(target.ticket, Answer::Refused(Refusal::Invalid(TOGETHER)));
        }
        let keyspace = target.prefix.keyspace();
        let mut lanes = Vec::with_capacity(partitions.len());
        let mut readers = Vec::with_capacity(partitions.len());
        for &partition in partitions {
            let Some(place) = self.groups.place(partition) else {
                return out.answer(target.ticket, Answer::Refused(Refusal::WrongShard));
            };
            let at = self.groups[place].newest;
            let (from, to) = self.bounds(place, keyspace, scan.from, scan.to);
            lanes.push(Lane::new(from, to, at));
            readers.push((place, at));
        }
        let now_ms = reader.now_ms().unwrap_or_else(|| self.now_ms(target.place));
        let limits =
            ScanLimits { items: scan.limit.max(1), bytes: scan.limit_bytes, oversized, work: SCAN_WORK };
        let scan = tree::Scan::new(lanes, limits, scan.keys_only, now_ms);
        let version = readers.iter().map(|&(_, at)| at).max().unwrap_or_default();
        let view = View { version, mark: self.sources.mark() };
        let mut parked = Box::new(ParkedScan { scan, view, readers });
        let Some(blocks) = self.scan_on(target, &mut parked, out) else { return };
        if self.has_too_many_parked() {
            self.counters.refused += 1;
            return out.answer(target.ticket, Answer::Refused(Refusal::Busy));
        }
        let request = OwnedRequest { target, once: None, work: Work::Scan(parked) };
        let at = Moment { now_ms, sure_ms: now_ms, ..self.moment(target.place) };
        let waiting = self.parked.insert(request, at, Vec::new());
        if self.may_read(waiting, &blocks) {
            self.wait_for_blocks(waiting, &blocks, out);
        }
    }

    /// Whether requests that wait take all the memory they may. The one page with large blocks doesn't count: nobody is
    /// to be refused because of it.
    pub(super) fn has_too_many_parked(&self) -> bool {
        let large = self.large_scans.now.and_then(|waiting| self.parked.get(waiting));
        self.parked.bytes() + self.kept.bytes() - large.map_or(0, Parked::pinned_bytes) > self.budgets.parked
    }

    /// Whether a page may hold these blocks now. One page at a time may hold more than [`PINNED_BYTES_MAX`].
    fn may_read(&mut self, waiting: Waiting, blocks: &[BlockRef]) -> bool {
        let pinned = self.parked.get(waiting).map_or(0, Parked::pinned_bytes);
        if pinned + BlockRef::total_bytes(blocks) <= PINNED_BYTES_MAX {
            return true;
        }
        if *self.large_scans.now.get_or_insert(waiting) == waiting {
            return true;
        }
        self.parked.unpin(waiting);
        self.large_scans.waiting.push_back(waiting);
        false
    }

    /// A page is over: if it was the one that may hold large blocks, those that wait for that go on.
    pub(super) fn scan_left(&mut self, waiting: Waiting, out: &mut impl Answers) {
        if self.large_scans.now != Some(waiting) {
            return;
        }
        self.large_scans.now = None;
        while self.large_scans.now.is_none()
            && let Some(next) = self.large_scans.waiting.pop_front()
        {
            self.resume_scan(next, out);
        }
    }

    /// Goes on with a page that has the blocks it waited for.
    pub(super) fn resume_scan(&mut self, waiting: Waiting, out: &mut impl Answers) {
        let Some(mut request) = self.parked.remove(waiting) else { return };
        let target = request.request.target;
        let Work::Scan(scan) = &mut request.request.work else { return };
        let Some(blocks) = self.scan_on(target, scan, out) else { return self.scan_left(waiting, out) };
        if scan.scan.has_progressed() && request.pinned_bytes() > PINNED_BYTES_MAX {
            request.unpin();
        }
        self.parked.put_back(waiting, request);
        if self.may_read(waiting, &blocks) {
            self.wait_for_blocks(waiting, &blocks, out);
        }
    }

    /// Answers the page, or says which blocks it needs.
    fn scan_on(
        &mut self,
        target: Target,
        parked: &mut ParkedScan,
        out: &mut impl Answers,
    ) -> Option<Vec<BlockRef>> {
        match self.sources.in_order(&parked.view, |data, cache| parked.scan.run(data, cache)) {
            Ok(ScanStep::NeedsRead { blocks }) => return Some(blocks),
            Ok(ScanStep::Page { next }) => {
                let group = &self.groups[target.place];
                if group.order() != Order::Solo {
                    parked.scan.page_mut().translate(|expiry| group.in_shard_time(expiry));
                }
                let (page, next) = (parked.scan.page(), next.as_deref().map(user_key));
                out.answer(target.ticket, Answer::Page { page, next });
            }
            Err(error) => self.refuse_damaged(target.ticket, &error, out),
        }
        None
    }

    /// Counts keys of some partitions, one after the other, until enough was looked at or blocks are missing.
    pub(super) fn count(
        &mut self,
        target: Target,
        count: &Count<'_>,
        reader: Reader,
        out: &mut impl Answers,
    ) -> Flow {
        self.counters.scans += 1;
        if self.has_replicated(count.partitions) {
            out.answer(target.ticket, Answer::Refused(Refusal::Invalid(TOGETHER)));
            return Flow::Done;
        }
        let (mut keys, mut expiring, mut work) = (0, 0, COUNT_WORK);
        for (index, &partition) in count.partitions.iter().enumerate() {
            let Some(place) = self.groups.place(partition) else {
                out.answer(target.ticket, Answer::Refused(Refusal::WrongShard));
                return Flow::Done;
            };
            let from = if index == 0 { count.place } else { count.from };
            let now_ms = reader.now_ms().unwrap_or_else(|| self.now_ms(place));
            let counted = match self.count_slice((place, now_ms), target, from, count.to, &mut work) {
                Ok(counted) => counted,
                Err(error) => {
                    self.refuse_damaged(target.ticket, &error, out);
                    return Flow::Done;
                }
            };
            keys += counted.keys;
            expiring += counted.expiring;
            if counted.stop == CountStop::End {
                // Even a partition without keys costs a seek.
                work = work.saturating_sub(COUNT_WORK / 64);
                continue;
            }
            self.read_ahead(&counted.blocks);
            let has_come_further = keys > 0 || index > 0 || user_key(&counted.next) > from;
            if counted.stop == CountStop::Missing && !has_come_further {
                let first = counted.blocks.iter().take(1).copied();
                return Flow::Cold(SmallVec::from_iter(first));
            }
            let next = Some((partition, user_key(&counted.next)));
            out.answer(target.ticket, Answer::Counted { keys, expiring, next });
            return Flow::Done;
        }
        out.answer(target.ticket, Answer::Counted { keys, expiring, next: None });
        Flow::Done
    }

    fn count_slice(
        &mut self,
        (place, now_ms): (Place, u64),
        target: Target,
        from: &[u8],
        to: &[u8],
        work: &mut usize,
    ) -> Result<Counted, Error> {
        let (from, to) = self.bounds(place, target.prefix.keyspace(), from, to);
        let at = self.groups[place].newest;
        let range = ScanRange { from: &from, to: &to, at, now_ms };
        self.sources.in_order(&View::NEWEST, |data, cache| tree::count(data, &range, work, cache))
    }

    /// The stored keys between two user keys of a partition; an empty `to` is its end.
    fn bounds(&self, place: Place, keyspace: Keyspace, from: &[u8], to: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let prefix = self.groups[place].prefix(keyspace);
        let stored = |key: &[u8]| [&prefix.to_bytes(), key].concat();
        (stored(from), if to.is_empty() { prefix.end() } else { stored(to) })
    }
}
