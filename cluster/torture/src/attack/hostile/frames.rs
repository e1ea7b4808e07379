//! Requests that never end: the server has to keep what came, or say that it won't.

use super::assault::Assault;
use super::socket::frame;
use super::stream::{filler, head, set};
use super::value::largest;
use pinion_net::wire::{Command, Condition, Expiry};
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// What is begun in all, with as many requests as that takes: 32 of 16 MiB, where the server takes such.
const BEGUN_BYTES: usize = 512 << 20;

/// What is missing of a request.
const MISSING_BYTES: usize = 1000;

fn hold_time(assault: &Assault<'_>) -> Duration {
    assault.size(Duration::from_secs(3), Duration::from_millis(700))
}

/// SETs of the largest values, all but the last bytes.
pub fn partial_set(assault: &Assault<'_>, _: &mut SmallRng) {
    let bytes = largest(assault);
    assault.at_once(BEGUN_BYTES / bytes, |_| {
        let Some(mut hostile) = assault.connect_resp() else { return };
        let heads = head(3, &[b"SET", b"big"]).len() + format!("${bytes}\r\n").len();
        let mut left = heads + bytes - MISSING_BYTES;
        hostile.send(set(b"big", bytes).map_while(|mut piece| {
            piece.truncate(left);
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        }));
        assault.stage.hold(hold_time(assault));
        hostile.answer(Duration::from_millis(50));
    });
}

/// The same over the binary protocol.
pub fn partial_put(assault: &Assault<'_>, _: &mut SmallRng) {
    let bytes = largest(assault);
    let value = vec![b'x'; bytes];
    let (expiry, condition, want_old) = (Expiry::Never, Condition::None, false);
    let put = frame(2, Command::Put { key: b"big", value: &value, expiry, condition, want_old });
    drop(value);
    assault.at_once(BEGUN_BYTES / bytes, |_| {
        let Some(mut hostile) = assault.connect_kv() else { return };
        hostile.send(put[..put.len() - MISSING_BYTES].chunks(64 << 10));
        assault.stage.hold(hold_time(assault));
        hostile.answer(Duration::from_millis(50));
    });
}

/// Many lines of words, each just short of what a line may have, and without its end.
pub fn partial_lines(assault: &Assault<'_>, rng: &mut SmallRng) {
    let mut hostiles = Vec::new();
    for _ in 0..assault.size(1000, 200) {
        let Some(mut hostile) = assault.connect_resp() else { continue };
        let bytes = rng.random_range(60_000..65_000);
        hostile.send(std::iter::once(b"GET ".to_vec()).chain(filler(bytes)));
        hostiles.push(hostile);
        if !assault.stage.is_attacked() {
            break;
        }
    }
    assault.stage.hold(hold_time(assault));
    for hostile in hostiles.iter_mut().take(20) {
        hostile.answer(Duration::from_millis(10));
    }
}
