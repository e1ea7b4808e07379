//! Several clients that write as fast as they are answered, and keep a ledger.

use crate::ledger::{Found, Register, registers};
use pinion_net::client::{Client, Options};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Client threads, tasks of each, registers of each task.
const CLIENTS: usize = 3;
const TASKS: usize = 16;
const REGISTERS: usize = 24;

/// How often whoever waits for an answer looks whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(5);

/// Everything that the clients know.
pub struct Ledger {
    clients: Vec<Vec<Vec<Register>>>,
}

/// Clients at work.
pub struct Load {
    clients: Vec<JoinHandle<Result<Vec<Vec<Register>>, String>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    is_over: AtomicBool,
}

impl Shared {
    /// Waits until the load is ended.
    async fn over(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

fn options(timeout: Duration) -> Options {
    Options { timeout, connect_timeout: Duration::from_secs(30), ..Options::default() }
}

impl Ledger {
    /// Nothing is known yet.
    pub fn new() -> Ledger {
        let client = |client| (0..TASKS).map(|task| registers(client * TASKS + task, REGISTERS)).collect();
        Ledger { clients: (0..CLIENTS).map(client).collect() }
    }

    /// Reads everything and holds it against what is known. What is there has to stay.
    pub fn check(&mut self, address: &str) -> Result<Found, String> {
        let mut found = Found::default();
        runtime().block_on(async {
            let client = Client::connect([address.to_owned()], options(Duration::from_secs(60)));
            let client = client.await.map_err(|error| error.to_string())?;
            for register in self.clients.iter_mut().flatten().flatten() {
                register.check(&client, &mut found).await?;
            }
            Ok(found)
        })
    }

    /// Lets the clients write to a server until [`Load::end`]. A request waits for its answer for up to `timeout`.
    pub fn load(self, address: &str, seed: u64, timeout: Duration) -> Load {
        let shared = Arc::new(Shared::default());
        let client = |(place, tasks): (usize, Vec<Vec<Register>>)| {
            let (address, shared) = (address.to_owned(), Arc::clone(&shared));
            let seed = seed.wrapping_mul(31).wrapping_add(place as u64);
            std::thread::spawn(move || runtime().block_on(write(address, tasks, seed, timeout, shared)))
        };
        let clients = self.clients.into_iter().enumerate().map(client).collect();
        Load { clients, shared }
    }
}

impl Load {
    /// Writes that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Writes that were refused, and those whose outcome nobody knows.
    pub fn failed(&self) -> (u64, u64) {
        (self.shared.refused.load(Ordering::Relaxed), self.shared.unknown.load(Ordering::Relaxed))
    }

    /// Whether every client has given up.
    pub fn is_over(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Ends it; what the clients know, and how many writes were acknowledged.
    pub fn end(self) -> Result<(Ledger, u64), String> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut clients = Vec::new();
        for client in self.clients {
            let tasks = client.join().map_err(|_| "a client panicked; see the lines before".to_owned())?;
            clients.push(tasks?);
        }
        Ok((Ledger { clients }, self.shared.acknowledged.load(Ordering::Relaxed)))
    }
}

async fn write(
    address: String,
    tasks: Vec<Vec<Register>>,
    seed: u64,
    timeout: Duration,
    shared: Arc<Shared>,
) -> Result<Vec<Vec<Register>>, String> {
    let connected = tokio::select! {
        connected = Client::connect([address], options(timeout)) => connected,
        () = shared.over() => return Ok(tasks),
    };
    // The server was killed that soon.
    let Ok(client) = connected else { return Ok(tasks) };
    let local = tokio::task::LocalSet::new();
    let tasks = tasks.into_iter().enumerate().map(|(place, registers)| {
        let (client, shared) = (client.clone(), Arc::clone(&shared));
        let rng = SmallRng::seed_from_u64(seed.wrapping_mul(1000).wrapping_add(place as u64));
        local.spawn_local(write_task(client, registers, rng, shared))
    });
    let tasks: Vec<_> = tasks.collect();
    local.await;
    let mut known = Vec::new();
    for task in tasks {
        known.push(task.await.map_err(|error| error.to_string())?);
    }
    Ok(known)
}

async fn write_task(
    client: Client,
    mut registers: Vec<Register>,
    mut rng: SmallRng,
    shared: Arc<Shared>,
) -> Vec<Register> {
    while !shared.is_over.load(Ordering::Relaxed) {
        let place = rng.random_range(0..registers.len());
        let written = tokio::select! {
            written = registers[place].write(&client, &mut rng) => written,
            // The client would go on trying until its time is over. What became of the write shows when it is read.
            () = shared.over() => return registers,
        };
        match written {
            Ok(()) => shared.acknowledged.fetch_add(1, Ordering::Relaxed),
            Err(None) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                return registers;
            }
            Err(Some(_)) => {
                shared.unknown.fetch_add(1, Ordering::Relaxed);
                return registers;
            }
        };
    }
    registers
}
