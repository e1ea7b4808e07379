//! The sessions of a core.

use super::Session;
use pinion_net::reactor::ConnId;

/// The sessions of a core, by the place of their connection in the reactor.
#[derive(Default)]
pub struct Sessions {
    places: Vec<Option<Box<Session>>>,
    count: usize,
}

impl Sessions {
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
