//! Outputs that block, and cores that don't answer: nothing else waits for them, and a stop ends in any case.

mod common;

use common::resp::Reply;
use common::{Kvd, command, store_dir, wait_until};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::Stdio;

/// Bytes of a setting that is wrong, which every reload repeats in the log.
const NONSENSE: usize = 60 << 10;

/// A server whose standard error is a full pipe that nobody reads, and that has dropped lines.
fn serve_unread() -> (tempfile::TempDir, Kvd) {
    let (root, dir) = store_dir();
    let file = root.path().join("kv.toml");
    std::fs::write(&file, "log = \"info\"\n").expect("it can be set up");
    let mut command = command(&dir);
    command.args(["--shards", "2", "--config", file.to_str().expect("it can be set up")]);
    let kvd = Kvd::run_logging_to(&mut command, Stdio::piped(), dir.with_extension("log"));
    std::fs::write(&file, format!("log = \"{}\"\n", "=".repeat(NONSENSE))).expect("it can be set up");
    wait_until("lines are dropped", || {
        kvd.signal("HUP");
        !kvd.http("/metrics").contains("pinion_log_lines_dropped_total 0\n")
    });
    (root, kvd)
}

#[test]
fn standard_error_that_nobody_reads_holds_nothing_up() {
    let (_root, kvd) = serve_unread();
    assert_eq!(kvd.resp().call(&["SET", "a", "1"]), Reply::ok());
    assert!(kvd.http("/ready").starts_with("HTTP/1.1 200"));
    assert_eq!(kvd.stop().code(), Some(0));
}

#[test]
fn what_was_dropped_is_told_when_somebody_reads_again() {
    let (_root, mut kvd) = serve_unread();
    let mut errors = kvd.take_stderr();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    assert_eq!(kvd.stop().code(), Some(0));
    let text = reader.join().unwrap().unwrap();
    assert!(text.contains(" log lines were dropped: standard error took no more"), "{} bytes", text.len());
}

/// A pipe that takes nothing more, and its end that nobody reads.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let set_flags = |flags: libc::c_int| {
        // SAFETY: the descriptor is open, and the call takes numbers only.
        let done = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
        assert_eq!(done, 0);
    };
    set_flags(libc::O_NONBLOCK);
    while (&writer).write(&[b'x'; 4096]).is_ok() {}
    set_flags(0);
    (reader, writer)
}

#[test]
fn a_ready_line_that_nobody_reads_holds_nothing_up() {
    let (_root, dir) = store_dir();
    let (_reader, writer) = full_pipe();
    // Nobody tells the port, so it is asked for; another process may have it.
    let port = 20_000 + std::process::id() % 8_000;
    let address = format!("127.0.0.1:{port}");
    let mut command = command(&dir);
    command.args(["--shards", "1", "--resp-listen", &address]);
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it serves", || std::net::TcpStream::connect(&address).is_ok());
    let status = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
    let mut ended = None;
    wait_until("it ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
}

/// A thread of another process that is kept from running, by ptrace.
struct Held(libc::pid_t);

impl Held {
    fn by_name(pid: u32, name: &str) -> Held {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))
            .expect("the thread is there")
            .map(|task| task.expect("the thread is there").path());
        let is_named = |task: &std::path::PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.into_iter().find(is_named).expect("the thread is there");
        let tid: libc::pid_t = task
            .file_name()
            .expect("the thread is there")
            .to_str()
            .expect("the thread is there")
            .parse()
            .expect("the thread is there");
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            // SAFETY: both requests take numbers only; the thread is one of a child of this process.
            let done = unsafe { libc::ptrace(request, tid, 0, 0) };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        }
        let held = Held(tid);
        assert!(held.wait(0), "it stops");
        held
    }

    /// Takes note of what has happened to the thread; whether anything has.
    fn wait(&self, flags: libc::c_int) -> bool {
        let mut status = 0;
        // SAFETY: the call writes the status, which outlives it.
        unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL | flags) > 0 }
    }
}

#[test]
fn a_core_that_doesnt_answer_is_named_and_keeps_no_stop_from_ending() {
    let (_root, dir) = store_dir();
    let mut kvd = Kvd::start(&dir, &["--shards", "2", "--drain-timeout", "1"]);
    assert!(kvd.http("/ready").starts_with("HTTP/1.1 200"));
    let held = Held::by_name(kvd.pid(), "kvd-core-1");
    wait_until("/ready says so", || kvd.http("/ready").starts_with("HTTP/1.1 503"));
    for (path, status) in [("/ready", r#""state":"stuck""#), ("/health", r#""status":"stuck""#)] {
        let answer = kvd.http(path);
        assert!(answer.contains(status) && answer.contains(r#""shard":1"#), "{answer}");
    }
    wait_until("the log says so", || kvd.log().contains("core 1 doesn't answer: its turn hasn't ended for"));
    kvd.signal("TERM");
    wait_until("it ends", || {
        held.wait(libc::WNOHANG);
        kvd.ended().is_some()
    });
    assert_eq!(kvd.ended().and_then(|status| status.code()), Some(1));
    let log = kvd.log();
    let last: Vec<&str> = log.lines().filter(|line| line.starts_with("kvd: ")).collect();
    assert!(matches!(last[..], [line] if line.contains("core 1 doesn't answer")), "{log}");
}
