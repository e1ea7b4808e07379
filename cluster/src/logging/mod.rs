//! Log lines: text or JSON on stderr, filtered by `RUST_LOG`, else by the configured filter, which SIGHUP reloads.
//!
//! Whoever logs never waits for whoever reads: lines go through a bounded [`queue`], panics included.

mod queue;

use crate::config::LogFormat;
use crate::error::Error;
use queue::Queue;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Changes the filter of a running process.
#[derive(Clone)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// The lines of this process; none before [`start`].
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// Starts logging to stderr, of panics too. Call it once per process.
pub fn start(filter: &str, format: LogFormat) -> Result<LogControl, Error> {
    let (filter, control) = reload::Layer::new(parse(filter)?);
    let queue = Arc::clone(QUEUE.get_or_init(Arc::default));
    let writer = Arc::clone(&queue);
    let lines =
        fmt::layer().with_ansi(io::stderr().is_terminal()).with_writer(move || Line(Arc::clone(&queue)));
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        LogFormat::Text => registry.with(lines).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    started
        .map_err(|e| Error::Node(format!("logging was started twice ({e}); start it once per process")))?;
    let write = move || writer.write_all(&mut io::stderr(), tell_dropped);
    std::thread::Builder::new().name("kvd-log".to_owned()).spawn(write).map_err(|e| {
        Error::Node(format!("no thread for log lines: {e}; raise the limit with `ulimit -u`"))
    })?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(LogControl { filter: control })
}

/// Hands a formatted line over.
struct Line(Arc<Queue>);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tell_dropped(lines: u64) {
    tracing::warn!(
        "{lines} log lines were dropped: standard error took no more; see who reads it, and its disk if it is a file"
    );
}

/// The standard library's own hook writes to stderr itself, and would wait there.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("a thread without a name");
    let panic = panic.to_string().replace('\n', " ");
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => tracing::error!("{thread} {panic}\n{trace}"),
        _ => tracing::error!("{thread} {panic}"),
    }
}

/// Puts a line on stderr that is no log line: among those, where they are being written, and directly otherwise.
pub fn say(line: &str) {
    match QUEUE.get() {
        Some(queue) => queue.add(format!("{line}\n").as_bytes()),
        None => eprintln!("{line}"),
    }
}

/// How long the last lines have when a process ends.
const LAST_LINES_MAX: Duration = Duration::from_secs(1);

/// Waits until all lines are written, but not for long: for the end of a process.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_LINES_MAX);
    }
}

/// How many lines were dropped so far because nobody took them.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped())
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
    // A misspelt level would count as the name of a module, and nothing would be logged.
    let is_misspelt =
        |part: &str| !part.contains(['=', '[']) && !part.is_empty() && part.parse::<LevelFilter>().is_err();
    if let Some(part) = text.split(',').map(str::trim).find(|part| is_misspelt(part)) {
        return Err(Error::Config(format!(
            "{origin}: {part:?} is no level; write error, warn, info, debug, trace or off, or a module with its level, such as \
             pinion_cluster=debug"
        )));
    }
    EnvFilter::try_new(&text)
        .map_err(|e| Error::Config(format!("{origin}: {text:?} is no log filter ({e}); try info or debug")))
}
