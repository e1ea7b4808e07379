//! Whom an answer is for: what the `owner` of a ticket means on a core.
//!
//! | kind (8 bits) | then |
//! |---|---|
//! | connection | index (24 bits), generation (32 bits); the ticket's request is the session's business |
//! | another core | room for values in KiB (24 bits), its number; the ticket's request is the slot in its table of forwarded requests |
//! | a walk | nothing; the ticket's request is the walk's key |
//! | nobody | nothing |

use pinion_engine::shard::request::Ticket;
use pinion_net::reactor::ConnId;

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A connection of this core.
    Connection {
        /// Its place in the tables.
        index: u32,
        /// Tells it from earlier ones in this place.
        generation: u32,
    },
    /// Another core, which forwarded the request.
    Core {
        /// Its number.
        core: usize,
        /// So many KiB of values it has room for in the answers.
        room_kib: u32,
    },
    /// A walk over partitions on this core.
    Walk,
    /// Nobody waits for the answer.
    Nobody,
}

const CONNECTION: u64 = 1;
const CORE: u64 = 2;
const WALK: u64 = 3;
const NOBODY: u64 = 4;
const KIND_SHIFT: u32 = 56;
const INDEX_SHIFT: u32 = 32;

/// Connections of a core have indexes below this.
pub const CONNECTION_INDEX_END: u32 = 1 << (KIND_SHIFT - INDEX_SHIFT);

/// The most room that a request can name, which is any.
pub const ROOM_KIB_MAX: u32 = (1 << (KIND_SHIFT - INDEX_SHIFT)) - 1;

impl Origin {
    /// A connection of this core.
    #[inline]
    pub fn connection(conn: ConnId) -> Origin {
        Origin::Connection { index: conn.index(), generation: conn.generation() }
    }

    /// The ticket of this origin's `request`.
    #[inline]
    pub fn ticket(self, request: u64) -> Ticket {
        let owner = match self {
            Origin::Connection { index, generation } => {
                debug_assert!(index < CONNECTION_INDEX_END, "connections are limited when the node starts");
                CONNECTION << KIND_SHIFT | u64::from(index) << INDEX_SHIFT | u64::from(generation)
            }
            Origin::Core { core, room_kib } => {
                CORE << KIND_SHIFT | u64::from(room_kib.min(ROOM_KIB_MAX)) << INDEX_SHIFT | core as u64
            }
            Origin::Walk => WALK << KIND_SHIFT,
            Origin::Nobody => NOBODY << KIND_SHIFT,
        };
        Ticket { owner, request }
    }

    /// The origin of a ticket that [`Origin::ticket`] made; `None` for any other.
    #[inline]
    pub fn of(ticket: Ticket) -> Option<Origin> {
        match ticket.owner >> KIND_SHIFT {
            CONNECTION => Some(Origin::Connection {
                index: (ticket.owner >> INDEX_SHIFT) as u32 & (CONNECTION_INDEX_END - 1),
                generation: ticket.owner as u32,
            }),
            CORE => Some(Origin::Core {
                core: ticket.owner as u32 as usize,
                room_kib: (ticket.owner >> INDEX_SHIFT) as u32 & ROOM_KIB_MAX,
            }),
            WALK => Some(Origin::Walk),
            NOBODY => Some(Origin::Nobody),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_survive_their_tickets() {
        for origin in [
            Origin::Connection { index: CONNECTION_INDEX_END - 1, generation: u32::MAX },
            Origin::Connection { index: 0, generation: 0 },
            Origin::Core { core: 1023, room_kib: ROOM_KIB_MAX },
            Origin::Core { core: 0, room_kib: 1 },
            Origin::Walk,
            Origin::Nobody,
        ] {
            let ticket = origin.ticket(7);
            assert_eq!((Origin::of(ticket), ticket.request), (Some(origin), 7));
        }
        assert_eq!(Origin::of(Ticket::default()), None);
    }
}
