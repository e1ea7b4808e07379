//! The route of a request: who owns it, and how it gets there.
//!
//! - [`Route::owner`] says who serves a partition, by the [topology](crate::topology) of this turn: this core, or another one of
//!   this node. (A partition without a replica here will be another node's: it becomes an owner of its own there.)
//! - [`forward`] sends requests to other cores: each takes a credit of the [mesh](crate::mesh), and who finds none waits in a
//!   [`backlog`]. [`parcel`] is what is remembered of each, [`message`] how they and their answers are written.
//! - [`origin`] says to whom an answer goes back.

mod backlog;
pub mod forward;
pub mod message;
pub mod origin;
pub mod parcel;

use crate::mesh::Port;
use crate::topology::current::View;
use forward::Forwards;
use pinion_engine::key::Partition;
use pinion_net::slot::Slot;

/// Who serves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The core that asks.
    ThisCore,
    /// Another core of this node.
    Core(usize),
}

/// Where the requests of a core go.
pub struct Route {
    me: usize,
    /// Who serves what.
    pub topology: View,
    /// Requests to other cores.
    pub forwards: Forwards,
}

impl Route {
    /// That of core `me`, by its end of the mesh.
    pub fn new(me: usize, topology: View, port: Port) -> Route {
        let forwards = Forwards::new(port, topology.cores());
        Route { me, topology, forwards }
    }

    /// The number of this core.
    #[inline]
    pub fn me(&self) -> usize {
        self.me
    }

    /// Who serves a partition.
    #[inline]
    pub fn owner(&self, partition: Partition) -> Owner {
        match self.topology.core_of(partition) {
            core if core == self.me => Owner::ThisCore,
            core => Owner::Core(core),
        }
    }

    /// The partition of a key, and who serves it.
    #[inline]
    pub fn home(&self, key: &[u8]) -> (Partition, Owner) {
        let partition = self.topology.partition_of(Slot::of(key));
        (partition, self.owner(partition))
    }

    /// Whether a new command may send to an owner; if not, its connection has to wait ([`Forwards::wait`]).
    #[inline]
    pub fn has_room(&self, owner: Owner) -> bool {
        match owner {
            Owner::ThisCore => true,
            Owner::Core(core) => self.forwards.has_room(core),
        }
    }
}
