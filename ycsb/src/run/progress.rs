//! Progress while a run goes on: a bar on a terminal, else a line now and then; always on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::settings::Settings;
use crate::measure::Timeline;

/// Shows how far a run is.
pub struct Progress {
    bar: Option<ProgressBar>,
    line_interval: Duration,
    label: String,
    total: u64,
    duration: Option<Duration>,
}

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

impl Progress {
    /// Shows nothing.
    pub fn none() -> Progress {
        Progress {
            bar: None,
            line_interval: Duration::MAX,
            label: String::new(),
            total: u64::MAX,
            duration: None,
        }
    }

    /// Shows a run called `label`; lines come every `line_interval`.
    pub fn new(label: &str, settings: &Settings, line_interval: Duration) -> Progress {
        let total = settings.operations;
        let is_timed = total == u64::MAX;
        let bar = std::io::stderr().is_terminal().then(|| {
            let length = match settings.duration {
                Some(duration) if is_timed => duration.as_secs(),
                _ => total,
            };
            let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
            let unit = if is_timed { "{pos}/{len} s" } else { "{human_pos}/{human_len}" };
            let template = format!("{{prefix}} [{{bar:30}}] {unit} {{msg}}");
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(label.to_owned());
            bar
        });
        let duration = settings.duration.filter(|_| is_timed);
        Progress { bar, line_interval, label: label.to_owned(), total, duration }
    }

    /// Follows a run until `is_over`.
    pub(super) fn follow(&mut self, timeline: &Timeline, start: Instant, is_over: impl Fn() -> bool) {
        let mut last = (start, 0);
        let mut next_line = start.checked_add(self.line_interval);
        while !is_over() {
            std::thread::sleep(LOOK_INTERVAL);
            let (now, operations) = (Instant::now(), timeline.operations());
            let since = now - last.0;
            if since >= Duration::from_secs(1) {
                let rate = (operations - last.1) as f64 / since.as_secs_f64();
                last = (now, operations);
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{rate:.0} operations/s"));
                }
                if self.bar.is_none() && next_line.is_some_and(|at| now >= at) {
                    self.line(now - start, operations, rate);
                    next_line = next_line.and_then(|at| at.checked_add(self.line_interval));
                }
            }
            if let Some(bar) = &self.bar {
                bar.set_position(if self.duration.is_some() { (now - start).as_secs() } else { operations });
            }
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, elapsed: Duration, operations: u64, rate: f64) {
        let of = if self.total == u64::MAX { String::new() } else { format!(" of {}", self.total) };
        eprintln!("{}: {} s, {operations}{of} operations, {rate:.0}/s now", self.label, elapsed.as_secs());
    }
}
