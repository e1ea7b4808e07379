//! SIGINT and SIGTERM: the first ends a run in order, with its report. The second ends the process at once, unless
//! there is something to remove first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The exit code of a process that was interrupted, as shells have it for SIGINT.
pub(crate) const EXIT_CODE: u8 = 130;

/// What a second signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// Ends the process at once.
    Ends,
    /// Nothing: what the first one began, removing included, is brought to its end.
    Waits,
}

/// A flag that the signals set.
pub(crate) fn on_signals(second: Second) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if second == Second::Ends {
            // Before the flag is set, so that the first signal finds it unset.
            flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&stop))?;
        }
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
