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

/// The table of a quickstart that is interrupted as soon as it has reported a phase.
fn interrupted_after(phase: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let mut command = kvbench();
    command.args(["quickstart", "--records", "2000", "--duration", "1", "--dir"]).arg(root.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = progress.next().unwrap().unwrap();
    assert!(line.starts_with("load a: 2,000 operations in "), "{line}");
    while !line.starts_with(phase) {
        line = progress.next().unwrap().unwrap();
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), entries(root.path())), (Some(130), 0));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_interrupted_quickstart_reports_what_was_done() {
    // Whether the run behind the load has begun then nobody knows.
    let table = interrupted_after("load a: ");
    assert!(table.contains("\nload a    INSERT "), "{table}");
    let table = interrupted_after("run a: ");
    assert!(table.contains("\nload a    INSERT ") && table.contains("\nrun a "), "{table}");
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

/// Runs a closed loop on nothing with these words added.
fn run_null(words: &[&str]) -> std::process::Output {
    kvbench().args(["run", "-w", "a", "--db", "null", "--operations", "1000"]).args(words).output().unwrap()
}

#[test]
fn outputs_that_can_not_be_written_are_told_before_anything_runs() {
    let root = tempfile::tempdir().unwrap();
    let (good, bad) = (root.path().join("good"), root.path().join("no/such/folder"));
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    for words in [["--out", bad, "--plot", good], ["--out", good, "--plot", bad]] {
        // Nobody is asked on port 1: then the server would be what is complained about.
        let output =
            kvbench().args(["run", "-w", "a", "--target", "127.0.0.1:1"]).args(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("kvbench: can't write {bad}: ")), "{said}");
        assert_eq!(entries(root.path()), 0, "nothing was measured, so nothing is left");
    }
    let output = kvbench().args(["quickstart", "--out", bad, "--dir"]).arg(root.path()).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("can't write"));
    let output = run_null(&["--out", good, "--plot", good]);
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_run_that_comes_to_nothing_leaves_the_report_before_it() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("report");
    std::fs::write(&out, "what was measured before").unwrap();
    let mut command = kvbench();
    let output =
        command.args(["run", "-w", "a", "--target", "127.0.0.1:1", "--out"]).arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "what was measured before");
}

#[test]
fn options_that_do_not_apply_are_wrong_usage() {
    let output = run_null(&["--connections", "4"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("kvbench: --connections doesn't apply to --db null: "), "{said}");
}

#[test]
fn a_rate_that_is_not_reached_is_said() {
    // A thousand million operations a second is more than any machine does, even of nothing.
    let output = run_null(&["--rate", "1e9"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the rate wasn't kept: 1,000,000,000 operations/s asked for, "), "{text}");
    let output = run_null(&["--rate", "1e9", "--report", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["rate"]["was_kept"], false);
}

#[test]
fn help_has_examples() {
    for arguments in [&["--help"][..], &["run", "--help"], &["load", "--help"], &["quickstart", "--help"]] {
        let output = kvbench().args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Examples:\n  kvbench "), "{text}");
    }
}
