//! Offline inspection and repair of a store; see `kvtool --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    pinion_tools::kvtool::main(std::env::args_os())
}
