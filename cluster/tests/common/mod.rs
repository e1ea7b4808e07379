//! A real `kvd` in a process of its own, and a Redis client that is only as clever as the tests need.

#![allow(dead_code, reason = "each test binary uses its part of it")]

pub mod resp;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running server.
pub struct Kvd {
    child: Child,
    /// `HOST:PORT` of the binary protocol.
    pub kv: String,
    /// `HOST:PORT` of the Redis protocol.
    pub resp: String,
    /// `HOST:PORT` of the admin interface, or `off`.
    pub admin: String,
    /// From the ready line.
    pub shards: usize,
    log: PathBuf,
}

/// The program, with ports of its own choice and little memory.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvd"));
    command.env_clear().arg("--dir").arg(dir);
    command.args([
        "--listen",
        "127.0.0.1:0",
        "--resp-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    command.args(["--memory", "128MB"]);
    command
}

/// Runs a server that is expected not to start.
pub fn refused(command: &mut Command) -> Output {
    let output = command.output().expect("kvd runs");
    assert!(!output.status.success(), "kvd should have refused to start");
    output
}

impl Kvd {
    /// Starts a server on `dir` and waits until it serves.
    pub fn start(dir: &Path, arguments: &[&str]) -> Kvd {
        let log = dir.with_extension("log");
        Kvd::run(command(dir).args(arguments), log)
    }

    /// Starts a server with arguments that the usual ones would contradict.
    pub fn run(command: &mut Command, log: PathBuf) -> Kvd {
        let errors =
            std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log can be written");
        Kvd::run_logging_to(command, errors.into(), log)
    }

    /// Starts a server whose standard error is this.
    pub fn run_logging_to(command: &mut Command, errors: Stdio, log: PathBuf) -> Kvd {
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("kvd starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let Ok(line) = lines.recv_timeout(DEADLINE) else {
            let _ = child.kill();
            panic!("no ready line; kvd says: {}", std::fs::read_to_string(&log).unwrap_or_default());
        };
        let field = |name: &str| {
            let rest =
                line.split(&format!("{name} ")).nth(1).unwrap_or_else(|| panic!("no {name} in {line:?}"));
            rest.split(',').next().unwrap_or_default().trim_start_matches("http://").to_owned()
        };
        assert!(line.starts_with("ready: kv "), "{line}");
        let shards = field("shards").parse().expect("the number of shards");
        Kvd { child, kv: field("kv"), resp: field("resp"), admin: field("admin"), shards, log }
    }

    /// A connection that speaks RESP.
    pub fn resp(&self) -> resp::Resp {
        resp::Resp::connect(&self.resp)
    }

    /// A client of the binary protocol.
    pub fn client(&self) -> pinion_net::client::BlockingClient {
        self.client_with(pinion_net::client::Options::default())
    }

    /// A client of the binary protocol with options.
    pub fn client_with(
        &self,
        mut options: pinion_net::client::Options,
    ) -> pinion_net::client::BlockingClient {
        options.timeout = DEADLINE;
        options.connect_timeout = DEADLINE;
        pinion_net::client::BlockingClient::connect([self.kv.clone()], options).expect("kvd answers HELLO")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in KiB.
    pub fn memory_peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    /// The memory that it has of its own, mapped files left out, in KiB.
    pub fn memory_anonymous_kib(&self) -> u64 {
        self.memory_kib("RssAnon:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        memory_kib(self.pid(), what)
    }

    /// The end of the pipe that its standard error was connected to.
    pub fn take_stderr(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().expect("standard error is a pipe")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be waited for")
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill is installed").success());
    }

    /// SIGTERM, and how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < until, "it doesn't stop; kvd says: {}", self.log());
            std::thread::yield_now();
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Where it logs.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The body of a page of the admin interface.
    pub fn http(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&self.admin).expect("the admin interface listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    }
}

impl Drop for Kvd {
    fn drop(&mut self) {
        // Already gone after `stop` and `kill`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn memory_kib(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("the kernel tells it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The memory that a process has of its own, mapped files left out, in bytes.
pub fn anonymous_bytes(pid: u32) -> usize {
    (memory_kib(pid, "RssAnon:") as usize) << 10
}

/// A directory for a store, with room for a log beside it.
pub fn store_dir() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let store = root.path().join("store");
    (root, store)
}

/// Waits until this holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "{what}: not so after {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A port that is free together with those that go with it for two cores; each call looks at others.
pub fn free_port() -> u16 {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let first = 20_000 + (std::process::id() % 8_000) as u16 + 100 * CALLS.fetch_add(1, Ordering::Relaxed);
    (first..)
        .find(|&port| [0, 1000, 1001].iter().all(|more| is_free(port + more)))
        .expect("some port is free")
}

/// The error lines of a program that refused.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
