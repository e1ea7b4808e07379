//! `kvd`: the server. Reads its configuration, starts a node, says when it serves, and stops on a signal.

use pinion_cluster::config::{Config, file, flags};
use pinion_cluster::error::Error;
use pinion_cluster::logging::{self, LogControl};
use pinion_cluster::node::events::Events;
use pinion_cluster::node::heap::Heap;
use pinion_cluster::node::{self, Node};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

fn main() -> ExitCode {
    let parsed = match flags::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let code = match run(&parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::say(&format!("kvd: {error}"));
            ExitCode::from(error.exit_code())
        }
    };
    logging::flush();
    code
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
    let _heap = Heap::look_after(config.memory_bytes);
    for warning in &config.warnings {
        tracing::warn!(target: TARGET, "{warning}");
    }
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .map_err(|e| Error::Node(format!("signals can't be handled: {e}; see the limits of this process")))?;
    let handle = signals.handle();
    let stopper = OnceLock::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for signal in &mut signals {
                match signal {
                    SIGHUP => reload(parsed, &config, &log),
                    _ => stop(stopper.get()),
                }
            }
        });
        let result = Node::start(config.clone()).and_then(|node| {
            stopper.get_or_init(|| node.stopper());
            say(node.ready_line());
            node.run()
        });
        handle.close();
        result
    })
}

/// Stops the node; one that is still starting has promised nobody anything, so that it ends at once.
fn stop(stopper: Option<&Events>) {
    let Some(stopper) = stopper else {
        tracing::info!(target: "pinion_cluster::node", "stopped before the node served");
        logging::flush();
        std::process::exit(0);
    };
    stopper.request_stop();
}

/// Prints the ready line, on a thread that may wait for its reader. Nobody may be listening: that is no reason not to serve.
fn say(line: String) {
    let print = move || {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    if let Err(error) = std::thread::Builder::new().name("kvd-ready".to_owned()).spawn(print) {
        tracing::warn!("no thread for the ready line: {error}; raise the limit with `ulimit -u`");
    }
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
