//! The clocks of this machine, read: CLOCK_BOOTTIME, the wall clock, and which boot this is.
//!
//! The wall clock is kept as its difference to BOOTTIME, which is the same until somebody sets the clock. Readers of one
//! [`SystemClock`] (the cores of a node) see the same difference, to the microsecond: a time that one of them is told
//! is the time that another one tells.

use super::syscalls::boot_time_us;
use crate::clock::{BootId, BootTime, Now};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// Two readings of the difference are as far apart at most when nobody sets the clock, microseconds.
const JITTER_US: u64 = 500;
/// A difference is read anew, so often at most, until both clocks were read at one moment.
const TRIES: u32 = 8;

/// See the module's text. Reading costs two calls that stay in user space.
#[derive(Debug)]
pub struct SystemClock {
    boot: BootId,
    started_us: u64,
    /// Wall clock minus BOOTTIME, microseconds.
    offset_us: AtomicI64,
}

impl SystemClock {
    /// The clocks; [`Now::mono_us`] begins here.
    pub fn new() -> SystemClock {
        let (started_us, offset_us) = (boot_time_us(), read_offset_us());
        SystemClock { boot: boot_id(), started_us, offset_us: AtomicI64::new(offset_us) }
    }

    /// Reads them.
    pub fn now(&self) -> Now {
        let us = boot_time_us();
        let offset_us = wall_us() - us as i64;
        if offset_us.abs_diff(self.offset_us.load(Ordering::Relaxed)) > JITTER_US {
            self.look_again();
        }
        self.at(us)
    }

    /// Reads BOOTTIME; the wall clock is taken to be what it was when it was read.
    pub fn soon(&self) -> Now {
        self.at(boot_time_us())
    }

    /// Somebody set the clock, or this thread was held up between the two readings.
    #[cold]
    fn look_again(&self) {
        let (known_us, offset_us) = (self.offset_us.load(Ordering::Relaxed), read_offset_us());
        if offset_us.abs_diff(known_us) > JITTER_US {
            // Whoever is first says what it is now: all are to see the same.
            let _ =
                self.offset_us.compare_exchange(known_us, offset_us, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn at(&self, us: u64) -> Now {
        let unix_us = us.saturating_add_signed(self.offset_us.load(Ordering::Relaxed));
        // It starts at 1: 0 means "never" nowhere, but a difference to it should not be 0 either.
        let mono_us = us.saturating_sub(self.started_us) + 1;
        Now { unix_us, mono_us, boot: BootTime { id: self.boot, us } }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

/// The wall clock, microseconds; 0 before 1970.
fn wall_us() -> i64 {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(wall.as_micros()).unwrap_or(i64::MAX / 2)
}

/// Wall clock minus BOOTTIME, of one moment: of several tries the one that took the least time.
fn read_offset_us() -> i64 {
    let (mut best, mut least_us) = (0, u64::MAX);
    for _ in 0..TRIES {
        let before_us = boot_time_us();
        let wall_us = wall_us();
        let took_us = boot_time_us() - before_us;
        if took_us < least_us {
            (best, least_us) = (wall_us - before_us as i64, took_us);
        }
        if took_us <= 10 {
            break;
        }
    }
    best
}

/// The kernel's id of this boot. A time namespace has a BOOTTIME of its own, so it counts as a boot of its own.
fn boot_id() -> BootId {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let Some(mut id) = parse_boot_id(&read("/proc/sys/kernel/random/boot_id")) else {
        tracing::warn!("/proc/sys/kernel/random/boot_id can't be read: a restart goes by the wall clock");
        return BootId::UNKNOWN;
    };
    let offsets = read("/proc/self/timens_offsets");
    for line in offsets.lines().filter(|line| line.starts_with("boottime")) {
        let mut numbers = line.split_whitespace().skip(1).map(|number| number.parse::<i64>().unwrap_or(0));
        let (seconds, nanoseconds) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let of_namespace = (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(nanoseconds as u64);
        id.0.iter_mut().zip(of_namespace.to_le_bytes()).for_each(|(byte, other)| *byte ^= other);
    }
    id
}

/// Hexadecimal digits with hyphens.
fn parse_boot_id(text: &str) -> Option<BootId> {
    let digits: String = text.trim().chars().filter(|&digit| digit != '-').collect();
    let number = (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok())??;
    Some(BootId(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_boot_has_32_digits() {
        let id = parse_boot_id("0123e4f5-0000-4000-8000-0000000000ff\n").unwrap();
        assert_eq!((id.0[0], id.0[1], id.0[15]), (0x01, 0x23, 0xff));
        assert_eq!(parse_boot_id(""), None);
        assert_eq!(parse_boot_id("0123"), None);
    }

    #[test]
    fn all_readers_see_one_difference_between_the_clocks() {
        let clock = SystemClock::new();
        let first = clock.now();
        for _ in 0..1000 {
            let (now, soon) = (clock.now(), clock.soon());
            assert!(soon.boot.us >= now.boot.us && now.boot.us >= first.boot.us);
            assert_eq!(soon.boot.us - soon.mono_us, first.boot.us - first.mono_us);
            assert_eq!(soon.boot.id, first.boot.id);
        }
    }
}
