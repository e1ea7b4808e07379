use super::*;
use crate::aligned::AlignedBuf;
use crate::io::{FileName, IoOutput};
use crate::job::{JobKind, JobStep};
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Lets a test sleep until `wake` is called.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn wait(&self, deadline: Instant) {
        let mut rung = self.rung.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no event within {PATIENCE:?}");
            rung = self.changed.wait_timeout(rung, left).unwrap().0;
        }
    }
}

struct Driver {
    background: Background,
    bell: Arc<Bell>,
}

impl Driver {
    fn new(dir: &Path) -> Driver {
        Driver::on_cpu(dir, None).unwrap()
    }

    fn on_cpu(dir: &Path, cpu: Option<usize>) -> Result<Driver, Error> {
        let bell = Arc::new(Bell::default());
        let ring = Arc::clone(&bell);
        let wake = Arc::new(move || {
            *ring.rung.lock().unwrap() = true;
            ring.changed.notify_all();
        });
        Background::spawn(dir.to_owned(), BackgroundOptions { cpu, wake })
            .map(|background| Driver { background, bell })
    }

    fn next(&mut self) -> BackgroundEvent {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.background.try_next() {
                Some(event) => return event,
                None => self.bell.wait(deadline),
            }
        }
    }

    fn next_opened(&mut self) -> Opened {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.background.next_opened() {
                Some(opened) => return opened,
                None => self.bell.wait(deadline),
            }
        }
    }

    fn next_job(&mut self) -> (JobId, Result<JobOutput, Error>) {
        match self.next() {
            BackgroundEvent::JobDone(id, result) => (id, result),
            other => panic!("expected a job's end, got {other:?}"),
        }
    }

    fn perform(&mut self, request: IoRequest) -> io::Result<IoOutput> {
        let token = request.token();
        self.background.submit(request);
        match self.next() {
            BackgroundEvent::Io(completion) if completion.token == token => completion.result,
            other => panic!("expected a completion of {token:?}, got {other:?}"),
        }
    }
}

type StepFn = dyn FnMut(&mut Vec<IoCompletion>, &mut Vec<IoRequest>) -> JobStep + Send;

/// A job made of a closure.
struct TestJob {
    kind: JobKind,
    step: Box<StepFn>,
}

impl TestJob {
    fn new(
        kind: JobKind,
        step: impl FnMut(&mut Vec<IoCompletion>, &mut Vec<IoRequest>) -> JobStep + Send + 'static,
    ) -> Box<TestJob> {
        Box::new(TestJob { kind, step: Box::new(step) })
    }
}

impl Job for TestJob {
    fn kind(&self) -> JobKind {
        self.kind
    }

    fn step(
        &mut self,
        completions: &mut Vec<IoCompletion>,
        requests: &mut Vec<IoRequest>,
        _budget_bytes: usize,
    ) -> JobStep {
        (self.step)(completions, requests)
    }
}

fn pattern(len: usize) -> AlignedBuf {
    let bytes: Vec<u8> = (0..len as u32).map(|i| (i % 253) as u8).collect();
    AlignedBuf::from(&bytes[..])
}

/// Writes a table of 3 MiB in several writes at once, syncs it, and reads an unaligned part back.
fn write_and_read_back(number: u64) -> Box<TestJob> {
    const CHUNK: usize = 1 << 20;
    let file = FileName::Table(number);
    let mut phase = 0;
    let mut expected = 0;
    let mut read = None;
    TestJob::new(JobKind::Flush, move |completions, requests| {
        for completion in completions.drain(..) {
            expected -= 1;
            match completion.result {
                Ok(IoOutput::Data(data)) => read = Some(data),
                Ok(_) => {}
                Err(error) => {
                    return JobStep::Done(Err(Error::io(
                        "test",
                        file,
                        format!("{:?}", completion.token),
                        error,
                    )));
                }
            }
        }
        if expected > 0 {
            return JobStep::Waiting;
        }
        phase += 1;
        match phase {
            1 => requests.push(IoRequest::Create { token: Token(1), file }),
            2 => requests.extend((0..3).map(|i| IoRequest::Write {
                token: Token(i),
                file,
                offset: i * CHUNK as u64,
                data: AlignedBuf::from(&pattern(3 * CHUNK)[i as usize * CHUNK..(i as usize + 1) * CHUNK]),
                sync: i == 2,
            })),
            3 => requests
                .extend([IoRequest::Sync { token: Token(7), file }, IoRequest::SyncDir { token: Token(8) }]),
            4 => requests.push(IoRequest::Read { token: Token(9), file, offset: 1_000_001, len: 1_500_007 }),
            _ => {
                let data = read.take().expect("the read has completed");
                assert_eq!(&data[..], &pattern(3 * CHUNK)[1_000_001..2_500_008]);
                return JobStep::Done(Ok(JobOutput::Segment(file)));
            }
        }
        expected = requests.len();
        JobStep::Waiting
    })
}

