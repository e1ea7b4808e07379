//! Time as a shard knows it. Nothing here asks for the time: it comes in, as a [`Now`].
//!
//! 1. **Shard time** is what expiry goes by. While a shard is open it goes on with CLOCK_BOOTTIME, which counts the time
//!    that a machine sleeps, and with nothing else. It began as the wall clock when the shard was made.
//! 2. The **wall clock** is looked at only at the edges (a user names a time, or is told one) and for versions, and
//!    only through a filter: see [`wall`].
//! 3. A [`ClockStamp`] says both, and BOOTTIME, of one moment. Log and manifest carry stamps, so that an opening
//!    knows where shard time stood. In the same boot it goes on by what passed of BOOTTIME. In another boot only
//!    the wall clock knows what passed ([`ClockStamp::gap_us`]); if it shows less than it did, time goes on by
//!    [`MARGIN_US`], which is more than a log that is written lacks of it. So shard time never goes back.

mod bytes;
mod meeting;
mod wall;

pub use bytes::STAMP_BYTES;
pub use meeting::Meeting;
pub use wall::LOOK_US;

use crate::key::Expiry;
use wall::Wall;

/// One boot of one machine. The default is none that is known, and equals no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Not known: what an older build logged, or a machine that doesn't tell.
    pub const UNKNOWN: BootId = BootId([0; 16]);
}

/// A reading of CLOCK_BOOTTIME.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootTime {
    /// The boot that it counts from.
    pub id: BootId,
    /// Microseconds.
    pub us: u64,
}

impl BootTime {
    /// What passed since an earlier reading, microseconds; `None` if that was in another boot.
    fn since(&self, earlier: &BootTime) -> Option<u64> {
        let is_same = self.id == earlier.id && self.id != BootId::UNKNOWN;
        self.us.checked_sub(earlier.us).filter(|_| is_same)
    }
}

/// One reading of the clocks. A shard never asks for the time itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, microseconds since the Unix epoch.
    pub unix_us: u64,
    /// A clock that never goes back, microseconds: for whatever waits, and for nothing that is kept.
    pub mono_us: u64,
    /// What shard time goes on with.
    pub boot: BootTime,
}

/// All clocks of one moment: what log and manifest carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStamp {
    /// Shard time, microseconds.
    pub shard_us: u64,
    /// The wall clock as it counted then, microseconds since the Unix epoch.
    pub wall_us: u64,
    /// Whether that wall clock had stood for long enough to be believed.
    pub is_sure: bool,
    /// CLOCK_BOOTTIME.
    pub boot: BootTime,
}

/// Whether a wall clock that shows more than [`GAP_US_MAX`] more than the log did, in another boot, is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeJump {
    /// The shard doesn't open: somebody must say which it is.
    #[default]
    Refuse,
    /// The time has passed; what would have expired meanwhile has.
    Follow,
    /// It hasn't; shard time goes on where it stood.
    Ignore,
}

/// The latest time that is taken for true, the year 3111: versions start from the wall clock and have 56 bits.
pub const CLOCK_US_MAX: u64 = 1 << 55;

/// Shard time goes on by so much at least in another boot, where the wall clock tells nothing: the log learns the time once
/// a second, and a machine takes longer than that to start.
pub const MARGIN_US: u64 = 2_000_000;

/// A gap that is reported, microseconds: an hour.
pub const GAP_US_REPORTED: u64 = 3_600_000_000;

/// A gap that somebody must explain, microseconds: a day.
pub const GAP_US_MAX: u64 = 24 * GAP_US_REPORTED;

impl ClockStamp {
    /// What a build says that logged one clock, which was the higher one of wall clock and shard time.
    pub fn of_one_clock(clock_us: u64) -> ClockStamp {
        ClockStamp { shard_us: clock_us, wall_us: clock_us, is_sure: true, boot: BootTime::default() }
    }

    /// The stamp as of a later shard time in the same life of a shard: all clocks go on alike.
    pub fn moved_to(self, shard_us: u64) -> ClockStamp {
        let passed = shard_us.saturating_sub(self.shard_us);
        ClockStamp {
            shard_us: self.shard_us + passed,
            wall_us: self.wall_us.saturating_add(passed),
            boot: BootTime { id: self.boot.id, us: self.boot.us.saturating_add(passed) },
            ..self
        }
    }

    /// The newest stamp behind an entry that carries this shard time.
    pub fn behind_entry(before: Option<ClockStamp>, shard_us: u64) -> Option<ClockStamp> {
        Some(before.map_or_else(|| ClockStamp::of_one_clock(shard_us), |stamp| stamp.moved_to(shard_us)))
    }

