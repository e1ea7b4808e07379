//! The client: many requests in flight, over one connection per core.
//!
//! [`Client`] is cheap to clone; clones share connections. Every method may run thousands of times at
//! once: requests share system calls, responses come back in any order. [`BlockingClient`] is the same
//! for programs without a runtime, [`raw::Connection`] a single connection without one.
//!
//! Outcomes are three. A request is *done* (`Ok`), *refused* and certainly not applied
//! ([`Error::Refused`], [`Error::NotConnected`], [`Error::TimedOut`]), or *unknown*
//! ([`Error::Unknown`]): the deadline passed or the connection broke while a write was on its way. Within
//! its deadline a read is tried again after a broken connection, and a write if nothing of it was sent or the server said
//! that it is going down: then it has answered all that it executed. What is refused because nobody can answer for its partition
//! now is tried again after a pause, reads and writes alike: it was certainly not applied. A write whose outcome is
//! unknown is sent again where the server does it once however often it is sent: it carries the client's id and a number then
//! ([`Options::once`]). Otherwise, and at the levels eventual and session, it is never sent again.
//!
//! Requests on one key, each awaited before the next, take effect in that order.
//!
//! ```no_run
//! use pinion_net::client::{Client, Options};
//!
//! # async fn example() -> Result<(), pinion_net::client::Error> {
//! let client = Client::connect(["127.0.0.1:7400"], Options::default()).await?;
//! client.put("greeting", "hello").await?;
//! let value = client.get("greeting").await?.expect("it was just put");
//! assert_eq!(value.bytes, b"hello");
//! # Ok(())
//! # }
//! ```

mod attempts;
mod backoff;
mod batch;
mod blocking;
mod call;
mod drive;
mod error;
mod inbox;
mod join;
mod link;
mod methods;
mod once;
mod options;
mod parts;
mod pending;
pub mod raw;
mod retry;
mod router;
mod scan;
mod types;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::wire::{Level, ServerHello};
use link::CallOptions;
use router::Router;

pub use batch::Batch;
pub use blocking::{BlockingClient, BlockingScan};
pub use error::Error;
pub use options::Options;
pub use scan::ScanStream;
pub use types::{Delete, Item, Meta, Put, ScanOptions, ScanPage, Value, Written};

pub use crate::wire::{Condition, Expiry};

/// A client of one store. See the [module](self) for what it promises.
#[derive(Clone)]
pub struct Client {
    router: Arc<Router>,
    level: Level,
    keyspace: u16,
    timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Client");
        fields.field("addresses", &self.router.seed.addresses).field("level", &self.level);
        fields.field("keyspace", &self.keyspace).field("timeout", &self.timeout).finish()
    }
}

impl Client {
    /// Connects to the first of these addresses (`host:port`) that answers. Connections live on the
    /// runtime that this is called on, until the last clone is dropped.
    pub async fn connect<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: Options,
    ) -> Result<Client, Error> {
        let addresses = addresses.into_iter().map(Into::into).collect();
        let (level, keyspace, timeout) = (options.level, options.keyspace, options.timeout);
        let router = Router::connect(addresses, options).await?;
        Ok(Client { router, level, keyspace, timeout })
    }

    /// The same client, asking for another level.
    pub fn with_level(&self, level: Level) -> Client {
        Client { level, ..self.clone() }
    }

    /// The same client with another timeout.
    pub fn with_timeout(&self, timeout: Duration) -> Client {
        Client { timeout, ..self.clone() }
    }

    /// What the server said of itself; `None` while there is no connection.
    pub fn hello(&self) -> Option<Arc<ServerHello>> {
        self.router.seed.hello()
    }

    fn call_options(&self) -> CallOptions {
        let deadline = Instant::now() + self.timeout;
        CallOptions { level: self.level, keyspace: self.keyspace, deadline, once: None }
    }
}

#[cfg(test)]
mod tests;
