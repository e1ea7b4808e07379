//! kvbench, the program.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

fn kvbench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_kvbench"))
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

#[test]
fn a_quickstart_that_is_killed_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let mut command = kvbench();
    command.args(["quickstart", "--records", "2000", "--duration", "100", "--dir"]).arg(root.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + DEADLINE;
    while entries(root.path()) == 0 {
        assert!(Instant::now() < until, "it makes no directory");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    // Whatever a hurried user does, it removes its data.
    for _ in 0..3 {
        let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(killed.success());
    }
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "it doesn't end");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(entries(root.path()), 0);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("data in {}/pinion-quickstart-", root.path().display())), "{said}");
}

#[test]
fn an_interrupted_quickstart_reports_what_was_done() {
    let root = tempfile::tempdir().unwrap();
    let mut command = kvbench();
    command.args(["quickstart", "--records", "2000", "--duration", "100", "--dir"]).arg(root.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = progress.next().unwrap().unwrap();
    assert!(first.starts_with("load a: 2,000 operations in "), "{first}");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("\nload a    INSERT ") && table.contains("\nrun a "), "{table}");
    assert_eq!((output.status.code(), entries(root.path())), (Some(130), 0));
}

#[test]
fn a_run_on_records_that_were_never_loaded_fails_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut command = kvbench();
    command.args(["run", "-w", "c", "--operations", "100", "--db", "embedded", "--dir"]);
    let output = command.arg(root.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("100 of 100 reads found nothing: was recordcount=100000 loaded?"), "{said}");
}

#[test]
fn a_run_reports_as_json_and_draws() {
    let root = tempfile::tempdir().unwrap();
    let (json, svg) = (root.path().join("a.json"), root.path().join("a.svg"));
    let mut command = kvbench();
    command.args(["run", "-w", "a", "--db", "null", "--operations", "1000", "--report", "json", "--out"]);
    let output = command.arg(&json).arg("--plot").arg(&svg).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["operations"], 1000);
    assert!(report["timeline"][0]["p99_us"].is_number() && report["kinds"][0]["p9999_us"].is_number());
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg"));
}

#[test]
fn help_has_examples() {
    for arguments in [&["--help"][..], &["run", "--help"], &["load", "--help"], &["quickstart", "--help"]] {
        let output = kvbench().args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Examples:\n  kvbench "), "{text}");
    }
}
