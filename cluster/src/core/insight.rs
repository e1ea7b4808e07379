//! What a core shows of itself to whoever drives it.

use super::state::CoreState;
use crate::peers::Peers;
use crate::session::Hold;
use crate::stats::CoreStats;
use pinion_engine::shard::Shard;

impl CoreState {
    /// Its number.
    pub fn number(&self) -> usize {
        self.hub.route.me()
    }

    /// Its shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// What it knows of other nodes.
    pub fn peers(&self) -> &Peers {
        &self.hub.peers
    }

    /// What it has counted.
    pub fn stats(&self) -> CoreStats {
        CoreStats {
            core: self.hub.route.me(),
            forwarded: self.hub.route.forwards.count,
            ..self.hub.stats.clone()
        }
    }

    /// Whether other cores have answered all that it asked them.
    pub fn is_answered(&self) -> bool {
        self.hub.route.forwards.is_idle()
    }

    /// Since when its oldest request waits for a shard alone, by the clock of its turns.
    pub fn waits_since_us(&mut self) -> Option<u64> {
        self.hub.sessions.iter().filter_map(|session| session.waits_since_us()).min()
    }

    /// Names each hold that is on, connection by connection.
    pub fn each_hold(&mut self, mut held: impl FnMut(Hold)) {
        for session in self.hub.sessions.iter().filter(|session| session.is_held()) {
            Hold::ALL.into_iter().filter(|hold| session.has(*hold)).for_each(&mut held);
        }
    }

    /// Bytes that its sessions hold, and those that they are charged for: the same, unless something was forgotten.
    pub fn session_bytes(&mut self) -> (usize, usize) {
        let held = self.hub.sessions.iter().map(|session| session.memory_bytes()).sum();
        (held, self.hub.memory.sessions())
    }

    /// Where it stands, for reports.
    pub fn describe(&mut self) -> String {
        let (hub, stats) = (&mut self.hub, self.shard.stats());
        let sessions: Vec<String> = hub.sessions.iter().map(|session| session.describe()).collect();
        format!(
            "phase {:?}, forwards idle {}, mail {}, delay {} us, forming {}, parked {}, memtables {}, frozen {}, \
             trouble {:?}, connections [{}]",
            self.phase,
            hub.route.forwards.is_idle(),
            hub.route.forwards.port().has_mail(),
            hub.delay_us,
            self.shard.forming_bytes(),
            stats.parked_now,
            stats.memtable_bytes,
            stats.frozen_memtables,
            stats.trouble,
            sessions.join("; "),
        )
    }
}
