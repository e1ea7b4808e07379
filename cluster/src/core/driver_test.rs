use super::*;
use pinion_engine::drive::BackgroundOptions;
use pinion_engine::job::{JobKind, JobOutput, JobStep};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// How many files the cache keeps open.
const KEPT: u64 = 256;
/// How many more there are.
const MORE: u64 = 40;
/// How many more may be open than are kept.
const SLACK: u64 = 64;

/// Gathers the reads that are started, and the files that are to be opened; does them when it is told to.
#[derive(Default)]
struct Reads(Vec<(u64, RawFd, u64, AlignedBuf)>, Vec<(u64, CString)>);

impl FileRing for Reads {
    fn write_file(&mut self, _: u64, _: RawFd, _: u64, _: AlignedBuf, _: FileSync) {
        panic!("nothing is written here");
    }

    fn read_file(&mut self, slot: u64, fd: RawFd, offset: u64, buf: AlignedBuf) {
        self.0.push((slot, fd, offset, buf));
    }

    fn sync_file(&mut self, _: u64, _: RawFd) {
        panic!("nothing is synced here");
    }

    fn open_file(&mut self, number: u64, path: CString, flags: i32) {
        assert_eq!(flags, libc::O_RDWR);
        self.1.push((number, path));
    }
}

/// A job that holds the background thread up.
struct Hold {
    holds: Sender<()>,
    until: Receiver<()>,
}

impl Job for Hold {
    fn kind(&self) -> JobKind {
        JobKind::Flush
    }

    fn step(&mut self, _: &mut Vec<IoCompletion>, _: &mut Vec<IoRequest>, _: usize) -> JobStep {
        self.holds.send(()).unwrap();
        // Ends with the test, whatever becomes of it.
        let _ = self.until.recv_timeout(PATIENCE);
        JobStep::Done(Ok(JobOutput::Nothing))
    }
}

/// A driver over tables that hold their own numbers.
struct Bench {
    driver: Driver,
    reads: Reads,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(tables: u64) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        for table in 1..=tables {
            fs::write(dir.path().join(FileName::Table(table).to_string()), table.to_le_bytes()).unwrap();
        }
        let options = BackgroundOptions { cpu: None, wake: Arc::new(|| {}) };
        let background = Background::spawn(dir.path().to_owned(), options).unwrap();
        let driver = Driver::new(dir.path(), false, background).unwrap();
        Bench { driver, reads: Reads::default(), dir }
    }

    /// Reads a table's number; the token is the same number.
    fn start(&mut self, table: u64) {
        let request =
            IoRequest::Read { token: Token(table), file: FileName::Table(table), offset: 0, len: 8 };
        self.driver.start(&mut self.reads, request);
    }

    fn is_idle(&self) -> bool {
        Performer::<Reads>::is_idle(&self.driver)
    }

    /// Takes what has happened in the background until the condition holds.
    fn turn_until(&mut self, holds: impl Fn(&Bench) -> bool) {
        self.wait_until(|bench| {
            while bench.driver.next_event(&mut bench.reads).is_some() {}
            holds(bench)
        });
    }

    fn wait_until(&mut self, mut holds: impl FnMut(&mut Bench) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{} files are open", self.descriptors());
            std::thread::yield_now();
        }
    }

    /// Opens what the ring was asked to open; how many files that were.
    fn open(&mut self) -> u64 {
        let opens = std::mem::take(&mut self.reads.1);
        for (number, path) in &opens {
            let file = File::options().read(true).write(true).open(path.to_str().unwrap());
            self.driver.file_opened(&mut self.reads, *number, file.map(OwnedFd::from));
        }
        opens.len() as u64
    }

    /// Does the reads that were started; the tables that they found.
    fn perform(&mut self) -> Vec<u64> {
        let mut found = Vec::new();
        for (slot, fd, offset, mut buf) in self.reads.0.drain(..) {
            // What the descriptor stands for: the driver keeps it open until the operation's end.
            let file = File::open(format!("/proc/self/fd/{fd}")).unwrap();
            let count = file.read_at(&mut buf, offset).unwrap();
            let completion = self.driver.done(slot, Ok(count), buf);
            let Ok(IoOutput::Data(data)) = completion.result else { panic!("{completion:?}") };
            assert_eq!(data[..], completion.token.0.to_le_bytes());
            found.push(completion.token.0);
        }
        found
    }

    /// How many descriptors of its tables this process has.
    fn descriptors(&self) -> usize {
        let dir = self.dir.path().canonicalize().unwrap();
        let fds = fs::read_dir("/proc/self/fd").unwrap();
        let links = fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        links.filter(|link| link.parent() == Some(&*dir)).count()
    }

    /// Holds the background thread up; when what is returned is dropped, it goes on.
    fn hold(&mut self) -> Sender<()> {
        let ((holds, held), (release, until)) = (channel(), channel());
        Performer::<Reads>::start_job(&mut self.driver, JobId(1), Box::new(Hold { holds, until }));
        held.recv_timeout(PATIENCE).unwrap();
        release
    }
}

