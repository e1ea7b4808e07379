//! The sessions of a core, and what they have in common.

use super::Session;
use super::resp::cursors::Cursors;
use pinion_net::reactor::ConnId;
use pinion_net::resp::CommandId;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The sessions of a core, by the place of their connection in the reactor.
pub struct Sessions {
    places: Vec<Option<Box<Session>>>,
    count: usize,
    /// Places of scans that clients will come back to.
    pub cursors: Cursors,
    /// The RESP command that is being taken in.
    pub command: CommandId,
    /// When the log was last told that somebody speaks HTTP.
    pub http_warned_us: Option<u64>,
    /// What RANDOMKEY chooses by.
    chance: SmallRng,
    me: usize,
    cores: usize,
    /// Clients that had a number.
    clients: u64,
}

impl Sessions {
    /// None yet, on core `me` of so many, which starts at this time and draws its chance from this seed.
    pub fn new((me, cores): (usize, usize), unix_us: u64, seed: u64) -> Sessions {
        Sessions {
            places: Vec::new(),
            count: 0,
            cursors: Cursors::new(me, unix_us),
            command: CommandId::NONE,
            http_warned_us: None,
            chance: SmallRng::seed_from_u64(seed),
            me,
            cores,
            clients: 0,
        }
    }

    /// 64 bits of chance.
    pub fn roll(&mut self) -> u64 {
        self.chance.random()
    }

    /// The number of a new connection: unique in the node: cores take turns in the numbers.
    pub fn next_client_id(&mut self) -> u64 {
        self.clients += 1;
        (self.clients - 1) * self.cores as u64 + self.me as u64 + 1
    }

    /// The session of a connection, if it is there, and what keeps places of scans.
    pub fn with_cursors(&mut self, conn: ConnId) -> Option<(&mut Session, &mut Cursors)> {
        let session = self.places.get_mut(conn.index() as usize)?.as_deref_mut()?;
        (session.conn.generation() == conn.generation()).then_some((session, &mut self.cursors))
    }

    /// Adds a session.
    pub fn insert(&mut self, session: Session) {
        let index = session.conn.index() as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        let before = self.places[index].replace(Box::new(session));
        debug_assert!(before.is_none(), "the reactor reuses a place only after `closed`");
        self.count += 1;
    }

    /// The session of a connection, if it is there.
    #[inline]
    pub fn get(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.at(conn.index(), conn.generation())
    }

    /// The session at a place, if it is still the one of this generation.
    #[inline]
    pub fn at(&mut self, index: u32, generation: u32) -> Option<&mut Session> {
        let session = self.places.get_mut(index as usize)?.as_deref_mut()?;
        (session.conn.generation() == generation).then_some(session)
    }

    /// Forgets a connection.
    pub fn remove(&mut self, conn: ConnId) -> Option<Box<Session>> {
        self.get(conn)?;
        self.count -= 1;
        self.places[conn.index() as usize].take()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The places there are, taken or not.
    pub fn places(&self) -> u32 {
        self.places.len() as u32
    }

    /// The session at a place, if there is one.
    pub fn at_place(&mut self, place: u32) -> Option<&mut Session> {
        self.places.get_mut(place as usize)?.as_deref_mut()
    }

    /// All of them.
    pub fn iter(&mut self) -> impl Iterator<Item = &mut Session> {
        self.places.iter_mut().filter_map(Option::as_deref_mut)
    }
}
