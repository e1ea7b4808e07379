//! Large answers that nobody reads.

use super::assault::Assault;
use super::socket::frame;
use super::stream::{head, pieces};
use super::value::{largest, store};
use pinion_net::wire::{Command, KeyListBuilder};
use rand::rngs::SmallRng;
use std::time::Duration;

const CONNECTIONS: usize = 40;
const LARGE: [&[u8]; 4] = [b"hostile:large:0", b"hostile:large:1", b"hostile:large:2", b"hostile:large:3"];
/// What a request asks for: four values of 15 MiB, where the server takes such.
const ASKED_BYTES: usize = 60 << 20;
const MEDIUM_BYTES: usize = 1 << 20;
const PIPELINE: usize = 600;
const OLD_VALUES: usize = 50;

/// Sets the large values; how often each has to be named in a request for [`ASKED_BYTES`].
fn store_large(assault: &Assault<'_>) -> usize {
    let bytes = largest(assault) * 15 / 16;
    for key in LARGE {
        store(assault, key, bytes);
    }
    (ASKED_BYTES / bytes / LARGE.len()).max(1)
}

fn hold_time(assault: &Assault<'_>) -> Duration {
    assault.size(Duration::from_secs(4), Duration::from_millis(1500))
}

/// MGETs of large values.
pub fn mget(assault: &Assault<'_>, _: &mut SmallRng) {
    let times = store_large(assault);
    let keys = LARGE.into_iter().cycle().take(LARGE.len() * times);
    let words: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys).collect();
    let request = head(words.len(), &words);
    let mut hostiles: Vec<_> = (0..CONNECTIONS).filter_map(|_| assault.connect_resp()).collect();
    for hostile in &mut hostiles {
        hostile.send([&request]);
    }
    assault.stage.hold(hold_time(assault));
    for hostile in &mut hostiles {
        hostile.answer(Duration::from_millis(50));
    }
}

/// The same over the binary protocol, and a GET of each.
pub fn multi_get(assault: &Assault<'_>, _: &mut SmallRng) {
    let times = store_large(assault);
    let mut keys = KeyListBuilder::default();
    for key in LARGE.into_iter().cycle().take(LARGE.len() * times) {
        keys.push(key).expect("the keys are short and few");
    }
    let mut hostiles: Vec<_> = (0..CONNECTIONS).filter_map(|_| assault.connect_kv()).collect();
    for hostile in &mut hostiles {
        hostile.send([frame(2, Command::MultiGet { keys: keys.list() })]);
        for (at, key) in LARGE.iter().enumerate() {
            hostile.send([frame(3 + at as u64, Command::Get { key })]);
        }
    }
    assault.stage.hold(hold_time(assault));
    for hostile in &mut hostiles {
        hostile.answer(Duration::from_millis(50));
    }
}

/// Pipelines of GETs of 1 MiB; half of them are read, late.
pub fn gets(assault: &Assault<'_>, _: &mut SmallRng) {
    let key = b"hostile:medium";
    store(assault, key, MEDIUM_BYTES.min(largest(assault)));
    let request = head(2, &[b"GET", key]);
    assault.at_once(8, |at| {
        let Some(mut hostile) = assault.connect_resp() else { return };
        hostile.send(pieces(PIPELINE, |_, out| out.extend_from_slice(&request)));
        assault.stage.hold(hold_time(assault) / 2);
        if at.is_multiple_of(2) {
            hostile.drain(hold_time(assault));
        } else {
            assault.stage.hold(hold_time(assault));
        }
    });
}

/// Pipelines of updates that answer the value before: of such as change nothing, and of such as change its expiry.
pub fn old_values(assault: &Assault<'_>, _: &mut SmallRng) {
    store_large(assault);
    let mut hostiles: Vec<_> = (0..CONNECTIONS).filter_map(|_| assault.connect_resp()).collect();
    for (at, hostile) in hostiles.iter_mut().enumerate() {
        let key = LARGE[at % LARGE.len()];
        let unchanged: [&[u8]; 5] = [b"SET", key, b"other", b"NX", b"GET"];
        let expiring: [&[u8]; 4] = [b"GETEX", key, b"EX", b"10000"];
        let words = if at.is_multiple_of(2) { &unchanged[..] } else { &expiring[..] };
        let request = head(words.len(), words);
        hostile.send(pieces(OLD_VALUES, |_, out| out.extend_from_slice(&request)));
    }
    assault.stage.hold(hold_time(assault));
    for hostile in &mut hostiles {
        hostile.answer(Duration::from_millis(50));
    }
}
