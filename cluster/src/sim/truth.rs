//! What a shard's time may be, by what truly passed: the promises of `docs/consistency.md` on time, checked from outside.
//!
//! 1. While a shard is open its time goes on with true time. So it is known from its opening on.
//! 2. At an opening in the same boot it goes on by what passed; in another boot by what the wall clock says, at least by
//!    [`MARGIN_US`] behind what the log knew.
//! 3. The wall clock that users name times by is the machine's, but for one that was set by over 10 s less than a
//!    minute ago.

use super::clock::Clock;
use super::model::Lead;
use pinion_engine::clock::{BootId, Clocks, GAP_US_MAX, LOOK_US, MARGIN_US, TimeJump};

/// Steps of the wall clock up to this one count at once; larger ones when they have stood for so long, microseconds.
const STEP_US: u64 = 10_000_000;
const STANDS_US: u64 = 60_000_000;
/// A wall clock that has stood for so long counts: it was looked at, and then for a minute.
const COUNTS_US: u64 = STANDS_US + 4 * LOOK_US;
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
}

impl Life {
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
    open: Option<Open>,
    /// A start failed behind the opening of this shard: nobody saw what it made of the time.
    is_uncertain: bool,
    /// No later opening goes back behind this time.
    least_us: u64,
}

#[derive(Clone, Debug)]
struct Open {
    life: Life,
    /// How far its wall clock is ahead of the right time, and until when it may change it at once.
    wall_us: i64,
    unsure_until_us: u64,
    since_us: u64,
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
        let allowed = shard.allowed(clock, jump);
        let fits = |&(from, to): &(u64, u64)| (from..=to).contains(&us);
        if !shard.is_uncertain && !allowed.iter().any(fits) {
            return Err(format!("time is {us}, which is in none of {allowed:?}; {:?}", shard.lives.last()));
        }
        let lead = lead_us(&clocks);
        let life = Life {
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
        };
        let (since_us, wall_us) = (clock.us(), wall_us(&clocks, clock));
        shard.open = Some(Open { life, wall_us, unsure_until_us: since_us + STANDS_US, since_us });
        Ok(())
    }

    /// A core has had its turn: its shard shows these clocks. The error says what else it should show.
    pub fn looked(&mut self, core: usize, clocks: Clocks, clock: &Clock) -> Result<(), String> {
        let slept_us = self.slept_us;
        let Some(open) = &mut self.shards[core].open else { return Ok(()) };
        let passed_us = clock.boot().us as i64 + open.life.ahead_us;
        if clocks.now_us as i64 != passed_us {
            return Err(format!("time is {}, but by what passed it is {passed_us}", clocks.now_us));
        }
        open.learn(&clocks);
        open.look_at_wall(&clocks, clock, slept_us)
    }

    /// The node is gone. `reboots`: the machine too; `loses`: its log, in part.
    pub fn closed(&mut self, clock: &Clock, reboots: bool, loses: bool) {
        for shard in &mut self.shards {
            let Some(Open { mut life, .. }) = shard.open.take() else { continue };
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
            Some(open) => boot_us.saturating_add_signed(open.life.ahead_us),
            None => shard.least_us,
        };
        let (least, most) = (self.shards.iter().map(time).min(), self.shards.iter().map(time).max());
        (least.unwrap_or(0), most.unwrap_or(0))
    }

    /// How far the wall clocks of the open shards are ahead of their time.
    pub fn lead(clocks: impl Iterator<Item = Clocks>) -> Lead {
        let leads: Vec<i64> = clocks.map(|clocks| clocks.lead_ms()).collect();
        Lead { from: leads.iter().min().copied().unwrap_or(0), to: leads.iter().max().copied().unwrap_or(0) }
    }
}

impl Shard {
    /// What its time may be at an opening now: bounds for each stamp that its log or manifest may end with.
    fn allowed(&self, clock: &Clock, jump: TimeJump) -> Vec<(u64, u64)> {
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
                if jump == TimeJump::Ignore && gap_us > GAP_US_MAX as i64 {
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

impl Open {
    fn learn(&mut self, clocks: &Clocks) {
        let (life, lead) = (&mut self.life, lead_us(clocks));
        life.now_us = clocks.now_us;
        life.leads = hull(life.leads, (lead, lead));
        if clocks.kept_us > life.kept_us {
            life.kept_us = clocks.kept_us;
            life.leads_before = life.leads_now;
            life.leads_now = (lead, lead);
        }
        life.leads_now = hull(life.leads_now, (lead, lead));
    }

    fn look_at_wall(&mut self, clocks: &Clocks, clock: &Clock, slept_us: Option<u64>) -> Result<(), String> {
        let (wall_us, right_us) = (wall_us(clocks, clock), clock.ahead_us());
        let step_us = wall_us.abs_diff(self.wall_us);
        if step_us > SLACK_US && wall_us.abs_diff(right_us) > SLACK_US {
            return Err(format!(
                "its wall clock went to {wall_us} us ahead, but the machine's is {right_us}"
            ));
        }
        let is_unsure = clock.us() <= self.unsure_until_us;
        if step_us > STEP_US + SLACK_US {
            if !is_unsure && !clock.has_stood(wall_us, STANDS_US, STEP_US + SLACK_US) {
                return Err(format!(
                    "its wall clock went {step_us} us, by one that hasn't stood for a minute"
                ));
            }
            self.unsure_until_us = if is_unsure { clock.us() + STANDS_US } else { self.unsure_until_us };
        }
        self.wall_us = wall_us;
        let has_slept = slept_us.is_some_and(|us| us + COUNTS_US > clock.us());
        let is_due =
            self.since_us + COUNTS_US <= clock.us() && !clock.was_set_within(COUNTS_US) && !has_slept;
        if is_due && wall_us.abs_diff(right_us) > SLACK_US {
            return Err(format!(
                "its wall clock is {wall_us} us ahead, the machine's has long been {right_us}"
            ));
        }
        Ok(())
    }
}

fn hull(a: Bounds, b: Bounds) -> Bounds {
    (a.0.min(b.0), a.1.max(b.1))
}

fn lead_us(clocks: &Clocks) -> i64 {
    clocks.wall_us as i64 - clocks.now_us as i64
}

/// How far the wall clock that a shard goes by is ahead of the right time.
fn wall_us(clocks: &Clocks, clock: &Clock) -> i64 {
    clocks.wall_us as i64 - clocks.boot_us as i64 - clock.booted_unix_us() as i64
}
