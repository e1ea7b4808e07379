//! A `kvd` in a process of its own.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// Where its data is.
    pub dir: PathBuf,
    /// Where its log goes.
    pub log: PathBuf,
    /// More arguments.
    pub arguments: Vec<String>,
    /// How many files it may open.
    pub files_max: Option<u64>,
    /// The cgroup that it runs in: its `cgroup.procs`.
    pub cgroup: Option<PathBuf>,
    /// Whether its log goes into a pipe, [`Kvd::stderr`], for the caller to read or not.
    pub log_is_piped: bool,
}

/// A running server; killed when dropped.
pub struct Kvd {
    child: Child,
    /// `HOST:PORT` of the binary protocol.
    pub address: String,
    /// The line that says where it serves.
    pub ready: String,
    /// Its log, if it goes into a pipe.
    pub stderr: Option<ChildStderr>,
    /// How long it took until it served.
    pub started_in: Duration,
}

/// A server that has been started and doesn't serve yet.
pub struct Starting {
    child: Child,
    lines: mpsc::Receiver<String>,
    since: Instant,
    log: PathBuf,
}

impl Setup {
    /// A server on `dir` with little memory, so that it flushes and merges all the time.
    pub fn new(program: &Path, durability: &str, dir: &Path, log: &Path) -> Setup {
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--resp-listen",
            "off",
            "--admin-listen",
            "off",
            "--shards",
            "2",
            "--memory",
            "48MB",
            "--durability",
            durability,
        ];
        Setup {
            program: program.to_owned(),
            dir: dir.to_owned(),
            log: log.to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
            files_max: None,
            cgroup: None,
            log_is_piped: false,
        }
    }

    /// Starts it.
    pub fn start(&self) -> Result<Starting, String> {
        let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|e| failed("the log", e))?;
        let stderr = if self.log_is_piped { Stdio::piped() } else { log.into() };
        let mut command = Command::new(&self.program);
        command.env_clear().arg("--dir").arg(&self.dir).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        let (files_max, cgroup) = (self.files_max, self.cgroup.clone());
        // SAFETY: between fork and exec only system calls are made, on memory made before.
        unsafe {
            command.pre_exec(move || {
                if let Some(most) = files_max {
                    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
                    if libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                match &cgroup {
                    Some(procs) => std::fs::write(procs, "0"),
                    None => Ok(()),
                }
            });
        }
        let since = Instant::now();
        let mut child = command.spawn().map_err(|e| failed(&self.program.display().to_string(), e))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        Ok(Starting { child, lines, since, log: self.log.clone() })
    }
}

impl Starting {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9` before it serves.
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it serves; `None` if it was killed before.
    pub fn ready(mut self) -> Result<Option<Kvd>, String> {
        let line = match self.lines.recv_timeout(START_MAX) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = self.child.wait().map_err(|error| error.to_string())?;
                return if status.code().is_none() { Ok(None) } else { Err(self.complaint("it ended")) };
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let complaint = self.complaint("it doesn't serve after two minutes");
                self.kill();
                return Err(complaint);
            }
        };
        let address = line.split("kv ").nth(1).and_then(|rest| rest.split(',').next()).map(str::to_owned);
        let address = address.ok_or_else(|| format!("no ready line: {line:?}"))?;
        let stderr = self.child.stderr.take();
        Ok(Some(Kvd { child: self.child, address, ready: line, stderr, started_in: self.since.elapsed() }))
    }

    fn complaint(&mut self, what: &str) -> String {
        let mut log = std::fs::read_to_string(&self.log).unwrap_or_default();
        if let Some(mut stderr) = self.child.stderr.take() {
            // It has ended or is no longer wanted, so its log ends, too.
            let _ = self.child.kill();
            let _ = stderr.read_to_string(&mut log);
        }
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        format!("{what}; its last lines: {}", last.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }
}

impl Kvd {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes no memory; the child is ours and not yet waited for.
        unsafe { libc::kill(self.pid() as i32, signal) };
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end of a server that somebody else killed.
    pub fn wait(mut self) {
        let _ = self.child.wait();
    }
}

impl Drop for Kvd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