#[test]
fn jobs_write_and_read_back_through_their_requests() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    for number in 1..=3 {
        driver.background.start(JobId(number), write_and_read_back(number));
    }
    let mut ended = Vec::new();
    for _ in 0..3 {
        let (id, result) = driver.next_job();
        assert!(matches!(result, Ok(JobOutput::Segment(FileName::Table(n))) if n == id.0), "{result:?}");
        ended.push(id);
    }
    ended.sort();
    assert_eq!(ended, [JobId(1), JobId(2), JobId(3)]);
    assert_eq!(fs::read(dir.path().join("000002.sst")).unwrap(), pattern(3 << 20)[..]);
    assert_eq!(driver.background.outstanding(), 0);
}

#[test]
fn a_directory_without_o_direct_is_written_buffered() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let mut driver = Driver::new(dir.path());
    driver.background.start(JobId(1), write_and_read_back(1));
    assert!(driver.next_job().1.is_ok());
}

#[test]
fn loose_requests_of_every_kind_are_performed() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    let (temp, file, token) = (FileName::ManifestTemp(1), FileName::Manifest(1), Token(5));
    assert!(matches!(driver.perform(IoRequest::Create { token, file: temp }), Ok(IoOutput::Done)));
    let write = IoRequest::Write { token, file: temp, offset: 3, data: pattern(10_000), sync: true };
    assert!(matches!(driver.perform(write), Ok(IoOutput::Written(data)) if data.len() == 10_000));
    assert!(matches!(driver.perform(IoRequest::Sync { token, file: temp }), Ok(IoOutput::Done)));
    assert!(matches!(driver.perform(IoRequest::Rename { token, from: temp, to: file }), Ok(IoOutput::Done)));
    assert!(matches!(driver.perform(IoRequest::SyncDir { token }), Ok(IoOutput::Done)));
    let read = IoRequest::Read { token, file, offset: 4, len: 9_999 };
    assert!(matches!(driver.perform(read), Ok(IoOutput::Data(data)) if data[..] == pattern(10_000)[1..]));
    driver.background.drop_later(Box::new(pattern(10_000)));
    assert!(matches!(driver.perform(IoRequest::Unlink { token, file }), Ok(IoOutput::Done)));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn errors_come_back_with_the_number_of_the_system_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    let (token, file) = (Token(1), FileName::Table(1));
    for request in [
        IoRequest::Read { token, file, offset: 0, len: 1 },
        IoRequest::Sync { token, file },
        IoRequest::Unlink { token, file },
        IoRequest::Rename { token, from: file, to: FileName::Table(2) },
        IoRequest::Write { token, file, offset: 0, data: pattern(4096), sync: false },
    ] {
        let text = format!("{request:?}");
        let error = driver.perform(request).expect_err(&text);
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{text}");
    }
}

#[test]
fn a_read_past_the_end_is_an_unexpected_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("000001.sst"), [1; 5000]).unwrap();
    let mut driver = Driver::new(dir.path());
    let read = |offset, len| IoRequest::Read { token: Token(1), file: FileName::Table(1), offset, len };
    assert!(matches!(driver.perform(read(4000, 1000)), Ok(IoOutput::Data(data)) if data[..] == [1; 1000]));
    for (offset, len) in [(4000, 1001), (5000, 1), (9000, 1), (0, 2 << 20)] {
        let error = driver.perform(read(offset, len)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset} {len}");
    }
}

#[test]
fn a_panicking_job_is_an_error_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    driver.background.start(JobId(1), TestJob::new(JobKind::Merge, |_, _| panic!("a wrong turn")));
    let (id, result) = driver.next_job();
    assert_eq!(id, JobId(1));
    assert!(result.unwrap_err().to_string().contains("a wrong turn"));
    driver.background.start(JobId(2), write_and_read_back(1));
    assert!(driver.next_job().1.is_ok());
}

#[test]
fn a_job_that_waits_for_nothing_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    driver.background.start(JobId(1), TestJob::new(JobKind::Verify, |_, _| JobStep::Waiting));
    assert!(driver.next_job().1.unwrap_err().to_string().contains("no request"));
}

#[test]
fn a_busy_job_doesnt_keep_others_from_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let busy = TestJob::new(JobKind::Flush, move |_, _| {
        if stopped.load(Ordering::Relaxed) { JobStep::Done(Ok(JobOutput::Nothing)) } else { JobStep::More }
    });
    driver.background.start(JobId(1), busy);
    driver.background.start(JobId(2), write_and_read_back(1));
    assert_eq!(driver.next_job().0, JobId(2));
    stop.store(true, Ordering::Relaxed);
    assert_eq!(driver.next_job().0, JobId(1));
}

