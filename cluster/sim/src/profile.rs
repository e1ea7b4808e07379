//! Profiles: how much of which trouble a run gets.
//!
//! A profile says which [`Features`] a run has; `swarm` draws them at random for each seed, so that combinations are tried
//! which nobody thought of.

mod goals;

use crate::performer::Moment;
use rand::Rng;
use rand::rngs::SmallRng;
use std::fmt;
use std::str::FromStr;

/// A named mixture of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// A little of everything that always works.
    Smoke,
    /// Processes and machines die, also while they recover.
    Crash,
    /// Power fails while the log is written.
    Torn,
    /// Data at rest rots.
    Bitrot,
    /// The disk fills up, and is cleaned again.
    Enospc,
    /// Reads, writes and syncs fail.
    Eio,
    /// Nearly everything expires, and the wall clock jumps.
    Expiry,
    /// Clocks are set to and fro, for a moment and for good, while the node runs, crashes and starts; machines sleep.
    Clocks,
    /// Small memtables, many deletes and clears: merges without end.
    Compaction,
    /// More requests than the node can take, over a mesh with few credits.
    Overload,
    /// The number of shards changes.
    Reshard,
    /// Files vanish while the node is down.
    LostFiles,
    /// Disks hang, for longer than requests have.
    Hung,
    /// Clients that send what they don't know the outcome of again, over crashes.
    Retries,
    /// Clients that make the node keep what they send and don't read what it answers, in little memory.
    Hostile,
    /// Several nodes, and what goes wrong between them.
    Links,
    /// The replicas of one group, on several machines, under every fault.
    Replicas,
    /// Everything of one node, mixed at random.
    Swarm,
}

