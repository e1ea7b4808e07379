//! Lines on their way to standard error: whoever has one leaves it and goes on, and a thread of its own writes.
//!
//! What waits is bounded. A line that finds no room is dropped and counted: a reader that stopped (a full pipe, a terminal
//! at Ctrl-S, a disk without space) costs lines and nothing else.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that may wait.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// How long the writer rests where nothing can be written at once and writing doesn't wait by itself.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// See the module's text.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Something waits to be written.
    news: Condvar,
    /// Something was written.
    progress: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
    /// Lines dropped since that was last told.
    untold: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a line, its end included.
    pub fn add(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > WAITING_BYTES_MAX {
            state.untold += 1;
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.news.notify_one();
    }

    /// How many lines were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, but not longer than this; whether it is.
    pub fn flush(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut state = self.lock();
        while state.is_writing || !state.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Writes what comes, for ever. `tell` hears how many lines were dropped when there is room again.
    pub fn write_all(&self, out: &mut impl Write, tell: impl Fn(u64)) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            self.progress.notify_all();
            while state.waiting.is_empty() {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut state.waiting, &mut lines);
            state.is_writing = true;
            drop(state);
            if write_patiently(out, &lines).is_err() {
                let lost = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
                self.lock().untold += lost;
                self.dropped.fetch_add(lost, Ordering::Relaxed);
            } else {
                let untold = std::mem::take(&mut self.lock().untold);
                if untold > 0 {
                    tell(untold);
                }
            }
            lines.clear();
        }
    }
}

/// Writes all of it, also where somebody else has made the descriptor non-blocking.
fn write_patiently(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Takes a write whenever it is allowed to, and hands it on.
    struct Gate {
        open: Receiver<io::Result<()>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().unwrap()?;
            // A test may not look at what is written.
            let _ = self.written.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Setup {
        queue: Arc<Queue>,
        open: Sender<io::Result<()>>,
        written: Receiver<Vec<u8>>,
        told: Receiver<u64>,
    }

    fn writing() -> Setup {
        let (open, gate) = channel();
        let (sender, written) = channel();
        let (teller, told) = channel();
        let queue = Arc::new(Queue::default());
        let writer = Arc::clone(&queue);
        let mut out = Gate { open: gate, written: sender };
        std::thread::spawn(move || writer.write_all(&mut out, |lost| teller.send(lost).unwrap()));
        Setup { queue, open, written, told }
    }

    const LINE: [u8; 1024] = [b'x'; 1024];

    #[test]
    fn nobody_waits_for_a_reader_that_stopped_and_what_is_lost_is_counted_and_told() {
        let Setup { queue, open, written, told } = writing();
        // More than a writer that is stuck and the room beside it take.
        for _ in 0..4 * WAITING_BYTES_MAX / LINE.len() {
            queue.add(&LINE);
        }
        let lost = queue.dropped();
        assert!(lost > 0 && lost < 4 * (WAITING_BYTES_MAX / LINE.len()) as u64, "{lost}");
        assert!(!queue.flush(Duration::ZERO), "nothing is written yet");
        for _ in 0..2 {
            open.send(Ok(())).unwrap();
        }
        assert_eq!(told.recv().unwrap(), lost);
        let first = written.recv().unwrap();
        assert!(first.len() <= WAITING_BYTES_MAX && first.len().is_multiple_of(LINE.len()));
    }

    #[test]
    fn a_flush_ends_when_everything_is_written() {
        let Setup { queue, open, written, .. } = writing();
        queue.add(b"one\n");
        open.send(Ok(())).unwrap();
        assert!(queue.flush(Duration::from_secs(60)));
        assert_eq!(written.recv().unwrap(), b"one\n");
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted() {
        let Setup { queue, open, told, .. } = writing();
        queue.add(b"one\n");
        open.send(Err(ErrorKind::StorageFull.into())).unwrap();
        assert!(queue.flush(Duration::from_secs(60)));
        assert_eq!(queue.dropped(), 1);
        queue.add(b"two\n");
        open.send(Ok(())).unwrap();
        assert_eq!(told.recv().unwrap(), 1);
    }
}
