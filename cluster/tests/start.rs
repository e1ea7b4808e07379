//! Starting and stopping: configuration, directory, signals.

mod common;

use common::{Kvd, command, free_port, refused, stderr, store_dir};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[test]
fn a_fresh_directory_serves_and_stops_cleanly_on_sigterm() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    assert_eq!(kvd.shards, 2);
    assert_eq!(kvd.resp().call(&["PING"]), common::resp::Reply::Simple("PONG".to_owned()));
    assert_eq!(kvd.stop().code(), Some(0));
}

#[test]
fn check_validates_and_leaves_no_trace() {
    let (_root, dir) = store_dir();
    let output = command(&dir).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!dir.exists());
}

#[test]
fn wrong_settings_are_refused_with_code_2_and_one_line() {
    let (root, dir) = store_dir();
    let file = root.path().join("kv.toml");
    std::fs::write(&file, "memory = \"128MB\"\nshrads = 2\n").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, expected) in [
        (vec!["--shards", "0"], "--shards"),
        (vec!["--durability", "sometimes"], "interval:MS"),
        (vec!["--resp-listen", "0.0.0.0:0"], "--insecure"),
        (vec!["--partitions", "48"], "power of two"),
        (vec!["--config", file], "kv.toml:2: unknown key \"shrads\""),
        (vec!["--config", "/nonexistent.toml"], "/nonexistent.toml"),
        (vec!["--log", "=="], "log filter"),
        (vec!["--log", "wran"], "\"wran\" is no level"),
        (vec!["--log", "info,pinion_cluster=debug,wran"], "\"wran\" is no level"),
    ] {
        let output = refused(command(&dir).args(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        let text = stderr(&output);
        assert!(text.contains(expected) && text.lines().count() == 1, "{arguments:?}: {text}");
    }
    assert_eq!(refused(command(&dir).arg("--nonsense")).status.code(), Some(2));
}

#[test]
fn the_environment_comes_before_the_file_and_a_flag_before_both() {
    let (root, dir) = store_dir();
    let file = root.path().join("kv.toml");
    std::fs::write(&file, "shards = 70\n").unwrap();
    let with = |shards: Option<&str>, flag: Option<&str>| {
        let mut command = command(&dir);
        command.arg("--check").arg("--config").arg(&file);
        shards.map(|shards| command.env("PINION_SHARDS", shards));
        flag.map(|flag| command.args(["--shards", flag]));
        command.output().unwrap()
    };
    assert!(stderr(&with(None, None)).contains("kv.toml:1: shards"));
    assert!(stderr(&with(Some("80"), None)).contains("PINION_SHARDS"));
    assert!(stderr(&with(Some("1"), Some("90"))).contains("--shards"));
    assert!(with(Some("1"), None).status.success());
    assert!(with(Some("80"), Some("2")).status.success());
}

#[test]
fn a_second_process_on_one_directory_is_refused() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "1"]);
    let output = refused(&mut command(&dir));
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains(&format!("in use by process {}", kvd.pid())) && text.contains("--dir"), "{text}");
    assert_eq!(kvd.resp().call(&["SET", "a", "1"]), common::resp::Reply::ok());
}

#[test]
fn another_number_of_shards_is_refused_with_the_command_that_changes_it() {
    let (_root, dir) = store_dir();
    assert_eq!(Kvd::start(&dir, &["--shards", "2"]).stop().code(), Some(0));
    let output = refused(command(&dir).args(["--shards", "3"]));
    let expected = format!("`kvtool reshard {} --shards 3`", dir.display());
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    assert_eq!(Kvd::start(&dir, &[]).shards, 2);
}

#[test]
fn a_port_that_is_taken_is_named_with_the_remedy() {
    let (_root, dir) = store_dir();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = refused(command(&dir).args(["--listen", &address]));
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("--listen: can't listen on") && text.contains("choose another port"), "{text}");
}

/// Waits until kvd has logged this.
#[track_caller]
fn wait_for_log(kvd: &Kvd, text: &str) {
    let until = std::time::Instant::now() + common::DEADLINE;
    while !kvd.log().contains(text) {
        assert!(std::time::Instant::now() < until, "{text:?} isn't in\n{}", kvd.log());
        std::thread::yield_now();
    }
}

