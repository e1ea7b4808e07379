//! Requests in flight, and doing them when their time has come.

use super::faults::Speed;
use super::file::Sequence;
use super::media::Media;
use super::names::Inode;
use pinion_engine::io::{FileName, IoCompletion, IoOutput, IoRequest};
use pinion_engine::job::JobId;
use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::ops::Range;

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    pub request: IoRequest,
    /// The job that asked; `None` for the shard.
    pub owner: Option<JobId>,
    /// Everything up to here had been done when it was asked for.
    asked: Sequence,
    /// The file that its name meant when it was asked for: drivers keep files open.
    inode: Option<Inode>,
}

impl InFlight {
    /// Whether files may lose their last name by it.
    pub fn changes_names(&self) -> bool {
        use IoRequest::{Create, Rename, SyncDir, Unlink};
        matches!(self.request, Create { .. } | Rename { .. } | SyncDir { .. } | Unlink { .. })
    }
}

/// When a request is done; chance decides among those of one moment, then their order.
type Due = (u64, u32, u64);

/// The requests in flight.
#[derive(Debug, Default)]
pub(super) struct Queue {
    requests: BTreeMap<Due, InFlight>,
    pushed: u64,
}

impl Queue {
    pub fn push(
        &mut self,
        media: &mut Media,
        request: IoRequest,
        owner: Option<JobId>,
        now_us: u64,
        rng: &mut SmallRng,
    ) {
        let takes_us = draw_us(&media.faults.speed, &request, &mut media.counters.stalls, rng);
        self.pushed += 1;
        let inode = file_of(&request).and_then(|file| media.find(file).ok());
        let in_flight = InFlight { asked: media.sequence(), inode, request, owner };
        self.requests.insert((now_us + takes_us, rng.random(), self.pushed), in_flight);
    }

    pub fn next_due_us(&self) -> Option<u64> {
        self.requests.keys().next().map(|(due_us, ..)| *due_us)
    }

    pub fn pop_due(&mut self, now_us: u64) -> Option<InFlight> {
        let first = self.requests.first_entry()?;
        (first.key().0 <= now_us).then(|| first.remove())
    }

    pub fn take_all(&mut self) -> Vec<InFlight> {
        std::mem::take(&mut self.requests).into_values().collect()
    }

    pub fn clear(&mut self) {
        self.requests.clear();
    }

    /// The files that requests are about.
    pub fn inodes(&self) -> BTreeSet<Inode> {
        self.requests.values().filter_map(|in_flight| in_flight.inode).collect()
    }

    pub fn describe(&self) -> impl Iterator<Item = (&'static str, Option<FileName>)> {
        self.requests.values().map(|in_flight| (operation(&in_flight.request), file_of(&in_flight.request)))
    }
}

fn operation(request: &IoRequest) -> &'static str {
    match request {
        IoRequest::Create { .. } => "create",
        IoRequest::Write { sync: false, .. } => "write",
        IoRequest::Write { sync: true, .. } => "write and sync",
        IoRequest::Read { .. } => "read",
        IoRequest::Sync { .. } => "sync",
        IoRequest::SyncDir { .. } => "sync the directory",
        IoRequest::Rename { .. } => "rename",
        IoRequest::Unlink { .. } => "unlink",
    }
}

fn file_of(request: &IoRequest) -> Option<FileName> {
    match *request {
        IoRequest::Create { file, .. }
        | IoRequest::Write { file, .. }
        | IoRequest::Read { file, .. }
        | IoRequest::Sync { file, .. }
        | IoRequest::Rename { from: file, .. }
        | IoRequest::Unlink { file, .. } => Some(file),
        IoRequest::SyncDir { .. } => None,
    }
}

fn draw_us(speed: &Speed, request: &IoRequest, stalls: &mut u64, rng: &mut SmallRng) -> u64 {
    use IoRequest::{Create, Read, Rename, Sync, SyncDir, Unlink, Write};
    // Most are near the lower end, as with real devices.
    let mut within = |range: &Range<u64>| {
        let spread = range.end.saturating_sub(range.start);
        range.start + (rng.random_range(0..=spread) >> rng.random_range(0..4_u32))
    };
    let mut takes_us = match request {
        Read { .. } => within(&speed.read_us),
        Write { sync, .. } => within(&speed.write_us) + if *sync { within(&speed.sync_us) } else { 0 },
        Sync { .. } | SyncDir { .. } => within(&speed.sync_us),
        Create { .. } | Rename { .. } | Unlink { .. } => within(&speed.name_us),
    };
    if speed.stalls_ppm > 0 && rng.random_range(0..1_000_000) < speed.stalls_ppm {
        *stalls += 1;
        takes_us += rng.random_range(speed.stall_us.start..speed.stall_us.end.max(speed.stall_us.start + 1));
    }
    takes_us
}

/// Does what a request asks for.
pub(super) fn perform(media: &mut Media, in_flight: InFlight, rng: &mut SmallRng) -> IoCompletion {
    let InFlight { request, asked, inode, .. } = in_flight;
    let named = |media: &Media, name| match inode {
        Some(inode) => Ok(inode),
        None => media.find(name).map_err(|_| std::io::Error::from(ErrorKind::NotFound)),
    };
    let done = |result: std::io::Result<()>| result.map(|()| IoOutput::Done);
    let (token, result) = match request {
        IoRequest::Create { token, file } => (token, done(media.create(file, rng))),
        IoRequest::Write { token, file, offset, data, sync } => {
            let written = named(media, file).and_then(|inode| {
                media.write(inode, offset, &data, rng)?;
                if sync { media.sync(inode, media.sequence(), rng) } else { Ok(()) }
            });
            (token, written.map(|()| IoOutput::Written(data)))
        }
        IoRequest::Read { token, file, offset, len } => {
            let read = named(media, file).and_then(|inode| media.read(inode, offset, len, rng));
            (token, read.map(IoOutput::Data))
        }
        IoRequest::Sync { token, file } => {
            (token, done(named(media, file).and_then(|inode| media.sync(inode, asked, rng))))
        }
        IoRequest::SyncDir { token } => (token, done(media.sync_dir(asked, rng))),
        IoRequest::Rename { token, from, to } => (token, done(media.rename(from, to, rng))),
        IoRequest::Unlink { token, file } => (token, done(media.unlink(file, rng))),
    };
    IoCompletion { token, result }
}

/// Does any part of a request that a crash caught in flight.
pub(super) fn perform_part(media: &mut Media, in_flight: InFlight, rng: &mut SmallRng) {
    match in_flight.request {
        IoRequest::Write { file, offset, data, .. } => {
            if let Some(inode) = in_flight.inode.or_else(|| media.find(file).ok()) {
                media.write_part(inode, offset, &data, rng);
            }
        }
        // A crash finds unsynced data in any state, so also in that of a sync that was done in part.
        IoRequest::Sync { .. } | IoRequest::SyncDir { .. } => {}
        IoRequest::Read { .. } => {}
        _ => {
            if rng.random() {
                perform(media, in_flight, rng);
            }
        }
    }
}