/// How much of what. Counts are of a whole run; shares are per mille.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// Crashes, at least five.
    pub crashes: u32,
    /// Share of crashes that are power failures.
    pub power: u32,
    /// Share of restarts that crash again while they recover.
    pub again: u32,
    /// Where crashes strike.
    pub moments: Vec<Moment>,
    /// Graceful stops.
    pub stops: u32,
    /// Times at which the disk's operations fail.
    pub storms: u32,
    /// Times at which the disk is full.
    pub floods: u32,
    /// Times at which the disk is slow.
    pub slow: u32,
    /// Times at which data at rest rots.
    pub rots: u32,
    /// Jumps of the wall clock, and whether it goes back too.
    pub jumps: u32,
    /// See `jumps`.
    pub goes_back: bool,
    /// Times at which nobody asks for anything, or the machine sleeps.
    pub rests: u32,
    /// Changes of the number of shards.
    pub reshards: u32,
    /// Share of stops and crashes behind which files vanish.
    pub losses: u32,
    /// Share of writes that expire.
    pub expiring: u32,
    /// Share of runs with weak durability.
    pub weak: u32,
    /// Whether queues, sockets and the mesh are tiny.
    pub is_tight: bool,
    /// Whether data outgrows memory fast.
    pub is_churning: bool,
    /// Whether clients pipeline as deep as they can.
    pub is_flooding: bool,
    /// Clients that mean harm.
    pub hostile: u32,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Profile; 18] = [
        Profile::Smoke,
        Profile::Crash,
        Profile::Torn,
        Profile::Bitrot,
        Profile::Enospc,
        Profile::Eio,
        Profile::Expiry,
        Profile::Clocks,
        Profile::Compaction,
        Profile::Overload,
        Profile::Reshard,
        Profile::LostFiles,
        Profile::Hung,
        Profile::Retries,
        Profile::Hostile,
        Profile::Links,
        Profile::Replicas,
        Profile::Swarm,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Smoke => "smoke",
            Profile::Crash => "crash",
            Profile::Torn => "torn",
            Profile::Bitrot => "bitrot",
            Profile::Enospc => "enospc",
            Profile::Eio => "eio",
            Profile::Expiry => "expiry",
            Profile::Clocks => "clocks",
            Profile::Compaction => "compaction",
            Profile::Overload => "overload",
            Profile::Reshard => "reshard",
            Profile::LostFiles => "lost-files",
            Profile::Hung => "hung",
            Profile::Retries => "retries",
            Profile::Hostile => "hostile",
            Profile::Links => "links",
            Profile::Replicas => "replicas",
            Profile::Swarm => "swarm",
        }
    }

    /// What it is about, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Profile::Smoke => "a little of everything that always works, and five crashes",
            Profile::Crash => "processes and machines die at every step, also while they recover",
            Profile::Torn => "power fails while the log is written",
            Profile::Bitrot => "data at rest rots; what is damaged is named, and never returned",
            Profile::Enospc => "the disk fills up and is cleaned again",
            Profile::Eio => "reads, writes and syncs fail",
            Profile::Expiry => "nearly everything expires, and the wall clock jumps both ways",
            Profile::Clocks => {
                "clocks are set to and fro, for a moment and for good, over crashes and boots; machines sleep"
            }
            Profile::Compaction => "small memtables, deletes and clears: merges without end",
            Profile::Overload => "more requests than the node can take, over a mesh with few credits",
            Profile::Reshard => "the number of shards changes between stops",
            Profile::LostFiles => {
                "files vanish while the node is down; what was in them is missed, and named"
            }
            Profile::Hung => "disks hang for longer than requests have; each ends, once",
            Profile::Retries => {
                "clients that send what they don't know the outcome of again; it is done once, over crashes and shards"
            }
            Profile::Hostile => "clients that send half of commands and read no answers, in little memory",
            Profile::Links => {
                "nodes whose links are slow, lose, clog, and are cut; they die, and find each other again"
            }
            Profile::Replicas => {
                "replicas of one group under crashes, cuts, pauses and bad disks: what clients see is linearizable"
            }
            Profile::Swarm => "all of it that is about one node, mixed at random for each seed",
        }
    }

    /// Whether its runs have several nodes.
    pub fn is_of_cluster(self) -> bool {
        matches!(self, Profile::Links | Profile::Replicas)
    }

    /// The features of one of its seeds.
    pub fn features(self, rng: &mut SmallRng) -> Features {
        let calm = Features {
            crashes: 5,
            power: 500,
            moments: vec![Moment::Any],
            stops: 1,
            expiring: 100,
            ..Features::default()
        };
        let anywhere = Moment::ALL.to_vec();
        match self {
            Profile::Smoke => calm,
            Profile::Crash => {
                Features { crashes: 14, again: 400, moments: anywhere, weak: 300, stops: 2, ..calm }
            }
            Profile::Torn => Features {
                crashes: 12,
                power: 1000,
                moments: vec![Moment::LogWrite, Moment::ManifestEdit, Moment::Recycling, Moment::Any],
                weak: 100,
                ..calm
            },
            Profile::Bitrot => Features { rots: 6, stops: 4, is_churning: true, ..calm },
            Profile::Enospc => Features { floods: 5, is_churning: true, ..calm },
            Profile::Eio => Features { storms: 6, slow: 1, ..calm },
            Profile::Expiry => Features {
                expiring: 700,
                jumps: 10,
                goes_back: rng.random_ratio(1, 2),
                is_churning: true,
                ..calm
            },
            Profile::Clocks => Features {
                crashes: 8,
                power: 600,
                stops: 3,
                expiring: 500,
                jumps: 16,
                goes_back: rng.random_ratio(7, 8),
                rests: 8,
                weak: 150,
                ..calm
            },
            Profile::Compaction => Features {
                is_churning: true,
                moments: vec![Moment::Merge, Moment::Flush, Moment::ManifestEdit, Moment::Any],
                crashes: 8,
                ..calm
            },
            Profile::Overload => Features { is_tight: true, is_flooding: true, slow: 4, stops: 3, ..calm },
            Profile::Reshard => Features { reshards: 4, stops: 4, is_churning: true, ..calm },
            Profile::LostFiles => {
                let moments = vec![Moment::LogWrite, Moment::Recycling, Moment::ManifestEdit, Moment::Any];
                Features { losses: 800, stops: 8, crashes: 8, moments, is_churning: true, ..calm }
            }
            Profile::Hung => {
                Features { is_tight: rng.random_ratio(1, 2), is_churning: true, stops: 3, ..calm }
            }
            Profile::Retries => Features {
                crashes: 12,
                again: 300,
                moments: anywhere,
                stops: 3,
                storms: rng.random_range(0..=3),
                floods: rng.random_range(0..=2),
                jumps: rng.random_range(0..=6),
                goes_back: rng.random_ratio(1, 2),
                reshards: rng.random_range(0..=2),
                is_tight: rng.random_ratio(1, 3),
                is_churning: true,
                ..calm
            },
            Profile::Hostile | Profile::Links | Profile::Replicas => calm,
            Profile::Swarm => swarm(rng),
        }
    }

    /// How many clients of one of its seeds mean harm. Drawn from a stream of its own: the rest of a run that has none stays as
    /// it would be.
    pub fn hostile(self, rng: &mut SmallRng) -> u32 {
        match self {
            Profile::Hostile => rng.random_range(16..=32),
            Profile::Swarm if rng.random_ratio(150, 1000) => rng.random_range(1..=24),
            _ => 0,
        }
    }

    /// How many clients of one of its seeds want their requests done once. As with [`Profile::hostile`].
    pub fn careful(self, rng: &mut SmallRng) -> u32 {
        match self {
            Profile::Retries => rng.random_range(1..=4),
            Profile::Swarm if rng.random_ratio(200, 1000) => rng.random_range(1..=2),
            _ => 0,
        }
    }

    /// How often the disks of one of its seeds hang. As with [`Profile::hostile`], the rest stays.
    pub fn hangs(self, rng: &mut SmallRng) -> u32 {
        match self {
            Profile::Hung => rng.random_range(4..=10),
            Profile::Retries if rng.random_ratio(1, 4) => rng.random_range(1..=4),
            Profile::Swarm if rng.random_ratio(150, 1000) => rng.random_range(1..=4),
            _ => 0,
        }
    }
}

