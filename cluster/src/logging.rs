//! Log lines: text or JSON on stderr, filtered by `RUST_LOG`, else by the configured filter, which SIGHUP reloads.

use crate::config::LogFormat;
use crate::error::Error;
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the filter of a running process.
#[derive(Clone)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging to stderr. Call it once per process.
pub fn start(filter: &str, format: LogFormat) -> Result<LogControl, Error> {
    let (filter, control) = reload::Layer::new(parse(filter)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    started
        .map_err(|e| Error::Node(format!("logging was started twice ({e}); start it once per process")))?;
    Ok(LogControl { filter: control })
}

/// Whether a filter makes sense.
pub fn check(filter: &str) -> Result<(), Error> {
    parse(filter).map(drop)
}

impl LogControl {
    /// Replaces the filter; `RUST_LOG` still comes before it.
    pub fn set_filter(&self, filter: &str) -> Result<(), Error> {
        let filter = parse(filter)?;
        self.filter.reload(filter).map_err(|e| Error::Node(format!("the log filter can't be replaced: {e}")))
    }
}

/// The filter of the environment, which comes before the configured one.
pub fn overriding() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty())
}

/// The filter in force: the environment's, else the configured one.
fn parse(filter: &str) -> Result<EnvFilter, Error> {
    let (text, origin) = match overriding() {
        Some(text) => (text, "RUST_LOG"),
        None => (filter.to_owned(), "log"),
    };
    EnvFilter::try_new(&text)
        .map_err(|e| Error::Config(format!("{origin}: {text:?} is no log filter ({e}); try info or debug")))
}
