//! Connections of several cores, visited core by core in slices: what CLIENT LIST and CLIENT KILL walk over.
//!
//! A slice is so many places of one core's table of connections, so that no core is held up by how many there are. A
//! connection that comes or goes meanwhile may be told of or not.

use super::pieces::Pieces;
use pinion_engine::shard::request::Page;
use std::ops::Range;
use std::rc::Rc;

/// Which connections that speak RESP, and what becomes of them. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These numbers, in order; none: any.
    pub ids: Vec<u64>,
    /// From this address; empty: from any.
    pub address: Vec<u8>,
    /// To this address; empty: to any.
    pub local: Vec<u8>,
    /// There for so many seconds at least.
    pub age_s: u64,
    /// Not this one; 0: nobody is left out.
    pub except: u64,
    /// Who asks: it gets its answer before it is closed.
    pub asker: u64,
    /// They are closed instead of described.
    pub kills: bool,
}

/// A visit of connections under way.
pub struct Listing {
    wanted: Rc<Wanted>,
    /// Cores that are still to be asked, the first from a place on.
    cores: Range<usize>,
    from: u32,
    found: Pieces,
}

impl Listing {
    /// A visit of all that these cores have.
    pub fn new(wanted: Wanted, cores: Range<usize>) -> Listing {
        Listing { wanted: Rc::new(wanted), cores, from: 0, found: Pieces::default() }
    }

    /// Which core to ask next, for which of its connections, and from which place of its table on.
    pub fn next(&self) -> (usize, Rc<Wanted>, u32) {
        (self.cores.start, Rc::clone(&self.wanted), self.from)
    }

    /// Takes in a slice: an item for each connection, and where its core goes on.
    pub fn take(&mut self, page: &Page, next: Option<&[u8]>) {
        page.iter().for_each(|(line, _)| self.found.push(line));
        match next.and_then(|next| next.first_chunk()) {
            Some(place) => self.from = u32::from_le_bytes(*place),
            None => {
                self.cores.start += 1;
                self.from = 0;
            }
        }
    }

    /// What was collected.
    pub fn found(&self) -> &Pieces {
        &self.found
    }

    /// Whether every core was asked.
    pub fn is_done(&self) -> bool {
        self.cores.is_empty()
    }

    /// An item for each connection.
    pub fn into_found(self) -> Pieces {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_engine::key::{Expiry, Version};
    use pinion_engine::shard::request::Value;

    #[test]
    fn every_core_is_asked_until_it_has_no_more() {
        let mut listing = Listing::new(Wanted::default(), 0..2);
        let mut page = Page::default();
        page.push(b"one", Value { bytes: b"", version: Version(0), expiry: Expiry::NEVER });
        let mut asked = Vec::new();
        for next in [Some(7_u32.to_le_bytes()), None, None] {
            let (core, _, from) = listing.next();
            asked.push((core, from));
            listing.take(&page, next.as_ref().map(|next| &next[..]));
        }
        assert_eq!(asked, [(0, 0), (0, 7), (1, 0)]);
        assert!(listing.is_done());
        assert_eq!(listing.into_found().len(), 3);
    }
}
