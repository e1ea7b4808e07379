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
//! unknown is never sent again.
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

mod backoff;
mod batch;
mod blocking;
mod drive;
mod error;
mod inbox;
mod join;
mod link;
mod methods;
mod options;
mod pending;
pub mod raw;
mod retry;
mod router;
mod scan;
mod types;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::wire::{Command, ErrorCode, Level, ServerHello};
use link::CallOptions;
use pending::{Failure, Owned};
use retry::Retry;
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
        CallOptions { level: self.level, keyspace: self.keyspace, deadline: Instant::now() + self.timeout }
    }

    /// Sends a request to the home of `key`, or to any core, and tries again where that is safe.
    async fn call(
        &self,
        key: Option<&[u8]>,
        command: Command<'_>,
        call_options: CallOptions,
    ) -> Result<Owned, Error> {
        let is_read = command.opcode().is_read();
        let mut last_failure = None;
        let mut retry = None;
        loop {
            let mut link = match key {
                Some(key) => self.router.link_for(key, call_options.deadline).await,
                None => Arc::clone(&self.router.seed),
            };
            let mut sent = link.send(command, call_options).await;
            if !self.router.is_seed(&link) && matches!(sent, Err(Error::NotConnected { .. })) {
                drop(sent);
                link = Arc::clone(&self.router.seed);
                sent = link.send(command, call_options).await;
            }
            let waiting = match sent {
                Ok(waiting) => waiting,
                Err(Error::TimedOut { .. }) if last_failure.is_some() => {
                    let failure = last_failure.unwrap_or(Failure::TimedOut);
                    return Err(failure.into_error(is_read, &link.address()));
                }
                Err(error) => return Err(error),
            };
            match waiting.await {
                Ok(owned) if owned.is_refused_for(ErrorCode::UNAVAILABLE) => {
                    // Whoever can answer for it may be elsewhere by now.
                    self.router.refresh(&link);
                    let retry = retry.get_or_insert_with(|| self.retry(call_options));
                    if !retry.pause().await {
                        return Ok(owned);
                    }
                }
                Ok(owned) => {
                    if owned.is_forwarded() {
                        self.router.refresh(&link);
                    }
                    return Ok(owned);
                }
                Err(failure @ Failure::Broken { written, .. }) if is_read || !written => {
                    last_failure = Some(failure);
                }
                Err(failure) => return Err(failure.into_error(is_read, &link.address())),
            }
        }
    }

    /// The pauses before a request is tried again.
    fn retry(&self, call_options: CallOptions) -> Retry {
        Retry::new(self.router.options(), call_options.deadline)
    }
}

#[cfg(test)]
mod tests;
