//! What clients are told of a refusal.

use pinion_engine::shard::request::{Refusal, Unsure};
use pinion_net::wire::ErrorCode;

/// A refusal as the binary protocol has it.
pub fn told(refusal: &Refusal<'_>) -> (ErrorCode, String) {
    let code = match refusal {
        Refusal::NotAnInteger => ErrorCode::NOT_AN_INTEGER,
        Refusal::Overflow => ErrorCode::OVERFLOW,
        Refusal::Limit(_) => ErrorCode::LIMIT,
        Refusal::Busy | Refusal::NoRoom(_) => ErrorCode::BUSY,
        Refusal::ReadOnly(_) => ErrorCode::READ_ONLY,
        Refusal::Damaged(_) => ErrorCode::DAMAGED,
        Refusal::Invalid(_) => ErrorCode::BAD_REQUEST,
        Refusal::WrongShard => ErrorCode::INTERNAL,
        Refusal::TimedOut => ErrorCode::DEADLINE,
        Refusal::WrongTime => ErrorCode::CLOCK,
        Refusal::NotLeader => ErrorCode::UNAVAILABLE,
    };
    (code, text(refusal))
}

/// Why nobody knows whether a write was applied, as the binary protocol has it.
pub fn unsure(unsure: &Unsure<'_>) -> (ErrorCode, String) {
    match unsure {
        Unsure::LogFailed(text) => (ErrorCode::LOG_FAILED, (*text).to_owned()),
        Unsure::TimedOut => (ErrorCode::TIMED_OUT, format!("{TIMED_OUT}; the write may be applied yet")),
        Unsure::Forgotten => (ErrorCode::FORGOTTEN, FORGOTTEN.to_owned()),
        Unsure::TooLong => (ErrorCode::FORGOTTEN, TOO_LONG.to_owned()),
    }
}

/// What a request was ended for at its deadline.
const TIMED_OUT: &str = "no answer from the key's shard within the time for a request (--request-timeout, or less if the client said so)";

/// What becomes of a request that is to be done once and comes too late.
const FORGOTTEN: &str =
    "it was sent too long ago, or was answered before: whether it was done isn't known any more";

/// What becomes of a copy of one that was done, and answered a long value.
const TOO_LONG: &str =
    "it was done; the value that was there before is too long to be kept for a second answer";

/// What becomes of one that was sent first at a time that isn't to be believed.
const WRONG_TIME: &str = "the time at which it was first sent is ahead of the server's clock, or too long ago, or its number is below \
                          the lowest that the client has open; nothing was done: say HELLO again for the server's time, and send it \
                          as a new request";

/// What is said behind that, where it is so.
pub const NOTHING_DONE: &str = "; nothing was done: try again";

/// A refusal in words.
pub fn text(refusal: &Refusal<'_>) -> String {
    match refusal {
        Refusal::NotAnInteger => "value is not an integer or out of range".to_owned(),
        Refusal::Overflow => "increment or decrement would overflow".to_owned(),
        Refusal::Busy => "the shard is busy; slow down and try again".to_owned(),
        Refusal::TimedOut => format!("{TIMED_OUT}{NOTHING_DONE}"),
        Refusal::WrongTime => WRONG_TIME.to_owned(),
        Refusal::NotLeader => {
            format!("another replica leads the key's partition, or none does now{NOTHING_DONE}")
        }
        Refusal::WrongShard => "internal error: the partition isn't of this shard".to_owned(),
        Refusal::Limit(text)
        | Refusal::NoRoom(text)
        | Refusal::ReadOnly(text)
        | Refusal::Damaged(text)
        | Refusal::Invalid(text) => (*text).to_owned(),
    }
}
