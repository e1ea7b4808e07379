//! `kvd`: the server. Reads its configuration, starts a node, says when it serves, and stops on a signal.

use pinion_cluster::config::{Config, file, flags};
use pinion_cluster::error::Error;
use pinion_cluster::logging::{self, LogControl};
use pinion_cluster::node::{self, Node};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let parsed = match flags::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    match run(&parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kvd: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn load(parsed: &flags::Parsed) -> Result<Config, Error> {
    let file = parsed.config.as_deref().map(file::read).transpose()?;
    let layers = [parsed.flags.clone(), parsed.environment.clone(), file.unwrap_or_default()];
    Config::from_layers(&layers)
}

fn run(parsed: &flags::Parsed) -> Result<(), Error> {
    let mut config = load(parsed)?;
    logging::check(&config.log)?;
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    config.warnings.extend(flags::unknown_variables(variables));
    if parsed.check {
        for warning in &config.warnings {
            eprintln!("kvd: warning: {warning}");
        }
        node::check(&config)?;
        println!("the configuration is valid");
        return Ok(());
    }
    pinion_engine::drive::return_large_buffers();
    let log = logging::start(&config.log, config.log_format)?;
    for warning in &config.warnings {
        tracing::warn!(target: TARGET, "{warning}");
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|e| Error::Node(format!("signals can't be handled: {e}; see the limits of this process")))?;
    let node = Node::start(config.clone())?;
    say(&node.ready_line());
    let stopper = node.stopper();
    let handle = signals.handle();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for signal in &mut signals {
                match signal {
                    SIGHUP => reload(parsed, &config, &log),
                    _ => stopper.request_stop(),
                }
            }
        });
        let result = node.run();
        handle.close();
        result
    })
}

/// Prints the ready line. Nobody may be listening: that is no reason not to serve.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Lines about the configuration come from the library, so that a filter such as `pinion_cluster=debug` lets them through.
const TARGET: &str = "pinion_cluster::config";

/// Rereads the configuration and takes over what can change while the node runs, the log filter; warns of what can't. A
/// configuration that is wrong changes nothing.
fn reload(parsed: &flags::Parsed, running: &Config, log: &LogControl) {
    let wanted = match load(parsed).and_then(|wanted| log.set_filter(&wanted.log).map(|()| wanted)) {
        Ok(wanted) => wanted,
        Err(error) => return tracing::error!(target: TARGET, "not reloaded, nothing has changed: {error}"),
    };
    for setting in running.needing_restart(&wanted) {
        tracing::warn!(target: TARGET, "{setting}");
    }
    match logging::overriding() {
        Some(filter) => {
            tracing::warn!(target: TARGET, "log is {filter:?} and stays so: RUST_LOG comes before {:?}", wanted.log);
        }
        None => tracing::info!(target: TARGET, "reloaded: log is {:?}", wanted.log),
    }
}
