//! The mesh: how cores send each other requests and answers, and tell each other what needs none.
//!
//! Between every ordered pair of cores run three bounded SPSC queues: for requests, for answers, and for what is told. What a core
//! has to say to another within a turn is packed into one batch (bytes) per queue and pushed at the end of the turn.
//!
//! Why it can't deadlock:
//! 1. A request takes a credit of its pair before it is sent, and its answer gives the credit back. There are at most
//!    [`Limits::requests`] credits.
//! 2. A batch of requests holds at least one request without an answer, and a batch of answers at least one whose
//!    credit isn't back. So neither queue ever holds more batches than there are credits, and each has that much room:
//!    **a push never fails**. A credit *is* the reservation of the answer's room.
//! 3. So nobody ever waits for a queue. A core that has no credit left pauses the connection that wants to send.
//! 4. Answers have queues of their own and are always taken in, whatever else is held up. A core may leave requests of
//!    a peer in their queue (and in the batch it is working on) while that peer has not taken [`Limits::answer_bytes`] of answers; the peer takes them
//!    without conditions, so that ends. Hence every credit comes back as long as every shard answers every request.
//! 5. What is told ([`Port::tell`]) has a queue of its own, which is always taken in, and no order among requests. What finds the
//!    queue full stays with its sender and goes with the next: whoever tells something says so little of it that it may.

pub mod spsc;
mod sync;

use spsc::{Consumer, Producer, queue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A run of encoded messages.
pub type Batch = Vec<u8>;

/// How much may be under way between two cores, in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests without an answer.
    pub requests: usize,
    /// Bytes of requests without an answer; one request always fits.
    pub request_bytes: usize,
    /// Bytes of answers that the other core has not taken in.
    pub answer_bytes: usize,
    /// Memory of emptied batches that a core keeps for reuse.
    pub spare_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            requests: 1024,
            request_bytes: BYTES_MAX,
            answer_bytes: BYTES_MAX,
            spare_bytes: SPARES_MAX * SPARE_BYTES_MAX,
        }
    }
}

impl Limits {
    /// What fits where the connections of each of `cores` cores may take so many bytes: an eighth of that lies between it and
    /// all others, in each direction. One request, and one answer, of any length fits in any case.
    pub fn of(connection_bytes: usize, cores: usize) -> Limits {
        let peers = cores.saturating_sub(1).max(1);
        let bytes = (connection_bytes / 8 / peers).clamp(BYTES_MIN, BYTES_MAX);
        let most = Limits::default();
        let spare_bytes = (connection_bytes / 32).min(most.spare_bytes);
        Limits { request_bytes: bytes, answer_bytes: bytes, spare_bytes, ..most }
    }
}

/// Bytes under way between two cores in one direction, at least and at most.
const BYTES_MIN: usize = 256 << 10;
const BYTES_MAX: usize = 4 << 20;

/// Batches of what is told that one core may have left to take in.
const TOLD_BATCHES: usize = 8;

/// How many emptied batches a core keeps for reuse at most, and how large one may be to be kept.
const SPARES_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 256 << 10;

/// What one core holds towards another.
struct Link {
    requests_out: Producer<Batch>,
    requests_in: Consumer<Batch>,
    answers_out: Producer<Batch>,
    answers_in: Consumer<Batch>,
    told_out: Producer<Batch>,
    told_in: Consumer<Batch>,
    requests: Batch,
    answers: Batch,
    told: Batch,
    /// Requests that were taken in, but not yet answered or parked.
    left: Option<Batch>,
    /// Credits in use, and the bytes of their requests.
    outstanding: usize,
    outstanding_bytes: usize,
    /// Answer bytes ever written here, and ever taken in by the other side.
    answered_bytes: u64,
    taken_there: Arc<AtomicU64>,
    taken_here: Arc<AtomicU64>,
}

/// One core's end of the mesh.
pub struct Port {
    me: usize,
    links: Vec<Option<Link>>,
    limits: Limits,
    spares: Vec<Batch>,
    /// Their memory.
    spare_bytes: usize,
    /// For each core what it says of its shard: a mailbox written by that core.
    pressures: Arc<[Pressure]>,
}

/// What a core says of how much its shard takes: everything, until it says something else.
#[derive(Debug)]
struct Pressure {
    /// How long it wants writers to be held back, microseconds.
    delay_us: AtomicU32,
    /// How long a long value may be that it takes, KiB.
    long_room_kib: AtomicU32,
}

