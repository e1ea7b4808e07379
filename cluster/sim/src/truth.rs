//! What a shard's time may be, by what truly passed: the promises of `docs/consistency.md` on time, checked from outside.
//!
//! 1. While a shard is open its time goes on with true time. So it is known from its opening on.
//! 2. At an opening in the same boot it goes on by what passed; in another boot by what the wall clock says, at least by
//!    [`MARGIN_US`] behind what the log knew.
//! 3. The wall clock that users name times by is the machine's, but for one that was set by over 10 s less than a
//!    minute ago; also over openings in the same boot ([`wall`]).

mod wall;

pub use wall::Look;

use super::clock::Clock;
use super::model::Lead;
use pinion_engine::clock::{BootId, Clocks, GAP_US_MAX, MARGIN_US, TimeJump};
use wall::Wall;

/// Clocks are compared to so many microseconds.
const SLACK_US: u64 = 1_000;

/// Bounds, microseconds.
type Bounds = (i64, i64);

/// One life of a shard: from an opening to an end.
#[derive(Clone, Debug)]
struct Life {
    boot: BootId,
    /// How far its time is ahead of CLOCK_BOOTTIME.
    ahead_us: i64,
    /// Its time when it was opened, when it was seen last, and as far as the log is known to know it.
    opened_us: u64,
    now_us: u64,
    kept_us: u64,
    opened_kept_us: u64,
    /// How far its wall clock was ahead of it: ever; since the log learned of it last; and before that.
    leads: Bounds,
    leads_now: Bounds,
    leads_before: Bounds,
    /// What a crash took of its log, if anything.
    has_lost: bool,
    wall: Wall,
}

impl Life {
    fn learn(&mut self, clocks: &Clocks) {
        let lead = lead_us(clocks);
        self.now_us = clocks.now_us;
        self.leads = hull(self.leads, (lead, lead));
        if clocks.kept_us > self.kept_us {
            self.kept_us = clocks.kept_us;
            self.leads_before = self.leads_now;
            self.leads_now = (lead, lead);
        }
        self.leads_now = hull(self.leads_now, (lead, lead));
    }

    /// Whether its log knows the time in it for sure.
    fn is_logged(&self) -> bool {
        self.kept_us > self.opened_kept_us && !self.has_lost
    }

