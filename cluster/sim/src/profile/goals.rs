//! What the runs of a profile must have reached, lest it tries nothing.

use super::Profile;

/// What crashes at every step reach.
const CRASHES: [&str; 9] = [
    "crashes inside a flush",
    "crashes inside a merge",
    "crashes inside a manifest edit",
    "crashes inside recycling",
    "crashes inside a log write",
    "crashes inside recovery",
    "torn tails cut",
    "parked reads",
    "graceful stops",
];

/// What runs of several nodes reach.
const LINKS: [&str; 14] = [
    "crashes",
    "power failures",
    "graceful stops",
    "clock jumps",
    "cuts",
    "cuts of one way",
    "isolated nodes",
    "clogged ways",
    "slow ways",
    "half-open connections",
    "connections broken",
    "messages of other connections",
    "refused peers",
    "rounds",
];

/// What replicas meet.
const REPLICAS: [&str; 13] = [
    "crashes",
    "crashes of a majority",
    "power failures",
    "pauses",
    "cuts",
    "ways that lose",
    "slow ways",
    "slow disks",
    "failing disks",
    "failed logs",
    "leaderships handed over",
    "elections",
    "unknown",
];

impl Profile {
    /// Counters that a campaign of it must not leave at zero.
    pub fn goals(self) -> Vec<&'static str> {
        match self {
            Profile::Links => return LINKS.to_vec(),
            Profile::Replicas => return REPLICAS.to_vec(),
            _ => {}
        }
        let mut goals = vec!["crashes", "power failures", "flushes", "merges", "forwarded requests"];
        if self == Profile::Swarm {
            goals.extend(CRASHES);
        }
        goals.extend(match self {
            Profile::Smoke | Profile::Links | Profile::Replicas => &["graceful stops"][..],
            Profile::Crash => &CRASHES[..],
            Profile::Torn => &["torn tails cut", "crashes inside a log write", "crashes inside recycling"],
            Profile::Bitrot => &["damage done", "damage reported"],
            Profile::Enospc => &["full disks"],
            Profile::Eio => &["failed syncs", "failed writes", "failed reads", "failed logs"],
            Profile::Expiry => &["clock jumps", "expired keys compacted"],
            Profile::Clocks => &[
                "clock jumps",
                "clock jumps while down",
                "clocks set back",
                "boots",
                "quiet times",
                "sleeps of the machine",
                "clock jumps while asleep",
                "starts refused for a time jump",
            ],
            Profile::Compaction => &["crashes inside a merge", "range tombstones", "parked reads"],
            Profile::Overload => {
                &["full mesh queues", "held writers", "full connections", "drains with answers queued"]
            }
            Profile::Hung => &["hanging disks", "refused: timed out", "unknown", "parked reads"],
            Profile::Retries => &["requests done once", "requests sent again", "reshards", "failed logs"],
            Profile::Hostile => &["connections that wait for memory", "connections closed for others"],
            Profile::Reshard => &["reshards", "reshards cut off", "reshards cut off behind the switch"],
            Profile::LostFiles => {
                &["losses", "losses reported", "repairs that told the truth", "store files made anew"]
            }
            Profile::Swarm => &[
                "damage done",
                "damage reported",
                "full disks",
                "failed syncs",
                "failed writes",
                "failed reads",
                "restarts after a failure",
                "failed logs",
                "clock jumps",
                "expired keys compacted",
                "range tombstones",
                "full mesh queues",
                "held writers",
                "reshards",
                "losses reported",
                "requests sent again",
            ],
        });
        goals
    }
}
