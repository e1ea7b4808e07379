//! Threads of cores, from their start to the word to go.

use crate::admin::ask::Control;
use crate::core::start::{CoreSetup, OpenCore};
use crate::error::Error;
use pinion_net::reactor::Waker;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// A core's thread while it starts.
pub(super) struct Starting {
    /// It.
    pub thread: JoinHandle<()>,
    /// Lets it run, with the wakers of all cores.
    pub go: SyncSender<Vec<Waker>>,
    /// What it is told.
    pub controls: SyncSender<Control>,
}

/// What a core says when it has opened, or can't.
pub(super) type Opened = Result<(usize, Waker), Error>;

/// Starts a core's thread, which opens its shard and then waits for the word to go.
pub(super) fn spawn(
    setup: CoreSetup,
    controls: SyncSender<Control>,
    opened: Sender<Opened>,
) -> Result<Starting, Error> {
    let me = setup.me;
    let events = setup.events.clone();
    let (go, start) = sync_channel::<Vec<Waker>>(1);
    let run = move || {
        let core: OpenCore = match setup.open() {
            Ok(core) => core,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok((me, core.waker())));
        drop(opened);
        // No word: another core couldn't open, and the start was abandoned.
        let Ok(wakers) = start.recv() else { return };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| core.run(wakers)));
        let panicked =
            || Err(Error::Node(format!("core {me} panicked; see the lines before, and restart kvd")));
        events.ended(me, result.unwrap_or_else(|_| panicked()));
    };
    let thread = std::thread::Builder::new().name(format!("kvd-core-{me}")).spawn(run).map_err(|e| {
        Error::Node(format!("no thread for core {me}: {e}; raise the limit with `ulimit -u`"))
    })?;
    Ok(Starting { thread, go, controls })
}

/// Collects the wakers of all cores, or the first error.
pub(super) fn wait_until_open(results: &Receiver<Opened>, cores: usize) -> Result<Vec<Waker>, Error> {
    let mut wakers: Vec<Option<Waker>> = vec![None; cores];
    for _ in 0..cores {
        let opened = results
            .recv()
            .map_err(|_| Error::Node("a core panicked while it opened; see above".to_owned()))?;
        let (core, waker) = opened?;
        wakers[core] = Some(waker);
    }
    Ok(wakers.into_iter().flatten().collect())
}

/// Ends cores that wait for a start which won't come.
pub(super) fn abandon(starting: Vec<Starting>) {
    for core in starting {
        drop(core.go);
        drop(core.controls);
        // A core that panicked has already said why.
        let _ = core.thread.join();
    }
}
