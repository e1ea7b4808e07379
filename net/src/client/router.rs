//! Which connection a request takes.
//!
//! The seed connection goes to one of the addresses that the client was given. Its HELLO brings the
//! map; from then on a request on one key goes to the core that holds the key, over a connection that
//! is opened when it is first needed. While a core can't be reached the seed takes its requests, and
//! the server forwards them. A response that was forwarded, or a refusal because nobody can answer for a
//! partition now, makes the client ask whoever sent it for the map again, at most once a second.
//!
//! A map has an epoch, and an older one of the same cluster is never taken: neither from another node that
//! the seed reconnects to, nor from one that hasn't heard of a change yet. Nor is a request sent to a core's
//! address where another node answers by now: it takes the seed, as if nobody did.

use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::drive;
use super::error::Error;
use super::link::{CallOptions, Link, Owner, Phase};
use super::once::Numbers;
use super::options::Options;
use crate::wire::{Command, Home, Level, Map, Reply, Response, ServerHello};

const REFRESH_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether the last request of a link that isn't needed any more was answered.
const RETIRE_LOOK: Duration = Duration::from_millis(20);

/// A core's address, whose it is, and the link to it once it was needed.
struct Core {
    address: String,
    owner: Owner,
    link: OnceLock<Arc<Link>>,
}

/// The map and the links that go with it.
struct Table {
    /// Of which cluster the map is.
    cluster_id: [u8; 16],
    map: Map,
    cores: Vec<Vec<Arc<Core>>>,
    /// The core that serves the seed connection, if the map has it.
    seed_home: Option<Home>,
}

impl Table {
    /// Where this map has the core that another map calls `home`.
    fn find(map: &Map, home: Home, of: &Map) -> Option<Home> {
        let id = of.nodes.get(usize::from(home.node))?.id;
        let node = map.nodes.iter().position(|node| node.id == id)?;
        let is_there = usize::from(home.core) < map.nodes[node].core_ports.len();
        is_there.then_some(Home { node: node as u16, core: home.core })
    }

    /// The same map, with a seed that has an older one.
    fn with_seed(&self, hello: &ServerHello) -> Table {
        Table {
            cluster_id: self.cluster_id,
            map: self.map.clone(),
            cores: self.cores.clone(),
            seed_home: Table::find(&self.map, hello.home, &hello.map),
        }
    }
}

/// Who answered a HELLO.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teller {
    Seed,
    Core,
}

