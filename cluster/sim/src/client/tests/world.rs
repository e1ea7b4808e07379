//! A small world: clients, the server in memory, and bytes between them, cut anywhere.

use super::server::Conn;
use super::store::{Lie, Store};
use crate::client::{After, Client, Dialect, Port, WorkloadShape};
use crate::model::{Checked, History, HistoryOptions, Loss, SimTime};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

const CLOCK_MS: u64 = 1_800_000_000_000;
pub const PARTITIONS: u16 = 4;

struct Link {
    server: Conn,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// The client will send no more.
    is_half_closed: bool,
}

pub struct World {
    rng: SmallRng,
    us: u64,
    store: Store,
    cursors: Vec<Vec<u8>>,
    clients: Vec<Client>,
    links: Vec<Option<Link>>,
    /// Connections without a client, whose requests may still run.
    ghosts: Vec<Conn>,
    pub history: History,
    loses: bool,
    pub crashes: u32,
}

impl World {
    pub fn new(
        seed: u64,
        lie: Lie,
        loses: bool,
        shape: impl Fn(usize, &mut SmallRng) -> WorkloadShape,
    ) -> World {
        let mut rng = SmallRng::seed_from_u64(seed);
        let options = HistoryOptions {
            partitions: PARTITIONS.into(),
            cores: 2,
            may_time_out: false,
            may_lose: loses,
            loss_us_max: 2_000_000,
        };
        let dialects = [Dialect::Resp2, Dialect::Wire, Dialect::Resp3, Dialect::WireChecked, Dialect::Wire];
        let clients: Vec<Client> = dialects
            .iter()
            .enumerate()
            .map(|(id, dialect)| Client::new(id, *dialect, shape(id, &mut rng)))
            .collect();
        World {
            us: 0,
            store: Store::new(PARTITIONS, lie),
            cursors: Vec::new(),
            links: clients.iter().map(|_| None).collect(),
            clients,
            ghosts: Vec::new(),
            history: History::new(options),
            loses,
            crashes: 0,
            rng,
        }
    }

    pub fn lies(&self) -> u64 {
        self.store.lies
    }

    fn now(&self) -> SimTime {
        SimTime::exact(self.us, CLOCK_MS + self.us / 1000)
    }

    fn pass_time(&mut self) {
        self.us += self.rng.random_range(0..300);
        if self.rng.random_range(0..2000) == 0 {
            self.us += self.rng.random_range(0..500_000);
        }
        (self.store.now_us, self.store.clock_ms) = (self.us, CLOCK_MS + self.us / 1000);
    }

    /// Runs until every client is finished, then reads everything.
    pub fn run(&mut self) -> Checked {
        while !self.clients.iter().all(Client::is_finished) {
            self.pass_time();
            let index = self.rng.random_range(0..self.clients.len());
            self.step(index)?;
            if !self.ghosts.is_empty() {
                let index = self.rng.random_range(0..self.ghosts.len());
                self.ghosts[index].step(&mut self.store, &mut self.cursors, &mut self.rng);
                if !self.ghosts[index].has_work() {
                    self.ghosts.swap_remove(index);
                }
            } else if self.rng.random_range(0..500) == 0 {
                self.history.settled(self.now());
            }
            if self.rng.random_range(0..4000) == 0 {
                self.crash()?;
            }
        }
        self.crash()?;
        self.audit()
    }

    fn audit(&mut self) -> Checked {
        for dialect in [Dialect::Wire, Dialect::Resp2] {
            let id = self.clients.len();
            self.clients.push(Client::auditor(id, dialect));
            self.links.push(None);
            while !self.clients[id].is_finished() {
                self.pass_time();
                self.step(id)?;
            }
        }
        let now = self.now();
        self.history.finish(now)
    }

    fn step(&mut self, index: usize) -> Checked {
        let now = self.now();
        let client = &mut self.clients[index];
        let Some(link) = &mut self.links[index] else {
            client.connected(Port::Shared(0), now, &mut self.rng);
            let server = Conn::new(client.dialect());
            let (to_server, to_client) = (Vec::new(), Vec::new());
            self.links[index] = Some(Link { server, to_server, to_client, is_half_closed: false });
            return Ok(());
        };
        match self.rng.random_range(0..4) {
            0 if client.wants_to_send() => {
                match client.send(now, &mut self.history, &mut self.rng, &mut link.to_server) {
                    After::Stay => {}
                    After::HalfClose => link.is_half_closed = true,
                    After::Vanish => {
                        let part = self.rng.random_range(0..=link.to_server.len());
                        let bytes: Vec<u8> = link.to_server.drain(..part).collect();
                        link.server.received(&bytes);
                        return self.vanish(index);
                    }
                }
            }
            1 => {
                let part = self.rng.random_range(0..=link.to_server.len());
                let bytes: Vec<u8> = link.to_server.drain(..part).collect();
                link.server.received(&bytes);
            }
            2 => {
                link.server.step(&mut self.store, &mut self.cursors, &mut self.rng);
                link.to_client.append(&mut link.server.out);
            }
            _ => {
                let part = self.rng.random_range(0..=link.to_client.len());
                let bytes: Vec<u8> = link.to_client.drain(..part).collect();
                client.received(&bytes, now, &mut self.history)?;
                let is_empty =
                    link.to_client.is_empty() && !link.server.has_work() && link.server.out.is_empty();
                let is_half_closed = link.is_half_closed && link.to_server.is_empty();
                if is_empty && (link.server.closes || is_half_closed) {
                    assert!(client.expects_close(), "only who asks for it is closed");
                    return self.vanish(index);
                }
            }
        }
        Ok(())
    }

    fn vanish(&mut self, index: usize) -> Checked {
        let now = self.now();
        if let Some(mut link) = self.links[index].take() {
            link.server.is_gone = true;
            self.ghosts.push(link.server);
        }
        self.clients[index].disconnected(&mut self.history, now)
    }

    fn crash(&mut self) -> Checked {
        let now = self.now();
        self.crashes += 1;
        for (client, link) in self.clients.iter_mut().zip(&mut self.links) {
            *link = None;
            client.disconnected(&mut self.history, now)?;
        }
        self.ghosts.clear();
        if self.loses && self.rng.random_range(0..3) > 0 {
            let kept_us = self.us.saturating_sub(self.rng.random_range(0..1_000_000));
            self.store.crash_with_loss(kept_us, &mut self.rng);
            self.history.crashed(Loss::Suffix { acknowledged_before_us: kept_us }, now);
        } else {
            self.store.crash(&mut self.rng);
            self.history.crashed(Loss::Nothing, now);
        }
        self.us += 100_000;
        self.pass_time();
        Ok(())
    }
}