#[test]
fn dropping_it_abandons_its_jobs_and_drops_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    let (sender, dropped) = channel::<()>();
    let (stepped_sender, stepped) = channel::<()>();
    for id in 0..3 {
        let (keep, stepped) = (sender.clone(), stepped_sender.clone());
        let endless = TestJob::new(JobKind::Merge, move |completions, requests| {
            let _keep = &keep;
            completions.clear();
            requests.push(IoRequest::SyncDir { token: Token(0) });
            let _ = stepped.send(());
            if id == 0 { JobStep::More } else { JobStep::Waiting }
        });
        driver.background.start(JobId(id), endless);
    }
    drop(sender);
    stepped.recv_timeout(PATIENCE).unwrap();
    drop(driver);
    assert_eq!(dropped.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn what_is_dropped_later_is_dropped_also_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    let (sender, dropped) = channel::<()>();
    driver.background.drop_later(Box::new(sender));
    drop(driver);
    assert_eq!(dropped.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn the_thread_runs_in_batch_at_nice_10() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    let (sender, receiver) = channel();
    let report = TestJob::new(JobKind::Flush, move |_, _| {
        let _ = sender.send(fs::read_to_string("/proc/thread-self/stat"));
        JobStep::Done(Ok(JobOutput::Nothing))
    });
    driver.background.start(JobId(1), report);
    let stat = receiver.recv_timeout(PATIENCE).unwrap().unwrap();
    // proc(5): nice is field 19, the policy field 41; the name, in parentheses, is field 2.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    assert_eq!((fields[19 - 3], fields[41 - 3]), ("10", "3"));
}

#[test]
fn an_impossible_cpu_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let error = Driver::on_cpu(dir.path(), Some(1000)).err().unwrap().to_string();
    assert!(error.contains("CPU 1000") && error.contains("--cpus"), "{error}");
}

#[test]
fn files_are_opened_and_closed_in_the_order_of_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let (there, missing) = (FileName::Table(1), FileName::Table(2));
    fs::write(dir.path().join(there.to_string()), b"here").unwrap();
    let mut driver = Driver::new(dir.path());
    for file in [there, missing] {
        driver.background.open(file, false);
    }
    let opened = driver.next_opened();
    assert_eq!(opened.file, there);
    driver.background.close(vec![opened.result.unwrap()]);
    let failed = driver.next_opened();
    assert_eq!((failed.file, failed.result.unwrap_err().kind()), (missing, io::ErrorKind::NotFound));
    driver.background.open(there, false);
    let descriptor = driver.next_opened().result.unwrap();
    assert_eq!(descriptors_of(dir.path()), 1, "the first one was closed before");
    drop(descriptor);
}

/// How many descriptors of files in `dir` this process has.
fn descriptors_of(dir: &Path) -> usize {
    let dir = dir.canonicalize().unwrap();
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    links.filter(|link| link.parent() == Some(&*dir)).count()
}

#[test]
fn a_missing_directory_is_named() {
    let error = Driver::on_cpu(Path::new("/nonexistent/pinion"), None).err().unwrap().to_string();
    assert!(error.contains("/nonexistent/pinion"), "{error}");
}

#[test]
fn a_dead_thread_fails_what_is_outstanding() {
    let dir = tempfile::tempdir().unwrap();
    let mut driver = Driver::new(dir.path());
    // A callback that panics takes the thread down; nothing else should.
    let calls = AtomicBool::new(false);
    let wake: Wake =
        Arc::new(move || assert!(calls.swap(true, Ordering::Relaxed), "the owner's callback failed"));
    let broken = BackgroundOptions { cpu: None, wake };
    driver.background = Background::spawn(dir.path().to_owned(), broken).unwrap();
    driver.background.submit(IoRequest::SyncDir { token: Token(1) });
    driver.background.start(JobId(1), TestJob::new(JobKind::Flush, |_, _| JobStep::More));
    driver.background.open(FileName::Table(1), false);
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while events.len() < 2 {
        assert!(Instant::now() < deadline);
        match driver.background.try_next() {
            Some(event) => events.push(event),
            None => std::thread::yield_now(),
        }
    }
    assert!(events.iter().any(|event| matches!(event, BackgroundEvent::JobDone(JobId(1), Err(_)))));
    let opened = driver.background.next_opened().unwrap();
    assert!(opened.file == FileName::Table(1) && opened.result.is_err());
    assert_eq!(driver.background.outstanding(), 0);
}
