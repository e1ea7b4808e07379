//! `kv`: the store from the command line, one command at a time or in a shell.
//!
//! Exit codes are for scripts: 0 done, 1 not found, 2 wrong usage, 3 refused and certainly not applied,
//! 4 unknown. Results go to standard output, everything else to standard error.

pub mod args;
pub mod case;
mod examples;
pub mod failure;
pub mod lines;
pub mod output;
pub mod run;
pub mod shell;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use pinion_net::client::{BlockingClient, Error, Options};
use pinion_net::wire::ErrorCode;

use args::{GlobalOptions, Input, Kv};
use failure::Failure;
use output::Output;
use run::Runner;

/// Where kvd listens unless told otherwise.
const PORT: u16 = 7400;

/// Runs `kv` with the arguments of this process.
pub fn main() -> ExitCode {
    let Kv { options, input } = args::parse_from(std::env::args_os().collect());
    let command = match input {
        Some(Input::Command(command)) => Some(command),
        Some(Input::Exit) => return ExitCode::SUCCESS,
        None => None,
    };
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    let line_width = match options.width {
        None if is_terminal => rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col.into()),
        _ => None,
    };
    let output = Output {
        to: BufWriter::new(stdout.lock()),
        json: options.json,
        is_terminal,
        line_width: line_width.filter(|&width| width > 0),
        value_width: options.width.filter(|&width| width > 0),
    };
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
            eprintln!("{}", failure.line("kv: ", options.json));
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
    let addresses: Vec<String> = options.address.iter().map(|address| with_port(address.trim())).collect();
    BlockingClient::connect(addresses.clone(), client).map_err(|error| match error {
        Error::NotConnected { text, .. } if addresses.len() > 1 => {
            let address = format!("any of {}", addresses.join(", "));
            Failure::Store(Error::NotConnected { address, text })
        }
        error => Failure::Store(error),
    })
}

/// An address with its port: kvd's own where none is given.
fn with_port(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, PORT).to_string(),
        Err(_) if address.contains(':') => address.to_owned(),
        Err(_) => format!("{address}:{PORT}"),
    }
}

fn keyspace(name: &str) -> Result<u16, Failure> {
    if name == "default" {
        return Ok(0);
    }
    let text = format!("there is no keyspace {name:?}; the only one is \"default\"");
    Err(Failure::Store(Error::Refused { code: ErrorCode::UNKNOWN_KEYSPACE, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_kvds_own() {
        let complete = ["one", "one:1", "10.0.0.1", "::1", "[::1]:5"].map(with_port);
        assert_eq!(complete, ["one:7400", "one:1", "10.0.0.1:7400", "[::1]:7400", "[::1]:5"]);
    }
}
