//! What a reactor is told at its start.

use super::seats::Seats;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

/// Settings of one reactor. Start from [`ReactorConfig::default`] and change what matters.
#[derive(Debug)]
pub struct ReactorConfig {
    /// The core that the thread in [`super::Reactor::run`] is pinned to; `None` leaves it where it is.
    pub cpu: Option<usize>,
    /// Listening sockets; a handler gets a connection's listener as the index in this list.
    pub listeners: Vec<TcpListener>,
    /// Most connections that came in at a time, of clients and of peers that call. One more is accepted, told
    /// [`super::Handler::refusal`] and closed.
    pub connections_max: usize,
    /// Most connections that this reactor begins, those that are being made among them; one more is refused. They are counted
    /// apart from those that came in: neither takes the places of the other. Only by calling does a node have places for its
    /// peers that clients can't take; a peer that calls needs one of `connections_max`, and of the seats.
    pub connections_out_max: usize,
    /// A limit on top of `connections_max`, which several reactors share.
    pub seats: Option<Arc<Seats>>,
    /// Output a connection may have queued, in bytes, before reading from it stops. One answer may
    /// overshoot it.
    pub budget_bytes: usize,
    /// Most input a handler may leave unconsumed, in bytes; a connection that needs more is closed with
    /// [`super::CloseReason::InputTooLong`]. At least the longest frame.
    pub input_bytes_max: usize,
    /// Most memory that is kept for connections that will need some, in bytes.
    pub pool_bytes_max: usize,
    /// Number of receive buffers that all connections share; rounded up to a power of two, at most 32,768.
    pub receive_buffers: u16,
    /// Size of a receive buffer in bytes.
    pub receive_buffer_bytes: u32,
    /// Entries of the submission queue; rounded up to a power of two. The completion queue has four times as many.
    pub ring_entries: u32,
    /// How long a connection that was closed here may take to close its side, while its input is thrown
    /// away. Without this, input that nobody read would make the kernel reset the connection and could take the
    /// last answer with it.
    pub linger: Duration,
    /// How long to look for work before sleeping; zero sleeps at once. Shortens a wake-up by another core from
    /// some 30 us to well below 1 us, and costs that much CPU at every sleep.
    pub spin: Duration,
    /// A turn longer than this is counted and described as a stall.
    pub stall: Duration,
}

impl ReactorConfig {
    /// How many receive buffers there will be.
    pub(super) fn receive_buffer_count(&self) -> u16 {
        self.receive_buffers.clamp(1, 1 << 15).next_power_of_two()
    }

    /// Memory of all receive buffers.
    pub(super) fn receive_memory(&self) -> usize {
        usize::from(self.receive_buffer_count()) * self.receive_buffer_bytes.max(1) as usize
    }
}

impl Default for ReactorConfig {
    fn default() -> ReactorConfig {
        ReactorConfig {
            cpu: None,
            listeners: Vec::new(),
            connections_max: 10_000,
            connections_out_max: 64,
            seats: None,
            budget_bytes: 256 << 10,
            input_bytes_max: (16 << 20) + (128 << 10),
            pool_bytes_max: 8 << 20,
            receive_buffers: 64,
            receive_buffer_bytes: 16 << 10,
            ring_entries: 1024,
            linger: Duration::from_secs(1),
            spin: Duration::ZERO,
            stall: Duration::from_millis(5),
        }
    }
}
