//! The command line client; see `pinion_tools::kv`.

fn main() -> std::process::ExitCode {
    pinion_tools::kv::main()
}