#[test]
fn sighup_takes_over_the_log_filter_and_names_what_needs_a_restart() {
    let (root, dir) = store_dir();
    let file = root.path().join("kv.toml");
    std::fs::write(&file, "log = \"info\"\nconnections-max = 100\n").unwrap();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--config", file.to_str().unwrap()]);
    std::fs::write(&file, "log = \"pinion_cluster=debug\"\nconnections-max = 200\ndurability = \"none\"\n")
        .unwrap();
    kvd.signal("HUP");
    wait_for_log(&kvd, "connections-max is 100 and stays so until a restart; the configuration says 200");
    wait_for_log(&kvd, "durability is sync and stays so until a restart; the configuration says none");
    wait_for_log(&kvd, "reloaded: log is \"pinion_cluster=debug\"");
    assert!(
        !kvd.log().contains("shards is"),
        "a flag comes before the file and hasn't changed: {}",
        kvd.log()
    );
    assert_eq!(kvd.stop().code(), Some(0));
}

#[test]
fn sighup_with_a_wrong_configuration_changes_nothing() {
    let (root, dir) = store_dir();
    let file = root.path().join("kv.toml");
    std::fs::write(&file, "log = \"info\"\n").unwrap();
    let kvd = Kvd::start(&dir, &["--shards", "1", "--config", file.to_str().unwrap()]);
    std::fs::write(&file, "log = \"info\"\nshard = 3\n").unwrap();
    kvd.signal("HUP");
    wait_for_log(&kvd, "not reloaded, nothing has changed: ");
    assert!(kvd.log().contains("kv.toml:2: unknown key"), "{}", kvd.log());
    std::fs::write(&file, "log = \"warn,pinion_cluster=info,kvd=info\"\n").unwrap();
    kvd.signal("HUP");
    wait_for_log(&kvd, "reloaded: log is ");
    assert_eq!(kvd.stop().code(), Some(0));
}

#[test]
fn help_has_examples() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kvd")).arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Examples:\n  kvd "), "{text}");
}

