//! What became of a request, for the statistics.

use crate::stats::Class;
use crate::stats::tally::ErrorWord;
use pinion_engine::shard::request::{Answer, Refusal, Unsure};
use pinion_net::resp::CommandId;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Answered.
    Done,
    /// Refused.
    Refused,
    /// Refused, because there is too much to do.
    Busy,
    /// Refused, because the shard takes no writes.
    ReadOnly,
    /// Refused, because its time was over.
    TimedOut,
    /// Unknown.
    Unknown,
    /// Unknown, because its time was over.
    TimedOutUnknown,
}

impl Ending {
    /// How this answer ends its request.
    pub fn of(answer: &Answer<'_>) -> Ending {
        match answer {
            Answer::Refused(Refusal::Busy | Refusal::NoRoom(_)) => Ending::Busy,
            Answer::Refused(Refusal::ReadOnly(_)) => Ending::ReadOnly,
            Answer::Refused(Refusal::TimedOut) => Ending::TimedOut,
            Answer::Refused(_) => Ending::Refused,
            Answer::Unknown(Unsure::TimedOut) => Ending::TimedOutUnknown,
            Answer::Unknown(Unsure::LogFailed(_) | Unsure::Forgotten | Unsure::TooLong) => Ending::Unknown,
            _ => Ending::Done,
        }
    }

    /// The first word of the error reply that it makes.
    pub fn word(self) -> ErrorWord {
        match self {
            Ending::Busy => ErrorWord::TryAgain,
            Ending::ReadOnly => ErrorWord::MisConf,
            Ending::TimedOut | Ending::TimedOutUnknown => ErrorWord::TimedOut,
            Ending::Done | Ending::Refused | Ending::Unknown => ErrorWord::Err,
        }
    }
}

/// A request that has its last answer.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// What kind it was.
    pub class: Class,
    /// When it came, by the clock of the turns.
    pub started_us: u64,
    /// How it ended.
    pub ending: Ending,
    /// Which command it was, if it was one of RESP.
    pub command: CommandId,
}
