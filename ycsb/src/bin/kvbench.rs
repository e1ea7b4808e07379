//! The load generator.

use std::process::ExitCode;

use clap::Parser;
use pinion_ycsb::args::Cli;
use pinion_ycsb::command::execute;

fn main() -> ExitCode {
    match execute(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kvbench: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
