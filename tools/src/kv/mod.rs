//! `kv`: the store from the command line, one command at a time or in a shell.
//!
//! Exit codes are for scripts: 0 done, 1 not found, 2 wrong usage, 3 refused and certainly not applied,
//! 4 unknown. Results go to standard output, everything else to standard error.

pub mod args;
pub mod output;
pub mod run;
pub mod shell;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use pinion_net::client::{BlockingClient, Options};
use pinion_net::wire::ErrorCode;

use args::{GlobalOptions, Kv};
use output::Output;
use run::{Failure, Runner};

/// Runs `kv` with the arguments of this process.
pub fn main() -> ExitCode {
    let Kv { options, command } = Kv::parse();
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let output = Output { to: BufWriter::new(stdout.lock()), json: options.json, is_terminal };
    match connect(&options).and_then(|client| {
        let may_read_stdin = command.is_some();
        let mut runner = Runner { client: &client, options: &options, output, may_read_stdin };
        let ended = match command {
            Some(command) => runner.run(command).map(|()| 0),
            None => shell::run(&mut runner),
        };
        // What was found before a failure is still worth printing.
        let flushed = runner.output.to.flush();
        ended.and_then(|code| Ok(flushed.map(|()| code)?))
    }) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads the output has had enough of it.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kv: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn connect(options: &GlobalOptions) -> Result<BlockingClient, Failure> {
    let mut client =
        Options { keyspace: keyspace(&options.keyspace)?, name: "kv".into(), ..Options::default() };
    // A command or a person needs no connection to every core.
    client.follow_map = false;
    client.level = options.level.unwrap_or_default();
    if let Some(timeout) = options.timeout {
        client.timeout = timeout;
        client.connect_timeout = client.connect_timeout.min(timeout);
    }
    Ok(BlockingClient::connect(options.address.iter().map(String::as_str), client)?)
}

fn keyspace(name: &str) -> Result<u16, Failure> {
    if name == "default" {
        return Ok(0);
    }
    let text = format!("there is no keyspace {name:?}; the only one is \"default\"");
    Err(Failure::Store(pinion_net::client::Error::Refused { code: ErrorCode::UNKNOWN_KEYSPACE, text }))
}