    /// The newer of two stamps. Shard time doesn't go back, so it tells.
    pub fn or_newer(self, other: Option<ClockStamp>) -> ClockStamp {
        other.filter(|other| other.shard_us > self.shard_us).unwrap_or(self)
    }

    /// What BOOTTIME says has passed since, microseconds; `None` if this was in another boot. A reading of this very moment
    /// ([`ClockStamp::now`]) is in the same one, whether anybody knows which that was.
    fn passed_us(&self, now: &Now) -> Option<u64> {
        let is_this = (now.boot, now.unix_us) == (self.boot, self.wall_us);
        if is_this { Some(0) } else { now.boot.since(&self.boot) }
    }

    /// What the wall clock says has passed since, microseconds, if nothing else knows: this was in another boot.
    /// Negative if it shows less now.
    pub fn gap_us(&self, now: &Now) -> Option<i64> {
        let is_known = self.passed_us(now).is_some();
        (!is_known).then(|| signed(now.unix_us) - signed(self.wall_us))
    }

    /// What it says of the wall clock to an opening at this moment, as [`ShardClock::base`] does; `None` if this was in
    /// another boot.
    pub fn base(&self, now: &Now) -> Option<(i64, bool)> {
        self.passed_us(now).map(|_| (signed(self.wall_us) - signed(self.boot.us), self.is_sure))
    }

    /// The clocks as of this moment.
    pub fn clocks(&self) -> Clocks {
        let ClockStamp { shard_us, wall_us, boot, .. } = *self;
        Clocks { now_us: shard_us, kept_us: shard_us, wall_us, boot_us: boot.us }
    }

    /// This moment as a reading: a shard that is opened by it goes on where it stood, and stands still.
    pub fn now(&self) -> Now {
        Now { unix_us: self.wall_us, mono_us: 0, boot: self.boot }
    }
}

/// The time of an open shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardClock {
    /// Shard time, microseconds; differs from BOOTTIME by whole milliseconds.
    us: u64,
    boot: BootTime,
    wall: Wall,
}

impl ShardClock {
    /// The clock of a shard that is made, or opened where its log and manifest end with `stamp`. A gap of more than
    /// [`GAP_US_MAX`] counts as time that passed unless it is to be ignored.
    pub fn resume(stamp: Option<ClockStamp>, now: &Now, jump: TimeJump) -> ShardClock {
        let boot = now.boot;
        let unsure = || Wall::unsure(boot.us, offset_us(now));
        let Some(stamp) = stamp else {
            let us = now.unix_us.min(CLOCK_US_MAX);
            return ShardClock { us: aligned(us, boot.us), boot, wall: unsure() };
        };
        let Some(passed) = stamp.passed_us(now) else {
            let gap_us = signed(now.unix_us) - signed(stamp.wall_us);
            let is_ignored = jump == TimeJump::Ignore && gap_us > signed(GAP_US_MAX);
            let passed = if is_ignored { 0 } else { u64::try_from(gap_us).unwrap_or(0) };
            let us = stamp.shard_us.min(CLOCK_US_MAX) + passed.max(MARGIN_US);
            return ShardClock { us: aligned(us, boot.us), boot, wall: unsure() };
        };
        let mut wall = match stamp.base(now) {
            Some((offset_us, true)) => Wall::sure(offset_us),
            _ => unsure(),
        };
        wall.look(boot.us, offset_us(now));
        ShardClock { us: stamp.shard_us.min(CLOCK_US_MAX).saturating_add(passed), boot, wall }
    }

    /// Takes the time.
    #[inline]
    pub fn tick(&mut self, now: &Now) {
        let passed = now.boot.us.saturating_sub(self.boot.us);
        self.us += passed;
        self.boot.us += passed;
        self.wall.look(self.boot.us, offset_us(now));
    }

    /// Shard time, microseconds.
    #[inline]
    pub fn us(&self) -> u64 {
        self.us
    }

    /// The wall clock as it counts, microseconds since the Unix epoch.
    #[inline]
    pub fn wall_us(&self) -> u64 {
        self.boot.us.saturating_add_signed(self.wall.offset_us())
    }

    /// All clocks as of now.
    pub fn stamp(&self) -> ClockStamp {
        let is_sure = self.wall.is_sure(self.boot.us);
        ClockStamp { shard_us: self.us, wall_us: self.wall_us(), is_sure, boot: self.boot }
    }