impl Default for Pressure {
    fn default() -> Pressure {
        Pressure { delay_us: AtomicU32::new(0), long_room_kib: AtomicU32::new(u32::MAX) }
    }
}

/// The ports of `cores` cores, fully connected.
pub fn mesh(cores: usize, limits: Limits) -> Vec<Port> {
    let pressures: Arc<[Pressure]> = (0..cores).map(|_| Pressure::default()).collect();
    let mut ports: Vec<Port> = (0..cores)
        .map(|me| Port {
            me,
            links: (0..cores).map(|_| None).collect(),
            limits,
            spares: Vec::new(),
            spare_bytes: 0,
            pressures: Arc::clone(&pressures),
        })
        .collect();
    for left in 0..cores {
        for right in left + 1..cores {
            let (one, other) = links(limits);
            ports[left].links[right] = Some(one);
            ports[right].links[left] = Some(other);
        }
    }
    ports
}

fn links(limits: Limits) -> (Link, Link) {
    let (requests_ab, requests_at_b) = queue(limits.requests);
    let (requests_ba, requests_at_a) = queue(limits.requests);
    let (answers_ab, answers_at_b) = queue(limits.requests);
    let (answers_ba, answers_at_a) = queue(limits.requests);
    let (told_ab, told_at_b) = queue(TOLD_BATCHES);
    let (told_ba, told_at_a) = queue(TOLD_BATCHES);
    let (taken_a, taken_b) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let link = |requests, answers, told, taken| {
        let ((requests_out, requests_in), (answers_out, answers_in)) = (requests, answers);
        let ((told_out, told_in), (taken_there, taken_here)) = (told, taken);
        Link {
            requests_out,
            requests_in,
            answers_out,
            answers_in,
            told_out,
            told_in,
            requests: Batch::new(),
            answers: Batch::new(),
            told: Batch::new(),
            left: None,
            outstanding: 0,
            outstanding_bytes: 0,
            answered_bytes: 0,
            taken_there,
            taken_here,
        }
    };
    (
        link(
            (requests_ab, requests_at_a),
            (answers_ab, answers_at_a),
            (told_ab, told_at_a),
            (taken_b.clone(), taken_a.clone()),
        ),
        link(
            (requests_ba, requests_at_b),
            (answers_ba, answers_at_b),
            (told_ba, told_at_b),
            (taken_a, taken_b),
        ),
    )
}

impl Port {
    /// The other cores.
    pub fn peers(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let me = self.me;
        (0..self.links.len()).filter(move |&core| core != me)
    }

    fn link(&mut self, core: usize) -> &mut Link {
        self.links[core]
            .as_mut()
            .expect("a core has a link to every core but itself, and sends itself nothing")
    }

    /// Tells all cores how long this one wants writers to be held back, and how long a long value may be.
    pub fn tell_pressure(&self, delay_us: u32, long_room: usize) {
        let mailbox = &self.pressures[self.me];
        let long_room_kib = u32::try_from(long_room >> 10).unwrap_or(u32::MAX);
        for (told, now) in [(&mailbox.delay_us, delay_us), (&mailbox.long_room_kib, long_room_kib)] {
            // Most often nothing has changed, and the others' copies of the cache line stay good.
            if told.load(Ordering::Relaxed) != now {
                told.store(now, Ordering::Relaxed);
            }
        }
    }

    /// How long a core wants writers to be held back, in microseconds, as it last said.
    pub fn delay_us(&self, core: usize) -> u32 {
        self.pressures[core].delay_us.load(Ordering::Relaxed)
    }

    /// How long a long value may be that a core takes, in bytes, as it last said.
    pub fn long_room(&self, core: usize) -> usize {
        (self.pressures[core].long_room_kib.load(Ordering::Relaxed) as usize) << 10
    }

    /// Whether there is a credit for another request to `core`.
    #[inline]
    pub fn has_credit(&self, core: usize) -> bool {
        self.links[core].as_ref().is_some_and(|link| {
            link.outstanding < self.limits.requests && link.outstanding_bytes < self.limits.request_bytes
        })
    }

    /// Whether `wanted` more requests may be sent to `core` at once.
    pub fn has_credits(&self, core: usize, wanted: usize) -> bool {
        self.has_credit(core)
            && self.links[core].as_ref().is_some_and(|link| link.outstanding + wanted <= self.limits.requests)
    }

