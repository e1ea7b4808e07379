//! Names of connections, of 15 MB each, and lists of them.

use super::Assault;
use super::stream::{filler, head};
use rand::rngs::SmallRng;
use std::time::Duration;

const NAME_BYTES: usize = 15_000_000;

/// CLIENT SETNAME on many connections, and CLIENT LIST meanwhile.
pub fn large_names(assault: &Assault<'_>, _: &mut SmallRng) {
    let time = assault.size(Duration::from_secs(3), Duration::from_millis(700));
    assault.at_once(61, |at| {
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
        first.extend_from_slice(format!("${NAME_BYTES}\r\n").as_bytes());
        let last = std::iter::once(b"\r\n".to_vec());
        hostile.send(std::iter::once(first).chain(filler(NAME_BYTES)).chain(last));
        hostile.answer(Duration::from_millis(500));
        assault.stage.hold(time);
    });
}
