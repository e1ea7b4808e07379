//! Names of connections, as large as arguments may be, and lists of them.

use super::assault::Assault;
use super::stream::{filler, head};
use super::value::largest;
use rand::rngs::SmallRng;
use std::time::Duration;

/// What all names have together: 60 of 15 MB, where the server takes such.
const NAMES_BYTES: usize = 900_000_000;

/// CLIENT SETNAME on many connections, and CLIENT LIST meanwhile.
pub fn large_names(assault: &Assault<'_>, _: &mut SmallRng) {
    let time = assault.size(Duration::from_secs(3), Duration::from_millis(700));
    let bytes = largest(assault) * 15 / 16;
    assault.at_once(1 + NAMES_BYTES / bytes, |at| {
        let Some(mut hostile) = assault.connect_resp() else { return };
        if at == 0 {
            for _ in 0..3 {
                assault.stage.hold(time / 3);
                hostile.send([head(2, &[b"CLIENT", b"LIST"])]);
                hostile.answer(Duration::from_millis(500));
                hostile.drain(time);
            }
            return;
        }
        let mut first = head(3, &[b"CLIENT", b"SETNAME"]);
        first.extend_from_slice(format!("${bytes}\r\n").as_bytes());
        let last = std::iter::once(b"\r\n".to_vec());
        hostile.send(std::iter::once(first).chain(filler(bytes)).chain(last));
        hostile.answer(Duration::from_millis(500));
        assault.stage.hold(time);
    });
}
