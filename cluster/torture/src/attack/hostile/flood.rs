//! More connections than `--connections-max`, over both protocols.

use super::assault::Assault;
use super::stream::head;
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant};

/// How many answers are waited for.
const ASKED: usize = 30;

/// One after the other, as fast as they are taken; the last ones say what happens to those beyond the limit.
pub fn connections(assault: &Assault<'_>, rng: &mut SmallRng) {
    let stage = assault.stage;
    let most = (stage.connections_max * 5 / 2 + 500).min(stage.files_max / 3);
    let most = assault.size(most, most.min(1500));
    let until = Instant::now() + assault.size(Duration::from_secs(10), Duration::from_secs(1));
    let mut hostiles = Vec::new();
    while hostiles.len() < most && Instant::now() < until && stage.is_attacked() {
        let address = if rng.random() { stage.target.resp } else { stage.target.kv };
        let Some(mut hostile) = assault.connect(address) else { break };
        if address == stage.target.resp {
            hostile.send([head(1, &[b"PING"])]);
        }
        hostiles.push(hostile);
    }
    for hostile in hostiles.iter_mut().rev().take(ASKED) {
        hostile.answer(Duration::from_millis(30));
    }
    stage.hold(assault.size(Duration::from_secs(2), Duration::from_millis(300)));
}
