//! What a client can be told.

use std::num::NonZeroU128;
use std::time::Duration;

use super::error::Error;
use crate::wire::{Features, Hello, Level, ServerHello, VERSION};

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
    /// Whether key and value carry checksums both ways: no. A server that can't is no server for this client then.
    pub checksums: bool,
    /// Whether a write of unknown outcome is sent again, until its outcome is known or its time is over: yes. The server
    /// does it once however often it is sent; one that can't isn't sent anything again, nor is what has the level eventual or
    /// session. No: such a write is told as [`Error::Unknown`] at once, and nothing is remembered of any.
    pub once: bool,
    /// Whether requests go straight to the core that holds their key: yes.
    pub follow_map: bool,
    /// Requests waiting for responses on one connection; more wait here: 16,384.
    pub in_flight_max: usize,
    /// Bytes waiting to be written to one connection; over it requests wait here: 4 MiB.
    pub output_bytes_max: usize,
    /// The client's name in the server's logs: `pinion-rust`.
    pub name: String,
    /// Proof of identity; empty: none. A server without authentication refuses a client that sends one.
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
            once: true,
            follow_map: true,
            in_flight_max: 16_384,
            output_bytes_max: 4 << 20,
            name: "pinion-rust".to_owned(),
            auth: Vec::new(),
        }
    }
}

impl Options {
    /// How the client introduces itself; one that has an id wants its writes done exactly once.
    pub(super) fn hello(&self, client: Option<NonZeroU128>) -> Hello<'_> {
        let features = if self.checksums { Features::CHECKSUM.required() } else { Features::NONE };
        match client {
            Some(client) => {
                Hello::new(&self.name, features.with(Features::ONCE), &self.auth).with_client(client)
            }
            None => Hello::new(&self.name, features, &self.auth),
        }
    }

    /// Whether the server agreed to what was asked for, and to nothing else. That writes are done exactly once is a wish.
    pub(super) fn check(&self, hello: &ServerHello, address: &str) -> Result<(), Error> {
        let expected = if self.checksums { Features::CHECKSUM } else { Features::NONE };
        if hello.version != VERSION {
            let text = format!("it goes on with version {} of the protocol, not {VERSION}", hello.version);
            return Err(Error::protocol(address, &text));
        }
        let wish = if self.once { Features::ONCE } else { Features::NONE };
        if hello.features.without(wish) != expected {
            let text = format!("it grants features {:#x}, not {:#x}", hello.features.0, expected.0);
            return Err(Error::protocol(address, &text));
        }
        Ok(())
    }
}
