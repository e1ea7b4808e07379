//! Hostile clients. Each attack is a function that does one round of harm and leaves; what the server answers is counted,
//! never judged: whatever it says, it has to live, and to serve the honest.

pub mod assault;
mod flood;
mod frames;
mod garbage;
mod http;
mod long;
mod long_values;
mod multiply;
mod names;
mod noise;
mod socket;
mod stream;
mod unread;
mod value;

use assault::Assault;
use rand::rngs::SmallRng;

/// An attack.
pub struct Attack {
    pub name: &'static str,
    /// One round.
    pub round: fn(&Assault<'_>, &mut SmallRng),
}

/// All of them, in the order of a first tour.
pub const ATTACKS: &[Attack] = &[
    Attack { name: "partial-set", round: frames::partial_set },
    Attack { name: "partial-put", round: frames::partial_put },
    Attack { name: "partial-lines", round: frames::partial_lines },
    Attack { name: "unread-mget", round: unread::mget },
    Attack { name: "unread-multi-get", round: unread::multi_get },
    Attack { name: "unread-gets", round: unread::gets },
    Attack { name: "unread-old-values", round: unread::old_values },
    Attack { name: "appends-to-long-values", round: long_values::appends },
    Attack { name: "repeated-mget", round: multiply::mget },
    Attack { name: "repeated-multi-get", round: multiply::multi_get },
    Attack { name: "command-info", round: long::command_info },
    Attack { name: "million-keys", round: long::million_keys },
    Attack { name: "batch-of-deletes", round: long::batch_of_deletes },
    Attack { name: "large-names", round: names::large_names },
    Attack { name: "slow-http", round: http::slow },
    Attack { name: "connection-flood", round: flood::connections },
    Attack { name: "malformed", round: garbage::malformed },
    Attack { name: "blocked-log", round: noise::blocked_log },
];
