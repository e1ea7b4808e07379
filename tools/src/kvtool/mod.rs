//! `kvtool`: lists, verifies, dumps, repairs and remakes the files of a store that nobody has open.
//!
//! Each command is a module with a function that takes its arguments and an [`output::Output`]. What is read
//! goes through [`pinion_engine::dir::Dir`]; `ls`, `inspect`, `dump`, `verify`, `log`, `manifest` and `stats`
//! change nothing, and work where nothing can be written. Exit codes: 0 done, 1 damage or failure, 2 wrong usage.

pub mod args;
mod compact;
mod dump;
mod error;
mod inspect;
mod log;
mod ls;
mod manifest;
pub mod output;
pub mod progress;
mod repair;
mod reshard;
pub mod runner;
mod stats;
pub mod target;
pub mod text;
mod told;
mod verify;

use args::{Cli, Command};
use clap::Parser;
pub use error::ToolError;
use output::Output;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use target::Target;

/// Runs kvtool as a process does.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let mut writer = BufWriter::new(io::stdout().lock());
    let outcome = run(&cli, &mut Output::new(&mut writer, cli.json));
    let outcome = outcome.and(writer.flush().map_err(ToolError::Output));
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let code = error.exit_code();
    if code != 0 {
        // What was printed before comes first.
        let flushed = writer.flush();
        eprintln!("kvtool: {error}");
        drop(flushed);
    }
    ExitCode::from(code)
}

/// Runs a command.
pub fn run(cli: &Cli, output: &mut Output<'_>) -> Result<(), ToolError> {
    match &cli.command {
        Command::Ls(place) => ls::run(&Target::open(&place.path)?, output),
        Command::Inspect(args) => inspect::run(args, output),
        Command::Dump(args) => dump::run(args, output),
        Command::Verify(place) => verify::run(&Target::open(&place.path)?, output),
        Command::Compact(place) => compact::run(&Target::own(&place.path)?, output),
        Command::Log(args) => log::run(args, output),
        Command::Manifest(place) => manifest::run(&Target::open(&place.path)?, output),
        Command::Stats(place) => stats::run(&Target::open(&place.path)?, output),
        Command::Repair(args) => repair::run(args, output),
        Command::Reshard(args) => reshard::run(args, output),
    }
}
