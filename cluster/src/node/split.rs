//! How a core's share of `--memory` is split: its shard has one part, its connections another, the heap a little. What a single
//! command or value may take follows from the part of the connections.

/// How a core's share of `--memory` is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// For its shard, bytes.
    pub shard: usize,
    /// For its connections, bytes.
    pub connections: usize,
}

/// What a core takes that is in no account, bytes: stacks, rings, the buffers of its background thread, its part of HTTP.
const OWN_BYTES: usize = 7 << 19;

/// The part of the rest that is left to the C heap for what it holds free between what is in use, and its most, bytes: about
/// twice what it may grow by until that is given back ([`Heap`](super::heap::Heap)).
const HEAP_PART: usize = 16;
const HEAP_BYTES_MAX: usize = 32 << 20;

/// What a connection costs that does nothing, bytes: its places in the reactor and among the sessions.
pub const CONNECTION_BYTES: usize = 1 << 10;

impl Split {
    /// Of so many bytes a little is what a core takes in any case; of the rest, a quarter is for connections, and a little
    /// for nobody.
    pub fn of(core_bytes: usize) -> Split {
        let to_divide = core_bytes - OWN_BYTES.min(core_bytes / 8);
        let connections = to_divide / 4;
        let heap = (to_divide / HEAP_PART).min(HEAP_BYTES_MAX);
        Split { shard: to_divide - connections - heap, connections }
    }

    /// The longest value that is taken, bytes: one may come in while another leaves.
    pub fn value_bytes_max(self) -> usize {
        Split::value_part(self.connections)
    }

    /// The longest command that is taken, with its framing, bytes: it fits beside idle connections and what is spare.
    pub fn command_bytes_max(self) -> usize {
        self.connections / 8 * 5
    }

    /// The most arguments of a command: each is remembered while it runs.
    pub fn arguments_max(self) -> usize {
        self.connections / 64
    }

    /// The most connections: idle ones take a quarter.
    pub fn connections_max(self) -> usize {
        self.connections / 4 / CONNECTION_BYTES
    }

    /// Output, and input that waits, of one connection before it has to wait, bytes.
    pub fn budget_bytes(self) -> usize {
        (self.connections / 64).clamp(32 << 10, 256 << 10)
    }

    /// Memory of sockets that is kept for reuse, bytes.
    pub fn spare_bytes_max(self) -> usize {
        self.connections / 16
    }

    /// The part of the memory for connections that a value may have.
    pub fn value_part(connections: usize) -> usize {
        connections / 16 * 9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_parts_are_the_whole_and_the_limits_fit() {
        for bytes in [16 * MIB, 32 * MIB + 3, 1 << 40] {
            let split = Split::of(bytes);
            let own = OWN_BYTES.min(bytes / 8);
            let heap = bytes - own - split.shard - split.connections;
            assert!(heap == ((bytes - own) / HEAP_PART).min(HEAP_BYTES_MAX), "{split:?}");
            assert!(split.shard + heap >= 3 * split.connections, "{split:?}");
            assert!(split.command_bytes_max() > split.value_bytes_max() + (64 << 10));
            let idle = split.connections_max() * CONNECTION_BYTES + split.spare_bytes_max();
            assert!(idle + split.connections / 32 + split.command_bytes_max() <= split.connections);
            assert!(split.connections_max() >= 896);
        }
    }
}