    /// Takes a credit and appends a request, which `encode` writes. Returns its length, to be given back with
    /// [`Port::credit`]. The caller has asked [`Port::has_credit`].
    pub fn request(&mut self, core: usize, encode: impl FnOnce(&mut Batch)) -> usize {
        let limit = self.limits.requests;
        let link = self.link(core);
        assert!(link.outstanding < limit, "a request is sent only with a credit");
        let start = link.requests.len();
        encode(&mut link.requests);
        let bytes = link.requests.len() - start;
        link.outstanding += 1;
        link.outstanding_bytes += bytes;
        bytes
    }

    /// The last answer of a request of `bytes` bytes to `core` was taken in: its credit is free again.
    pub fn credit(&mut self, core: usize, bytes: usize) {
        let link = self.link(core);
        link.outstanding -= 1;
        link.outstanding_bytes -= bytes;
    }

    /// Appends an answer to a request of `core`.
    pub fn answer(&mut self, core: usize, encode: impl FnOnce(&mut Batch)) {
        let link = self.link(core);
        let start = link.answers.len();
        encode(&mut link.answers);
        link.answered_bytes += (link.answers.len() - start) as u64;
    }

    /// Appends something that `core` is told and doesn't answer.
    pub fn tell(&mut self, core: usize, encode: impl FnOnce(&mut Batch)) {
        encode(&mut self.link(core).told);
    }

    /// Whether `core` keeps up with our answers; while it doesn't, its requests are left in their queue.
    pub fn keeps_up(&self, core: usize) -> bool {
        self.links[core].as_ref().is_some_and(|link| {
            link.answered_bytes - link.taken_there.load(Ordering::Acquire) < self.limits.answer_bytes as u64
        })
    }

    /// Sends what was appended; calls `wake` for each core that has something new.
    pub fn flush(&mut self, mut wake: impl FnMut(usize)) {
        for core in 0..self.links.len() {
            let Some(link) = &mut self.links[core] else { continue };
            let mut sent = false;
            for (batch, queue) in
                [(&mut link.requests, &mut link.requests_out), (&mut link.answers, &mut link.answers_out)]
            {
                if !batch.is_empty() {
                    let empty = self.spares.pop().unwrap_or_default();
                    self.spare_bytes -= empty.capacity();
                    let full = std::mem::replace(batch, empty);
                    queue.push(full).expect("there are never more batches than credits");
                    sent = true;
                }
            }
            if !link.told.is_empty() {
                match link.told_out.push(std::mem::take(&mut link.told)) {
                    Ok(()) => sent = true,
                    Err(told) => link.told = told,
                }
            }
            if sent {
                wake(core);
            }
        }
    }

    /// The next batch of what `core` tells.
    pub fn take_told(&mut self, core: usize) -> Option<Batch> {
        self.link(core).told_in.pop()
    }

    /// The next batch of answers from `core`.
    pub fn take_answers(&mut self, core: usize) -> Option<Batch> {
        let link = self.link(core);
        let batch = link.answers_in.pop()?;
        link.taken_here.fetch_add(batch.len() as u64, Ordering::Release);
        Some(batch)
    }

    /// The next batch of requests from `core`.
    pub fn take_requests(&mut self, core: usize) -> Option<Batch> {
        let link = self.link(core);
        link.left.take().or_else(|| link.requests_in.pop())
    }

    /// Puts back what is left of a batch after its first `taken` bytes: it is the next one again.
    pub fn put_back(&mut self, core: usize, mut batch: Batch, taken: usize) {
        batch.drain(..taken);
        self.link(core).left = Some(batch);
    }

    /// Whether something lies in a queue to this core.
    pub fn has_mail(&mut self) -> bool {
        self.links.iter_mut().flatten().any(|link| {
            !link.answers_in.is_empty()
                || !link.requests_in.is_empty()
                || !link.told_in.is_empty()
                || link.left.is_some()
        })
    }

    /// Requests of ours that are not answered.
    pub fn outstanding(&self) -> usize {
        self.links.iter().flatten().map(|link| link.outstanding).sum()
    }

    /// Takes back an emptied batch for reuse.
    pub fn recycle(&mut self, mut batch: Batch) {
        let bytes = batch.capacity();
        let fits = bytes <= SPARE_BYTES_MAX && self.spare_bytes + bytes <= self.limits.spare_bytes;
        if self.spares.len() < SPARES_MAX && fits {
            batch.clear();
            self.spare_bytes += bytes;
            self.spares.push(batch);
        }
    }
}

#[cfg(test)]
mod tests;