fn swarm(rng: &mut SmallRng) -> Features {
    let mut some = |share: u32, most: u32| match rng.random_ratio(share, 1000) {
        true => rng.random_range(1..=most),
        false => 0,
    };
    let (crashes, stops, again) = (5 + some(500, 12), some(500, 3), some(400, 600));
    let (storms, floods, slow) = (some(250, 4), some(250, 4), some(300, 4));
    let (rots, jumps, reshards) = (some(150, 4), some(300, 10), some(150, 2));
    let rests = some(250, 4);
    let (expiring, power) = (some(600, 900), some(900, 1000));
    let mut moments = Moment::ALL.to_vec();
    moments.retain(|_| rng.random_ratio(2, 3));
    moments.push(Moment::Any);
    let (goes_back, is_tight) = (rng.random_ratio(1, 2), rng.random_ratio(1, 3));
    let (is_churning, is_flooding) = (rng.random_ratio(1, 2), rng.random_ratio(1, 3));
    Features {
        crashes,
        power,
        again,
        moments,
        stops,
        storms,
        floods,
        slow,
        rots,
        jumps,
        goes_back,
        rests,
        reshards,
        losses: if rng.random_ratio(1, 6) { rng.random_range(1..=600) } else { 0 },
        expiring,
        weak: 250,
        is_tight,
        is_churning,
        is_flooding,
        // Drawn by itself.
        hostile: 0,
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Profile, String> {
        let found = Profile::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| format!("there is no profile {text:?}; `kvsim --profile list` lists them"))
    }
}