    /// What a stamp says that doesn't follow from an earlier one by the time that passed.
    pub fn base(&self) -> (i64, bool) {
        (self.wall.offset_us(), self.wall.is_sure(self.boot.us))
    }

    /// Whether an opening in this boot must be told what the wall clock is, because it knows only this
    /// ([`ShardClock::base`]) and would go by another.
    pub fn is_news(&self, known: Option<(i64, bool)>) -> bool {
        self.wall.is_news(self.boot.us, known)
    }

    /// What others are told of the time, where the log knows it up to `kept_us`.
    pub fn clocks(&self, kept_us: u64) -> Clocks {
        Clocks { now_us: self.us, kept_us, wall_us: self.wall_us(), boot_us: self.boot.us }
    }
}

/// The time of a shard as others are told it. Expiries are in shard time wherever they are stored; who shows one to a user,
/// or to another shard, translates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Shard time, microseconds. It never goes back.
    pub now_us: u64,
    /// What the log knows of it, as far as it is written.
    pub kept_us: u64,
    /// The wall clock as it counts, microseconds since the Unix epoch.
    pub wall_us: u64,
    /// CLOCK_BOOTTIME, microseconds: what the shards of a node have in common.
    pub boot_us: u64,
}

impl Clocks {
    /// Shard time, milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// How far the wall clock is ahead of shard time, milliseconds.
    pub fn lead_ms(&self) -> i64 {
        lead_ms(self.wall_us, self.now_us)
    }

    /// The wall clock as it counts, milliseconds: [`Clocks::told_ms`] of now.
    pub fn wall_ms(&self) -> u64 {
        self.now_ms().saturating_add_signed(self.lead_ms())
    }

    /// The expiry that a user names by the wall clock.
    pub fn expiry_at(&self, wall_ms: u64) -> Expiry {
        shifted(wall_ms, -self.lead_ms())
    }

    /// The expiry so many milliseconds from now; `None` if no number holds it.
    pub fn expiry_after(&self, ms: u64) -> Option<Expiry> {
        let at = self.now_ms().checked_add(ms).map(|at| Expiry(at.max(1)));
        at.filter(|&at| at <= Expiry::MAX)
    }

    /// An expiry by the wall clock, for users: milliseconds since the Unix epoch, 0 for never.
    #[inline]
    pub fn told_ms(&self, expiry: Expiry) -> u64 {
        if expiry == Expiry::NEVER { 0 } else { shifted(expiry.0, self.lead_ms()).0 }
    }

    /// The expiry of a value that is there, on its way to another shard of this machine: in BOOTTIME, 0 for never.
    #[inline]
    pub fn to_boot(&self, expiry: Expiry) -> u64 {
        if expiry == Expiry::NEVER { 0 } else { expiry.0.wrapping_add_signed(-self.ahead_of_boot_ms()) }
    }

    /// An expiry of another shard of this machine, in this one's time.
    #[inline]
    pub fn from_boot(&self, boot_ms: u64) -> Expiry {
        if boot_ms == 0 {
            return Expiry::NEVER;
        }
        Expiry(boot_ms.wrapping_add_signed(self.ahead_of_boot_ms()).clamp(1, Expiry::MAX.0))
    }

    /// How far shard time is ahead of BOOTTIME: whole milliseconds, the same as long as the shard is open.
    fn ahead_of_boot_ms(&self) -> i64 {
        (signed(self.now_us) - signed(self.boot_us)).div_euclid(1000)
    }
}

/// An expiry that many milliseconds later. It stays an expiry, however far it is moved.
fn shifted(ms: u64, by_ms: i64) -> Expiry {
    Expiry(ms.min(Expiry::MAX.0).saturating_add_signed(by_ms).clamp(1, Expiry::MAX.0))
}

fn lead_ms(wall_us: u64, shard_us: u64) -> i64 {
    (signed(wall_us) - signed(shard_us)).div_euclid(1000)
}

fn offset_us(now: &Now) -> i64 {
    signed(now.unix_us.min(CLOCK_US_MAX)) - signed(now.boot.us)
}

/// A time as a number with a sign. None is as late as this allows, whatever a file says.
fn signed(us: u64) -> i64 {
    us.min(1 << 62) as i64
}

/// The next shard time that differs from this BOOTTIME by whole milliseconds.
fn aligned(us: u64, boot_us: u64) -> u64 {
    us + (1000 + boot_us % 1000 - us % 1000) % 1000
}

#[cfg(test)]
mod tests;
