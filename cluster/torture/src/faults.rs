//! What a machine does to a server besides killing it: stopping it, and running out of memory or files.

use crate::cgroup::Cgroup;
use crate::drive::Ledger;
use crate::kvd::Setup;
use crate::report::Row;
use crate::rounds::{TIMEOUT, served, wait_for};
use std::net::TcpStream;
use std::time::Duration;

/// A server is stopped for so long.
const STOPPED: Duration = Duration::from_secs(3);

/// Memory that a server with a budget of 48 MB may use, in bytes: what its process has beside its budget, and 1.5 times that.
const MEMORY_MAX: u64 = 160 << 20;

/// Files that a server may open, and connections that are tried.
const FILES_MAX: u64 = 1024;
const CONNECTIONS: usize = 1500;

/// The server is stopped (SIGSTOP) under load for seconds, and goes on.
pub fn stopped(setup: &Setup, rounds: u64) -> Result<Row, String> {
    let (mut ledger, mut row) = (Ledger::new(), Row::new("stopped for 3 s"));
    let kvd = served(setup.start()?)?;
    row.started(&kvd);
    for round in 0..rounds {
        let load = ledger.load(&kvd.address, round, TIMEOUT);
        wait_for(&load, 500)?;
        kvd.signal(libc::SIGSTOP);
        std::thread::sleep(STOPPED);
        let before = load.acknowledged();
        kvd.signal(libc::SIGCONT);
        wait_for(&load, before + 500)?;
        let failed = load.failed();
        if failed != (0, 0) {
            return Err(format!("{failed:?} writes were refused or unknown, and should only have waited"));
        }
        let (known, writes) = load.end()?;
        (ledger, row.rounds) = (known, round + 1);
        row.writes += writes;
        row.checked(ledger.check(&kvd.address)?);
    }
    Ok(row)
}

/// The server may use little more memory than its budget, and isn't killed for using more.
pub fn short_of_memory(setup: &Setup, writes: u64) -> Result<Row, String> {
    let group = match Cgroup::new("faults", MEMORY_MAX) {
        Ok(group) => group,
        Err(why) => return Ok(Row::skipped("memory cgroup", &why)),
    };
    let mut row = Row::new("memory cgroup");
    row.note(&format!("{} of {} MiB", group.version, MEMORY_MAX >> 20));
    let setup = Setup { cgroup: Some(group.procs()), ..setup.clone() };
    let mut kvd = served(setup.start()?)?;
    row.started(&kvd);
    let load = Ledger::new().load(&kvd.address, 1, TIMEOUT);
    wait_for(&load, writes)?;
    let failed = load.failed();
    let (mut ledger, writes) = load.end()?;
    if !kvd.is_running() || failed != (0, 0) {
        return Err(format!("it was killed, or refused: {failed:?} writes refused or unknown"));
    }
    row.checked(ledger.check(&kvd.address)?);
    (row.rounds, row.writes) = (1, writes);
    drop(kvd);
    Ok(row)
}

/// More connections come than the server may open files: the first are served on, later ones when others have left.
pub fn short_of_files(setup: &Setup) -> Result<Row, String> {
    let mut row = Row::new("out of files");
    let setup = Setup { files_max: Some(FILES_MAX), ..setup.clone() };
    let mut kvd = served(setup.start()?)?;
    row.started(&kvd);
    let load = Ledger::new().load(&kvd.address, 1, TIMEOUT);
    wait_for(&load, 100)?;
    let before = load.acknowledged();
    let crowd: Vec<TcpStream> =
        (0..CONNECTIONS).map_while(|_| TcpStream::connect(&kvd.address).ok()).collect();
    row.note(&format!("{} connections, {FILES_MAX} files", crowd.len()));
    wait_for(&load, before + 2000)?;
    drop(crowd);
    let failed = load.failed();
    let (mut ledger, writes) = load.end()?;
    if !kvd.is_running() || failed != (0, 0) {
        return Err(format!("{failed:?} writes were refused or unknown"));
    }
    row.checked(ledger.check(&kvd.address)?);
    (row.rounds, row.writes) = (1, writes);
    Ok(row)
}
