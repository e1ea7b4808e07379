//! What a connection may have under way, and the limits of both protocols.

use crate::node::split::Split;
use pinion_net::{resp, wire};

/// Requests that one connection may have under way.
pub const IN_FLIGHT_MAX: usize = 1024;

/// Bytes of answers that one connection may have coming, or waiting: beyond that, one value at a time comes.
pub const ROOM_BYTES_MAX: usize = 1 << 20;

/// Room that a read has at least in the answer of another core, bytes.
pub const ROOM_PER_READ_MIN: usize = 4 << 10;

/// Commands and answers up to this size don't wait for larger ones, bytes.
pub const SHORT_BYTES: usize = 256 << 10;

/// What an answer costs a turn beside its bytes, in bytes copied in the same time.
pub const ANSWER_COST: usize = 1 << 10;

/// Limits of the Redis protocol: what lies between the limit on values and this gets an error and the connection goes on.
pub fn resp(split: Split) -> resp::Limits {
    let most = resp::Limits::default();
    resp::Limits {
        bulk_bytes_max: split.value_bytes_max().min(most.bulk_bytes_max),
        args_max: split.arguments_max().min(most.args_max),
        command_bytes_max: split.command_bytes_max().min(most.command_bytes_max),
        ..most
    }
}

/// The limits that a node tells its clients.
pub fn wire(value_bytes_max: usize, command_bytes_max: usize) -> wire::Limits {
    wire::Limits {
        value_bytes_max: value_bytes_max as u32, // the configuration allows 16 MiB at most
        batch_bytes_max: command_bytes_max.min(wire::Limits::BYTES_MAX as usize) as u32,
        in_flight_max: IN_FLIGHT_MAX as u32,
    }
}
