//! Which connection a request takes.
//!
//! The seed connection goes to one of the addresses that the client was given. Its HELLO brings the
//! map; from then on a request on one key goes to the core that holds the key, over a connection that
//! is opened when it is first needed. While a core can't be reached the seed takes its requests, and
//! the server forwards them. A response that was forwarded from elsewhere makes the client ask for the
//! map again, at most once a second.

use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::drive;
use super::error::Error;
use super::link::{CallOptions, Link, Phase};
use super::options::Options;
use crate::wire::{Command, Home, Level, Map, Reply, Response, ServerHello};

const REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// A core's address, and the link to it once it was needed.
struct Core {
    address: String,
    link: OnceLock<Arc<Link>>,
}

/// The map and the links that go with it.
struct Table {
    map: Map,
    cores: Vec<Vec<Arc<Core>>>,
    /// The core that serves the seed connection.
    seed_home: Home,
}

/// Chooses links; shared by all clones of a client.
pub(super) struct Router {
    options: Arc<Options>,
    runtime: Handle,
    pub(super) seed: Arc<Link>,
    table: RwLock<Arc<Table>>,
    refreshed: Mutex<Option<Instant>>,
}

impl Router {
    /// Connects the seed, once through all its addresses.
    pub(super) async fn connect(addresses: Vec<String>, options: Options) -> Result<Arc<Router>, Error> {
        if addresses.is_empty() {
            let text = "no address was given; pass at least one HOST:PORT".to_owned();
            return Err(Error::NotConnected { address: "a server".to_owned(), text });
        }
        let options = Arc::new(options);
        let runtime = Handle::current();
        let router = Arc::new_cyclic(|router: &Weak<Router>| {
            let router = Weak::clone(router);
            let learn = move |hello: Arc<ServerHello>, host: &str| {
                if let Some(router) = router.upgrade() {
                    router.learn(&hello, host);
                }
            };
            let seed = Link::new(addresses, Arc::clone(&options), Box::new(learn), false);
            let table = Table { map: Map::default(), cores: Vec::new(), seed_home: Home::default() };
            Router {
                options,
                runtime,
                seed,
                table: RwLock::new(Arc::new(table)),
                refreshed: Mutex::default(),
            }
        });
        router.runtime.spawn(drive::run(Arc::clone(&router.seed)));
        let mut phase = router.seed.phase.subscribe();
        let settled = phase.wait_for(|phase| !matches!(phase, Phase::Connecting)).await;
        match settled.as_deref() {
            Ok(Phase::Up) => {}
            Ok(Phase::Down(error)) => return Err(error.clone()),
            _ => return Err(Error::NotConnected { address: router.seed.address(), text: "closed".into() }),
        }
        drop(settled);
        Ok(router)
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// The partition of a key.
    pub(super) fn partition_of(&self, key: &[u8]) -> u16 {
        self.table().map.partition_of(key)
    }

    /// The link for a key's requests; the seed if the core's link is down.
    pub(super) async fn link_for(&self, key: &[u8], deadline: Instant) -> Arc<Link> {
        let Some(link) = self.core_link(key) else { return Arc::clone(&self.seed) };
        if link.is_connecting() {
            link.settle(deadline).await;
        }
        if link.is_down() { Arc::clone(&self.seed) } else { link }
    }

    /// Groups keys that take the same way: names the way to this key's home.
    pub(super) fn way_of(&self, key: &[u8]) -> usize {
        match self.core_link(key) {
            Some(link) => Arc::as_ptr(&link) as usize,
            None => Arc::as_ptr(&self.seed) as usize,
        }
    }

    /// The link to the core that holds a key, `None` for the seed.
    fn core_link(&self, key: &[u8]) -> Option<Arc<Link>> {
        if !self.options.follow_map {
            return None;
        }
        let table = self.table();
        if table.map.homes.is_empty() {
            return None;
        }
        let home = table.map.home_of(key);
        if home == table.seed_home {
            return None;
        }
        let core = &table.cores[usize::from(home.node)][usize::from(home.core)];
        let link = core.link.get_or_init(|| {
            let addresses = vec![core.address.clone()];
            let link = Link::new(addresses, Arc::clone(&self.options), Box::new(|_, _| {}), true);
            self.runtime.spawn(drive::run(Arc::clone(&link)));
            link
        });
        Some(Arc::clone(link))
    }

    /// Takes over a map. `host` stands in for nodes that don't name theirs.
    fn learn(&self, hello: &ServerHello, host: &str) {
        let mut current = self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known: Vec<Arc<Core>> = current.cores.iter().flatten().cloned().collect();
        let core_at = |address: String| {
            let same = known.iter().find(|core| core.address == address);
            same.cloned().unwrap_or_else(|| Arc::new(Core { address, link: OnceLock::new() }))
        };
        let cores: Vec<Vec<Arc<Core>>> = (hello.map.nodes.iter())
            .map(|node| {
                let host = if node.host.is_empty() { host } else { &node.host };
                node.core_ports.iter().map(|port| core_at(join(host, *port))).collect()
            })
            .collect();
        for core in &known {
            let is_kept = cores.iter().flatten().any(|kept| Arc::ptr_eq(kept, core));
            if let (false, Some(link)) = (is_kept, core.link.get()) {
                link.close();
            }
        }
        *current = Arc::new(Table { map: hello.map.clone(), cores, seed_home: hello.home });
    }

    /// Asks for the map again, in the background, unless that was done just now.
    pub(super) fn refresh(self: &Arc<Router>) {
        let mut refreshed = self.refreshed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        if refreshed.is_some_and(|last| now - last < REFRESH_PAUSE) {
            return;
        }
        *refreshed = Some(now);
        drop(refreshed);
        let router = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(error) = router.ask_for_map().await {
                tracing::debug!(%error, "the map could not be asked for");
            }
        });
    }

    async fn ask_for_map(&self) -> Result<(), Error> {
        let command = Command::Hello(self.options.hello());
        let deadline = Instant::now() + self.options.timeout;
        let call_options = CallOptions { level: Level::Default, keyspace: 0, deadline };
        let owned = self
            .seed
            .send(command, call_options)
            .await?
            .await
            .map_err(|failure| failure.into_error(true, &self.seed.address()))?;
        let response = Response::decode(&owned.frame());
        if let Ok(Response { reply: Reply::Hello(hello), .. }) = response {
            let host = self.seed.peer_host();
            self.learn(&hello, &host);
        }
        Ok(())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.seed.close();
        for core in self.table().cores.iter().flatten() {
            if let Some(link) = core.link.get() {
                link.close();
            }
        }
    }
}

/// Host and port as an address.
fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
