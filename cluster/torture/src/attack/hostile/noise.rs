//! A log that nobody reads: a full pipe, while the server is made to write to it, by its operator's signals and by commands
//! that hold a core for long enough to be told.

use super::assault::Assault;
use super::long;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant};

/// BATCHes of so many bytes, one for each core, hold a core that does them in one turn.
const BATCH_BYTES: usize = 2 << 20;
const BATCHES: usize = 2;

/// Meanwhile the honest get so many answers, in no longer than that.
const ANSWERS: u64 = 50;
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The log isn't read for some seconds; then it is again.
pub fn blocked_log(assault: &Assault<'_>, _: &mut SmallRng) {
    let stage = assault.stage;
    stage.fill_log();
    long::deletes(assault, BATCH_BYTES, BATCHES);
    let answers = || stage.honest.seen().requests.len();
    let (before, until) = (answers(), Instant::now() + ANSWERS_WITHIN);
    while stage.is_attacked() && answers() < before + ANSWERS {
        if Instant::now() >= until {
            stage.complain("the honest aren't answered while nobody reads the log".to_owned());
            break;
        }
        stage.hold(Duration::from_millis(10));
    }
    stage.hold(assault.size(Duration::from_secs(3), Duration::from_millis(700)));
    stage.log.read(true);
}