#[test]
fn cold_reads_wait_for_no_job_and_close_nothing() {
    let mut bench = Bench::new(KEPT + MORE);
    let held = bench.hold();
    (1..=KEPT + MORE).for_each(|table| bench.start(table));
    bench.start(KEPT + 1);
    assert!(bench.reads.0.is_empty() && !bench.is_idle());
    assert_eq!(bench.open(), KEPT + MORE, "each once");
    assert_eq!(bench.reads.0.len() as u64, KEPT + MORE + 1);
    let mut found = bench.perform();
    found.sort_unstable();
    let all: Vec<u64> = (1..=KEPT + 1).chain(KEPT + 1..=KEPT + MORE).collect();
    assert_eq!(found, all, "both readers of one file are served");
    assert!(bench.is_idle());
    assert_eq!(bench.descriptors() as u64, KEPT + MORE, "the core closes none");
    drop(held);
    bench.turn_until(|bench| bench.descriptors() as u64 <= KEPT);
}

#[test]
fn where_closing_is_behind_files_are_opened_when_it_has_caught_up() {
    let mut bench = Bench::new(KEPT + 2 * SLACK);
    let held = bench.hold();
    for table in 1..=KEPT + 2 * SLACK {
        bench.start(table);
        bench.open();
        bench.perform();
    }
    let open = bench.descriptors() as u64;
    assert!((KEPT + SLACK - 2..=KEPT + SLACK).contains(&open), "{open} files are open");
    assert!(!bench.is_idle());
    drop(held);
    bench.turn_until(|bench| bench.driver.opening.is_empty());
    assert!(bench.perform().len() as u64 >= SLACK);
    assert!(bench.is_idle());
    bench.turn_until(|bench| bench.descriptors() as u64 <= KEPT);
}

#[test]
fn what_is_dropped_from_the_cache_stays_open_for_the_reads_that_use_it() {
    let mut bench = Bench::new(KEPT + MORE);
    (1..=KEPT + MORE).for_each(|table| bench.start(table));
    bench.open();
    assert_eq!(bench.reads.0.len() as u64, KEPT + MORE);
    assert_eq!(bench.descriptors() as u64, KEPT + MORE);
    assert_eq!(bench.perform().len() as u64, KEPT + MORE);
    bench.turn_until(|bench| bench.descriptors() as u64 <= KEPT);
}

#[test]
fn a_file_that_cant_be_opened_ends_all_reads_that_wait_for_it() {
    let mut bench = Bench::new(0);
    bench.start(7);
    bench.start(7);
    assert!(!bench.is_idle());
    assert_eq!(bench.open(), 1);
    for _ in 0..2 {
        let failed = Performer::<Reads>::next_failed(&mut bench.driver).unwrap();
        assert_eq!((failed.token, failed.result.unwrap_err().kind()), (Token(7), io::ErrorKind::NotFound));
    }
    assert!(bench.is_idle());
    // Not for ever: the next read looks again.
    fs::write(bench.dir.path().join("000007.sst"), 7_u64.to_le_bytes()).unwrap();
    bench.start(7);
    bench.open();
    assert_eq!(bench.perform(), [7]);
}
