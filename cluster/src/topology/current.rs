//! The topology that counts now: one place in a node, and what each core sees of it.

use super::Topology;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The newest topology that a node knows. Cores look at its epoch once a turn, which is in each one's cache until it rises.
#[derive(Debug)]
pub struct Current {
    epoch: AtomicU64,
    newest: Mutex<Arc<Topology>>,
}

impl Current {
    /// A node begins with this one.
    pub fn new(topology: Topology) -> Current {
        Current { epoch: AtomicU64::new(topology.epoch()), newest: Mutex::new(Arc::new(topology)) }
    }

    /// The newest.
    pub fn newest(&self) -> Arc<Topology> {
        // Whoever panicked with the lock had replaced one whole topology by another, or not.
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has every core go on with this topology from its next turn on. `false` if it may not follow the one before
    /// ([`Topology::may_follow`]): then nothing changes.
    pub fn replace(&self, topology: Topology) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let is_next = topology.may_follow(&newest);
        if is_next {
            *newest = Arc::new(topology);
            self.epoch.store(newest.epoch(), Ordering::Release);
        }
        is_next
    }
}

/// What a core sees: the topology of its turn.
#[derive(Debug)]
pub struct View {
    current: Arc<Current>,
    topology: Arc<Topology>,
}

impl View {
    /// Of a core that starts now.
    pub fn new(current: Arc<Current>) -> View {
        View { topology: current.newest(), current }
    }

    /// A turn begins: it sees the newest.
    #[inline]
    pub fn look(&mut self) {
        if self.current.epoch.load(Ordering::Acquire) != self.topology.epoch() {
            self.topology = self.current.newest();
        }
    }

    /// The topology of this turn, to keep.
    pub fn share(&self) -> Arc<Topology> {
        Arc::clone(&self.topology)
    }
}

impl Deref for View {
    type Target = Topology;

    #[inline]
    fn deref(&self) -> &Topology {
        &self.topology
    }
}
