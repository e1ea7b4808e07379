//! A node in this process, and the real `kv` beside it.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use pinion_cluster::config::Durability;
use pinion_cluster::{Config, Node};

/// How long anything may take on a busy machine before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A node with a directory of its own.
pub struct Server {
    node: Option<Node>,
    _dir: tempfile::TempDir,
}

impl Server {
    pub fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::ephemeral(dir.path());
        config.shards = Some(2);
        config.pin = false;
        // Enough for the largest values.
        config.memory_bytes = 512 << 20;
        config.durability = Durability::None;
        Server { node: Some(Node::start(config).unwrap()), _dir: dir }
    }

    pub fn address(&self) -> String {
        self.node.as_ref().unwrap().addresses().kv.to_string()
    }

    pub fn resp_address(&self) -> String {
        self.node.as_ref().unwrap().addresses().resp.unwrap().to_string()
    }

    /// Runs `kv` with these arguments and nothing on standard input.
    pub fn kv<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.kv_reading(arguments, b"")
    }

    /// Runs `kv` with these words, separated by spaces.
    pub fn line(&self, line: &str) -> Run {
        self.kv(line.split(' '))
    }

    /// Runs `kv` with bytes on its standard input.
    pub fn kv_reading<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Run {
        run(command(&self.address()).args(arguments), input)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop().unwrap();
        }
    }
}

/// The program, talking to `address`.
pub fn command(address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.env_clear().env("PINION_ADDRESS", address);
    command
}

/// What came of a run.
pub struct Run {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Run {
    /// The output of a run that went well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""));
        String::from_utf8(self.out).unwrap()
    }

    /// The complaint of a run that ended with this code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}", self.err);
        self.err
    }

    /// The lines of a run that went well, as JSON.
    #[track_caller]
    pub fn json(self) -> Vec<serde_json::Value> {
        json(&self.ok())
    }
}

/// Lines as JSON.
#[track_caller]
pub fn json(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a command with bytes on its standard input.
pub fn run(command: &mut Command, input: &[u8]) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // It may end before it has read everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    finished(output)
}

/// A run from its output.
pub fn finished(output: Output) -> Run {
    let err = String::from_utf8(output.stderr).unwrap();
    Run { code: output.status.code().unwrap(), out: output.stdout, err }
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "{what} didn't happen");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
