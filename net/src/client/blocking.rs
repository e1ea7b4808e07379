//! The client for programs without a runtime: every call waits for its answer.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

use super::Client;
use super::batch::Batch;
use super::error::Error;
use super::options::Options;
use super::scan::ScanStream;
use super::types::{Delete, Item, Meta, Put, ScanOptions, ScanPage, Value, Written};
use crate::wire::{Expiry, Level, ServerHello};

/// The thread that drives the connections; ends with the last clone.
struct Driver {
    handle: Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic over there was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// A [`Client`] whose methods block. Clones share connections and may be used by many threads at once;
/// a thread of its own drives them.
///
/// Not for use inside a runtime, whose threads must not be blocked: there, connecting is an error and every other call
/// panics.
///
/// ```no_run
/// use pinion_net::client::{BlockingClient, Options};
///
/// # fn main() -> Result<(), pinion_net::client::Error> {
/// let client = BlockingClient::connect(["127.0.0.1:7400"], Options::default())?;
/// client.put("counter", "41")?;
/// assert_eq!(client.increment("counter", 1)?, 42);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct BlockingClient {
    // Dropped before the thread that its connections live on.
    client: Client,
    driver: Arc<Driver>,
}

impl fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingClient").field(&self.client).finish()
    }
}

impl BlockingClient {
    /// Connects to the first of these addresses that answers.
    pub fn connect<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: Options,
    ) -> Result<BlockingClient, Error> {
        if Handle::try_current().is_ok() {
            let text =
                "a BlockingClient would block the runtime that it is called in; use Client there".to_owned();
            return Err(Error::NotConnected { address: "a server".to_owned(), text });
        }
        let failed = |error: std::io::Error| Error::io("the client's own thread", &error);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (handle, stop) = (runtime.handle().clone(), Arc::new(Notify::new()));
        let until = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("pinion-client".to_owned())
            .spawn(move || runtime.block_on(until.notified()))
            .map_err(failed)?;
        let driver = Arc::new(Driver { handle, stop, thread: Some(thread) });
        let client = driver.handle.block_on(Client::connect(addresses, options))?;
        Ok(BlockingClient { client, driver })
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.driver.handle.block_on(future)
    }

    /// The same client, asking for another level.
    pub fn with_level(&self, level: Level) -> BlockingClient {
        BlockingClient { client: self.client.with_level(level), ..self.clone() }
    }

    /// The same client with another timeout.
    pub fn with_timeout(&self, timeout: Duration) -> BlockingClient {
        BlockingClient { client: self.client.with_timeout(timeout), ..self.clone() }
    }

    /// See [`Client::hello`].
    pub fn hello(&self) -> Option<Arc<ServerHello>> {
        self.client.hello()
    }

    /// See [`Client::ping`].
    pub fn ping(&self) -> Result<(), Error> {
        self.wait(self.client.ping())
    }

    /// See [`Client::info`].
    pub fn info(&self) -> Result<String, Error> {
        self.wait(self.client.info())
    }

    /// See [`Client::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, Error> {
        self.wait(self.client.get(key))
    }

    /// See [`Client::exists`].
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<Option<Meta>, Error> {
        self.wait(self.client.exists(key))
    }

    /// See [`Client::get_many`].
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>, Error> {
        self.wait(self.client.get_many(keys))
    }

    /// See [`Client::put`].
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.wait(self.client.put(key, value))
    }

    /// See [`Client::put_with`].
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        put: Put,
    ) -> Result<Written, Error> {
        self.wait(self.client.put_with(key, value, put))
    }

    /// See [`Client::delete`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        self.wait(self.client.delete(key))
    }

    /// See [`Client::delete_with`].
    pub fn delete_with(&self, key: impl AsRef<[u8]>, delete: Delete) -> Result<Written, Error> {
        self.wait(self.client.delete_with(key, delete))
    }

    /// See [`Client::increment`].
    pub fn increment(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, Error> {
        self.wait(self.client.increment(key, by))
    }

    /// See [`Client::expire`].
    pub fn expire(&self, key: impl AsRef<[u8]>, expiry: Expiry) -> Result<bool, Error> {
        self.wait(self.client.expire(key, expiry))
    }

    /// See [`Client::write`].
    pub fn write(&self, batch: &Batch) -> Result<(), Error> {
        self.wait(self.client.write(batch))
    }

    /// See [`Client::write_each`].
    pub fn write_each(&self, batch: &Batch) -> Result<Vec<Result<u64, Error>>, Error> {
        self.wait(self.client.write_each(batch))
    }

    /// See [`Client::scan`]. Ends after the last item, or after an error.
    pub fn scan(&self, options: ScanOptions) -> BlockingScan {
        BlockingScan { stream: self.client.scan(options), client: self.clone() }
    }

    /// See [`Client::scan_page`].
    pub fn scan_page(&self, options: &ScanOptions, cursor: &[u8]) -> Result<ScanPage, Error> {
        self.wait(self.client.scan_page(options, cursor))
    }

    /// See [`Client::count`].
    pub fn count(&self, options: &ScanOptions) -> Result<u64, Error> {
        self.wait(self.client.count(options))
    }

    /// See [`Client::clear`].
    pub fn clear(&self) -> Result<(), Error> {
        self.wait(self.client.clear())
    }
}

/// The items of a scan, one after the other.
#[must_use = "a scan does nothing until it is read"]
pub struct BlockingScan {
    // Dropped before the thread that its connections live on.
    stream: ScanStream,
    client: BlockingClient,
}

impl Iterator for BlockingScan {
    type Item = Result<Item, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.client.driver.handle.block_on(self.stream.next())
    }
}