#[test]
fn the_admin_interface_tells_every_shards_figures() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2"]);
    let mut resp = kvd.resp();
    for number in 0..100 {
        assert_eq!(resp.call(&["SET", &format!("key{number}"), "x"]), common::resp::Reply::ok());
    }
    assert!(kvd.http("/ready").starts_with("HTTP/1.1 200"));
    assert!(kvd.http("/health").contains(r#""status":"ok""#));
    let metrics = kvd.http("/metrics");
    for name in [
        "pinion_requests_total{shard=\"1\",class=\"write\",outcome=\"done\"}",
        "pinion_request_seconds_bucket",
        "pinion_memtable_bytes{shard=\"0\"}",
        "pinion_compaction_debt_bytes{shard=\"1\"}",
        "pinion_log_commits_total{shard=\"0\"}",
        "pinion_turn_seconds_count{shard=\"1\"}",
        "pinion_stall_microseconds_total",
        "pinion_connections{shard=\"0\"}",
    ] {
        assert!(metrics.contains(name), "{name} isn't in\n{metrics}");
    }
    let status = kvd.http("/v1/status");
    assert!(status.contains(r#""state":"serving""#) && status.contains(r#""shard":1"#), "{status}");
}

#[test]
fn the_log_has_a_line_for_the_start_each_shard_and_the_stop() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--memory", "64MB"]);
    assert_eq!(kvd.resp().call(&["SET", "a", "1"]), common::resp::Reply::ok());
    kvd.kill();
    let kvd = Kvd::start(&dir, &["--memory", "64MB"]);
    wait_for_log(&kvd, &format!("starts: directory {}, 2 shards, durability sync", dir.display()));
    for shard in 0..2 {
        wait_for_log(&kvd, &format!("shard {shard} is open after"));
    }
}

#[test]
fn check_looks_at_the_directory_the_ports_and_the_store() {
    let (root, dir) = store_dir();
    let output = refused(command(&dir).args([
        "--check",
        "--listen",
        "127.0.0.1:7000",
        "--admin-listen",
        "127.0.0.1:8000",
    ]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("port 8000"), "{}", stderr(&output));
    let file = root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = refused(command(&file).arg("--check"));
    assert!(stderr(&output).contains("is not a directory"), "{}", stderr(&output));
    let mut with_typo = command(&dir);
    let output = with_typo.arg("--check").env("PINION_MEMROY", "1GB").output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("PINION_MEMROY"), "{}", stderr(&output));
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_unset() {
    let (_root, dir) = store_dir();
    let mut check = command(&dir);
    check.arg("--check");
    for name in ["CONFIG", "SHARDS", "MEMORY", "CPUS", "NODE_ID", "LOG_FORMAT", "INSECURE", "DRAIN_TIMEOUT"] {
        check.env(format!("PINION_{name}"), "");
    }
    let output = check.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn a_node_that_was_killed_starts_again_on_its_ports_at_once() {
    let (_root, dir) = store_dir();
    let address = format!("127.0.0.1:{}", free_port());
    for _ in 0..10 {
        let mut kvd = command(&dir);
        kvd.args(["--shards", "2", "--listen", &address]);
        let kvd = Kvd::run(&mut kvd, dir.with_extension("log"));
        // The more the kernel has to take down, the longer it has the ports.
        let mut busy: Vec<_> = (0..100).map(|_| kvd.resp()).collect();
        busy.iter_mut().for_each(|resp| resp.send_bytes(&b"SET a b\r\n".repeat(20)));
        kvd.kill();
    }
}

/// Everything in a directory, with its mode.
fn modes(path: &Path) -> Vec<(String, u32)> {
    let mut all = vec![(
        path.display().to_string(),
        std::fs::metadata(path).expect("the store is there").mode() & 0o777,
    )];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("the store is there");
        all.extend(entries.flat_map(|entry| modes(&entry.expect("the store is there").path())));
    }
    all
}

#[test]
fn a_store_is_its_owners_and_stays_locked_without_its_lock_file() {
    let (_root, dir) = store_dir();
    let kvd = Kvd::start(&dir, &["--shards", "2", "--node-id", "n1"]);
    std::fs::remove_file(dir.join("LOCK")).unwrap();
    let output = refused(&mut command(&dir));
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in use by another process"), "{}", stderr(&output));
    assert_eq!(kvd.stop().code(), Some(0));
    let kvd = Kvd::start(&dir, &[]);
    assert_eq!(std::fs::read_to_string(dir.join("LOCK")).unwrap().trim(), kvd.pid().to_string());
    assert_eq!(kvd.stop().code(), Some(0));
    assert_eq!(std::fs::read(dir.join("LOCK")).unwrap(), b"", "nobody has it");
    for (path, mode) in modes(&dir) {
        let wanted = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{path}");
    }
}

#[test]
fn a_node_keeps_its_name_over_a_start_that_doesnt_say_it() {
    let (_root, dir) = store_dir();
    assert_eq!(Kvd::start(&dir, &["--shards", "1", "--node-id", "n1"]).stop().code(), Some(0));
    let kvd = Kvd::start(&dir, &[]);
    let status = kvd.http("/v1/status");
    assert!(status.contains(r#""node_id":"n1""#), "{status}");
}

#[test]
fn a_node_whose_directory_is_moved_ends_and_writes_into_no_other() {
    let (root, dir) = store_dir();
    let elsewhere = root.path().join("elsewhere");
    let mut kvd = Kvd::start(&dir, &["--shards", "1"]);
    assert_eq!(kvd.resp().call(&["SET", "a", "1"]), common::resp::Reply::ok());
    std::fs::rename(&dir, &elsewhere).unwrap();
    common::wait_until("it ends", || kvd.ended().is_some());
    assert_eq!(kvd.ended().and_then(|status| status.code()), Some(1));
    assert!(kvd.log().contains("was moved, removed or replaced"), "{}", kvd.log());
    assert!(!dir.exists());
    let kvd = Kvd::start(&elsewhere, &[]);
    assert_eq!(kvd.resp().call(&["GET", "a"]), common::resp::Reply::bulk("1"));
}
