//! What a client can be told.

use std::time::Duration;

use crate::wire::Level;

/// Settings of a client. [`Options::default`] suits most.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a request may take in all, retries included: 5 s.
    pub timeout: Duration,
    /// How long connecting and HELLO may take: 2 s.
    pub connect_timeout: Duration,
    /// The first pause before connecting again, doubled each time and jittered: 10 ms.
    pub backoff_min: Duration,
    /// The longest pause: 2 s.
    pub backoff_max: Duration,
    /// What requests are promised, unless they say otherwise.
    pub level: Level,
    /// The number of the keyspace; 0 is `default`.
    pub keyspace: u16,
    /// Whether key and value carry checksums both ways: no.
    pub checksums: bool,
    /// Whether requests go straight to the core that holds their key: yes.
    pub follow_map: bool,
    /// Requests waiting for responses on one connection; more wait here: 16,384.
    pub in_flight_max: usize,
    /// Bytes waiting to be written to one connection; over it requests wait here: 4 MiB.
    pub output_bytes_max: usize,
    /// The client's name in the server's logs: `pinion-rust`.
    pub name: String,
    /// Proof of identity; empty: none.
    pub auth: Vec<u8>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(2),
            level: Level::Default,
            keyspace: 0,
            checksums: false,
            follow_map: true,
            in_flight_max: 16_384,
            output_bytes_max: 4 << 20,
            name: "pinion-rust".to_owned(),
            auth: Vec::new(),
        }
    }
}
