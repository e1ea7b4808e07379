//! Short updates, each of which makes a long value anew: the server has it in several places until it is in a table.

use super::assault::Assault;
use super::stream::{head, pieces};
use super::value::{largest, store};
use rand::rngs::SmallRng;
use std::time::Duration;

const CONNECTIONS: usize = 40;
/// More than a shard keeps in memory: most have to be read first.
const KEYS: usize = 8;
const UPDATES: usize = 50;
/// How often a value is sent that a busy server refuses.
const ATTEMPTS: usize = 20;

/// Pipelines of APPENDs to values near the limit, and of expiries of these: short commands.
pub fn appends(assault: &Assault<'_>, _: &mut SmallRng) {
    let bytes = largest(assault) * 15 / 16;
    let keys: Vec<_> = (0..KEYS).map(|key| format!("hostile:long:{key}").into_bytes()).collect();
    for key in &keys {
        let _ = (0..ATTEMPTS).any(|_| !assault.stage.is_attacked() || store(assault, key, bytes));
    }
    let mut hostiles: Vec<_> = (0..CONNECTIONS).filter_map(|_| assault.connect_resp()).collect();
    for (at, hostile) in hostiles.iter_mut().enumerate() {
        let key = &keys[at % KEYS];
        let append: [&[u8]; 3] = [b"APPEND", key, b"x"];
        let expiry: [&[u8]; 3] = [b"PEXPIRE", key, b"100000000"];
        let request = head(3, if at < CONNECTIONS * 3 / 4 { &append } else { &expiry });
        hostile.send(pieces(UPDATES, |_, out| out.extend_from_slice(&request)));
    }
    assault.stage.hold(assault.size(Duration::from_secs(4), Duration::from_millis(1500)));
    for hostile in &mut hostiles {
        hostile.answer(Duration::from_millis(50));
    }
}