/// Chooses links; shared by all clones of a client.
pub(super) struct Router {
    options: Arc<Options>,
    pub(super) numbers: Arc<Numbers>,
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
        let numbers = Arc::new(Numbers::new(options.once));
        let options = Arc::new(options);
        let runtime = Handle::current();
        let router = Arc::new_cyclic(|router: &Weak<Router>| {
            let router = Weak::clone(router);
            let learn = move |hello: Arc<ServerHello>, host: &str| {
                if let Some(router) = router.upgrade() {
                    router.learn(&hello, host, Teller::Seed);
                }
            };
            let (told, whose) = (Arc::clone(&options), Arc::clone(&numbers));
            let seed = Link::new(addresses, told, whose, Box::new(learn), None);
            let table =
                Table { cluster_id: [0; 16], map: Map::default(), cores: Vec::new(), seed_home: None };
            Router {
                options,
                numbers,
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

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether a link is the seed's.
    pub(super) fn is_seed(&self, link: &Arc<Link>) -> bool {
        Arc::ptr_eq(link, &self.seed)
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
        if table.seed_home == Some(home) {
            return None;
        }
        let core = &table.cores[usize::from(home.node)][usize::from(home.core)];
        let link = core.link.get_or_init(|| {
            let addresses = vec![core.address.clone()];
            let (options, numbers) = (Arc::clone(&self.options), Arc::clone(&self.numbers));
            let link = Link::new(addresses, options, numbers, Box::new(|_, _| {}), Some(core.owner));
            self.runtime.spawn(drive::run(Arc::clone(&link)));
            link
        });
        Some(Arc::clone(link))
    }

    /// Takes over a map, unless the one that is there is newer. `host` stands in for nodes that don't name theirs.
    fn learn(&self, hello: &ServerHello, host: &str, teller: Teller) {
        let mut current = self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_same_cluster = current.cluster_id == hello.cluster_id;
        let is_older = is_same_cluster && hello.map.epoch < current.map.epoch;
        // Only the seed says which cluster it is that the client is of.
        if is_older || teller == Teller::Core && !is_same_cluster {
            if teller == Teller::Seed {
                *current = Arc::new(current.with_seed(hello));
            }
            return;
        }
        let known: Vec<Arc<Core>> = current.cores.iter().flatten().cloned().collect();
        let core_at = |address: String, node: u64| {
            let owner = Owner { cluster_id: hello.cluster_id, node };
            let same = known.iter().find(|core| core.address == address && core.owner == owner);
            same.cloned().unwrap_or_else(|| Arc::new(Core { address, owner, link: OnceLock::new() }))
        };
        let cores: Vec<Vec<Arc<Core>>> = (hello.map.nodes.iter())
            .map(|node| {
                let host = if node.host.is_empty() { host } else { &node.host };
                node.core_ports.iter().map(|port| core_at(join(host, *port), node.id)).collect()
            })
            .collect();
        for core in &known {
            let is_kept = cores.iter().flatten().any(|kept| Arc::ptr_eq(kept, core));
            if let (false, Some(link)) = (is_kept, core.link.get()) {
                self.runtime.spawn(retire(Arc::clone(link)));
            }
        }
        let seed_home = match (teller, current.seed_home) {
            (Teller::Seed, _) => Some(hello.home),
            (Teller::Core, home) => home.and_then(|home| Table::find(&hello.map, home, &current.map)),
        };
        *current = Arc::new(Table { cluster_id: hello.cluster_id, map: hello.map.clone(), cores, seed_home });
    }

    /// Asks for the map again whoever answers for a key, as [`Router::refresh`].
    pub(super) async fn refresh_for(self: &Arc<Router>, key: &[u8], deadline: Instant) {
        let link = self.link_for(key, deadline).await;
        self.refresh(&link);
    }

    /// Asks for the map again over this link, as [`Router::say_hello`], unless nobody follows the map.
    pub(super) fn refresh(self: &Arc<Router>, link: &Arc<Link>) {
        if self.options.follow_map {
            self.say_hello(link);
        }
    }

    /// Says HELLO again over this link, in the background, for the map and the server's time, unless that was done just now.
    pub(super) fn say_hello(self: &Arc<Router>, link: &Arc<Link>) {
        let mut refreshed = self.refreshed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        if refreshed.is_some_and(|last| now - last < REFRESH_PAUSE) {
            return;
        }
        *refreshed = Some(now);
        drop(refreshed);
        let (router, link) = (Arc::clone(self), Arc::clone(link));
        self.runtime.spawn(async move {
            if let Err(error) = router.greet(&link).await {
                tracing::debug!(%error, "HELLO was not answered");
            }
        });
    }

    async fn greet(&self, link: &Arc<Link>) -> Result<(), Error> {
        let command = Command::Hello(self.options.hello(self.numbers.client()));
        let deadline = Instant::now() + self.options.timeout;
        let call_options = CallOptions { level: Level::Default, keyspace: 0, deadline, once: None };
        let waiting = link.send(command, call_options).await?;
        let owned = waiting.await.map_err(|failure| failure.into_error(true, &link.address()))?;
        let response = Response::decode(&owned.frame());
        if let Ok(Response { reply: Reply::Hello(hello), .. }) = response {
            self.numbers.learn(hello.server_us);
            let teller = if self.is_seed(link) { Teller::Seed } else { Teller::Core };
            self.learn(&hello, &link.peer_host(), teller);
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

/// Closes a link that takes no more requests, once those that it took are answered or their time is over.
async fn retire(link: Arc<Link>) {
    while link.is_waited_for() {
        tokio::time::sleep(RETIRE_LOOK).await;
    }
    link.close();
}

/// Host and port as an address.
fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