    /// Bounds of the time that its log ends with, and of the wall clock's lead then.
    fn logged(&self) -> ((u64, u64), Bounds) {
        match self.is_logged() {
            true => ((self.kept_us, self.now_us), hull(self.leads_before, self.leads_now)),
            false => ((self.opened_us, self.now_us), self.leads),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Shard {
    lives: Vec<Life>,
    open: Option<Life>,
    /// A start failed behind the opening of this shard: nobody saw what it made of the time.
    is_uncertain: bool,
    /// No later opening goes back behind this time.
    least_us: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct Truth {
    shards: Vec<Shard>,
    /// When the machine last slept.
    slept_us: Option<u64>,
}

impl Truth {
    /// Of a store that isn't made yet.
    pub fn new(shards: usize) -> Truth {
        Truth { shards: vec![Shard::default(); shards], slept_us: None }
    }

    /// The machine slept up to now: nobody looked at a clock.
    pub fn slept(&mut self, clock: &Clock) {
        self.slept_us = Some(clock.us());
    }

    /// A start failed.
    pub fn start_failed(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.is_uncertain = true);
    }

    /// A shard was opened, and shows these clocks. The error says what else it should show.
    pub fn opened(
        &mut self,
        core: usize,
        clocks: Clocks,
        clock: &Clock,
        jump: TimeJump,
    ) -> Result<(), String> {
        let shard = &mut self.shards[core];
        let us = clocks.now_us;
        if us < shard.least_us {
            return Err(format!("time is {us}, but was {} or more", shard.least_us));
        }
        let allowed = shard.allowed(&clocks, clock, jump);
        let fits = |&(from, to): &(u64, u64)| (from..=to).contains(&us);
        if !shard.is_uncertain && !allowed.iter().any(fits) {
            return Err(format!("time is {us}, which is in none of {allowed:?}; {:?}", shard.lives.last()));
        }
        let wall = shard.wall(&clocks, clock)?;
        let lead = lead_us(&clocks);
        shard.open = Some(Life {
            boot: clock.boot().id,
            ahead_us: us as i64 - clocks.boot_us as i64,
            opened_us: us,
            now_us: us,
            kept_us: clocks.kept_us,
            opened_kept_us: clocks.kept_us,
            leads: (lead, lead),
            leads_now: (lead, lead),
            leads_before: (lead, lead),
            has_lost: false,
            wall,
        });
        Ok(())
    }

    /// A core has had its turn: its shard shows these clocks. The error says what else it should show.
    pub fn looked(&mut self, core: usize, look: Look, clock: &Clock) -> Result<(), String> {
        let slept_us = self.slept_us.unwrap_or(0);
        let Some(life) = &mut self.shards[core].open else { return Ok(()) };
        let (us, passed_us) = (look.clocks.now_us, clock.boot().us as i64 + life.ahead_us);
        if us as i64 != passed_us {
            return Err(format!("time is {us}, but by what passed it is {passed_us}"));
        }
        life.learn(&look.clocks);
        let kept_us = clock.us().saturating_sub(us.saturating_sub(life.kept_us));
        life.wall.looked(look, kept_us, clock, slept_us)
    }

    /// The node is gone. `reboots`: the machine too; `loses`: its log, in part.
    pub fn closed(&mut self, clock: &Clock, reboots: bool, loses: bool) {
        for shard in &mut self.shards {
            let Some(mut life) = shard.open.take() else { continue };
            life.wall.closed(clock);
            life.now_us = clock.boot().us.saturating_add_signed(life.ahead_us);
            life.has_lost = loses;
            // What an unseen opening left counts until something newer is logged.
            shard.is_uncertain &= !life.is_logged();
            // Where nothing expires an opening needn't write down what it made of the time.
            let is_written_down = life.is_logged() || life.opened_kept_us >= life.opened_us;
            shard.least_us = match (reboots, loses) {
                (false, _) if is_written_down => life.now_us,
                (false, _) => shard.least_us,
                (true, false) => life.now_us.min(life.kept_us + MARGIN_US),
                (true, true) => 0,
            };
            shard.lives.push(life);
        }
    }

    /// Whether all shards that were ever opened have one time.
    pub fn is_one_time(&self) -> bool {
        let mut last = self.shards.iter().map(|shard| shard.lives.last());
        let same = |life: Option<&Life>| life.map(|life| (life.boot, life.ahead_us, life.has_lost));
        let Some(first) = last.next().map(same) else { return true };
        last.all(|life| same(life) == first) && self.shards.iter().all(|shard| !shard.is_uncertain)
    }

    /// The store has other shards now. They go on with the one time that the old ones had.
    pub fn resharded(&mut self, shards: usize) {
        let (lives, least_us) =
            self.shards.iter().map(|shard| (shard.lives.clone(), shard.least_us)).next().unwrap_or_default();
        let merged = Shard { lives, least_us, is_uncertain: true, open: None };
        self.shards = vec![merged; shards];
    }

    /// Bounds of all shards' time now, microseconds. When they are down: of what no opening goes back behind.
    pub fn bounds_us(&self, clock: &Clock) -> (u64, u64) {
        let boot_us = clock.boot().us;
        let time = |shard: &Shard| match &shard.open {
            Some(open) => boot_us.saturating_add_signed(open.ahead_us),
            None => shard.least_us,
        };
        let (least, most) = (self.shards.iter().map(time).min(), self.shards.iter().map(time).max());
        (least.unwrap_or(0), most.unwrap_or(0))
    }

    /// How far wall clocks are ahead of the open shards' times. A key's own shard makes an expiry of a time that is named; the
    /// core that somebody asks tells it, by its own wall clock, and one may have looked at a clock that was set while the
    /// other hasn't.
    pub fn lead(clocks: impl Iterator<Item = Clocks>) -> Lead {
        let by_boot = |clocks: Clocks| {
            let ahead_ms = (clocks.now_us as i64 - clocks.boot_us as i64).div_euclid(1000);
            (clocks.lead_ms() + ahead_ms, ahead_ms)
        };
        let (walls, times): (Vec<i64>, Vec<i64>) = clocks.map(by_boot).unzip();
        let bounds = |all: &[i64]| Some((*all.iter().min()?, *all.iter().max()?));
        let (Some(walls), Some(times)) = (bounds(&walls), bounds(&times)) else { return Lead::default() };
        Lead { from: walls.0 - times.1, to: walls.1 - times.0 }
    }
}

impl Shard {
    /// The wall clock of an opening now.
    fn wall(&self, clocks: &Clocks, clock: &Clock) -> Result<Wall, String> {
        let of_this_boot = || self.lives.iter().filter(|life| life.boot == clock.boot().id);
        let is_certain = |life: &&Life| life.boot == clock.boot().id && !life.has_lost && !self.is_uncertain;
        let before = self.lives.last().filter(is_certain).map(|life| &life.wall);
        let mut wall = Wall::opened(clocks, clock, before)?;
        if self.is_uncertain || of_this_boot().any(|life| life.wall.may_be_written()) {
            wall.note_uncertain();
        } else {
            wall.check_fresh(clock)?;
        }
        Ok(wall)
    }

    /// What its time may be at an opening now: bounds for each stamp that its log or manifest may end with.
    fn allowed(&self, clocks: &Clocks, clock: &Clock, jump: TimeJump) -> Vec<(u64, u64)> {
        let (boot, wall_us) = (clock.boot(), clock.unix_us() as i64);
        let mut allowed = Vec::new();
        for life in self.lives.iter().rev() {
            if life.boot == boot.id {
                let us = boot.us.saturating_add_signed(life.ahead_us);
                allowed.push((us, us));
            } else {
                let ((kept_us, now_us), (lead_least, lead_most)) = life.logged();
                let by_wall = |lead: i64| u64::try_from(wall_us - lead).unwrap_or(0);
                let (from, to) = (kept_us + MARGIN_US, now_us + MARGIN_US + SLACK_US);
                allowed.push((from.max(by_wall(lead_most)), to.max(by_wall(lead_least) + SLACK_US)));
                let gap_us = wall_us - lead_least - kept_us as i64;
                // Where it couldn't be written down what has passed, nothing has.
                let is_untold = clocks.kept_us < clocks.now_us;
                if is_untold || jump == TimeJump::Ignore && gap_us > GAP_US_MAX as i64 {
                    allowed.push((from, to));
                }
            }
            if life.is_logged() {
                return allowed;
            }
        }
        // Nothing was ever logged.
        allowed.push((clock.unix_us(), clock.unix_us() + SLACK_US));
        allowed
    }
}

fn hull(a: Bounds, b: Bounds) -> Bounds {
    (a.0.min(b.0), a.1.max(b.1))
}

fn lead_us(clocks: &Clocks) -> i64 {
    clocks.wall_us as i64 - clocks.now_us as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clocks that are ahead of CLOCK_BOOTTIME by this, milliseconds.
    fn clocks(shard_ms: u64, wall_ms: u64) -> Clocks {
        let boot_us = 7_000_500;
        Clocks { now_us: boot_us + shard_ms * 1000, kept_us: 0, wall_us: boot_us + wall_ms * 1000, boot_us }
    }

    #[test]
    fn a_time_that_one_shard_took_may_be_told_by_another_that_has_seen_a_clock_set() {
        let shards = [clocks(50_000, 50_000), clocks(53_955, 3_650_000)];
        let lead = Truth::lead(shards.into_iter());
        for (owner, teller) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let expiry = shards[owner].expiry_at(9_000_000);
            let told = shards[teller].told_ms(shards[teller].from_boot(shards[owner].to_boot(expiry)));
            assert!(lead.expiry_of(told).has(expiry.0), "shard {owner}'s, told by {teller}");
        }
        assert_eq!(Truth::lead([shards[1]].into_iter()), Lead { from: 3_596_045, to: 3_596_045 });
    }
}
