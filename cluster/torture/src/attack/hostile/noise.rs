//! A log that nobody reads: a full pipe, while the server is made to write to it, by its operator's signals and by commands
//! that hold a core for long enough to be told.

use super::{Assault, long};
use rand::rngs::SmallRng;
use std::time::Duration;

/// Signals, each of which it logs: more than the pipe holds.
const SIGNALS: usize = 100;

/// The log isn't read for some seconds; then it is again.
pub fn blocked_log(assault: &Assault<'_>, rng: &mut SmallRng) {
    let stage = assault.stage;
    stage.log.read(false);
    for _ in 0..SIGNALS {
        stage.signal(libc::SIGHUP);
        // Signals that come at once count as one.
        stage.hold(Duration::from_millis(3));
    }
    long::command_info(assault, rng);
    stage.hold(assault.size(Duration::from_secs(3), Duration::from_millis(700)));
    stage.log.read(true);
}
