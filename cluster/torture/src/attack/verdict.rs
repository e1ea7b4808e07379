//! What was promised and wasn't kept.

use super::arguments::{Arguments, MEGABYTE};
use super::honest::{LATE, is_dismissal};
use super::monitor::Monitor;
use super::stage::Stage;
use super::turns::Turns;
use crate::cgroup::Cgroup;

/// So few honest connections may be closed for the sake of others, which are told why: one for so many answers. Where all is used
/// up somebody has to go at once, and whoever has just sent half of a command looks like those who never send the rest.
const ANSWERS_PER_CLOSED: u64 = 100_000;

/// See the module.
pub struct Verdict {
    /// What was not kept.
    pub broken: Vec<String>,
    /// What was measured, a line each.
    pub measured: Vec<String>,
}

impl Verdict {
    /// Looks at everything, and ends the server if it still runs.
    pub fn new(
        arguments: &Arguments,
        stage: &Stage,
        mut monitor: Monitor<'_>,
        wrong: Vec<String>,
        group: Option<&Cgroup>,
    ) -> Verdict {
        let mut verdict = Verdict { broken: Vec::new(), measured: Vec::new() };
        verdict.judge_memory(arguments, &monitor, group);
        match monitor.end.take() {
            Some(how) => {
                let kills = group.map_or(0, Cgroup::kills);
                let why = if kills > 0 { ", out of memory in its cgroup" } else { "" };
                verdict.broken.push(format!("kvd ended {how}{why}"));
                // What the honest clients say of a server that is gone tells nothing.
            }
            None => {
                verdict.broken.extend(wrong);
                verdict.judge_losses(stage);
                match Turns::of(stage) {
                    Ok(turns) => verdict.measured.push(turns.describe()),
                    Err(what) => verdict.broken.push(what),
                }
                let stopped = monitor.stop();
                stage.log.read(true);
                match stopped {
                    Ok(time) => verdict.measured.push(format!(
                        "SIGTERM, with its log unread, ended it after {} ms",
                        time.as_millis()
                    )),
                    Err(what) => verdict.broken.push(what),
                }
            }
        }
        verdict.judge_latency(arguments, stage);
        verdict
    }

    fn judge_losses(&mut self, stage: &Stage) {
        let seen = stage.honest.seen();
        let lost: u64 = seen.losses.values().sum();
        let told = seen.losses.iter().filter(|(text, _)| is_dismissal(text));
        let told_why: u64 = told.map(|(_, count)| count).sum();
        if lost > told_why || told_why > seen.requests.len() / ANSWERS_PER_CLOSED {
            self.broken.push(format!("honest connections were closed: {lost}, {told_why} of them told why"));
        }
    }

    fn judge_memory(&mut self, arguments: &Arguments, monitor: &Monitor<'_>, group: Option<&Cgroup>) {
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        let most_kib = arguments.memory / 1024 * 11 / 10;
        let peak = format!(
            "RssAnon at its most {}, of {} with --memory {}MB",
            mib(monitor.peak_kib),
            mib(most_kib),
            arguments.memory / MEGABYTE
        );
        if monitor.peak_kib > most_kib {
            self.broken.push(peak.clone());
        }
        self.measured.push(peak);
        self.measured.extend(monitor.describe_peak());
        if let Some(bytes) = group.and_then(Cgroup::peak_bytes) {
            self.measured.push(format!("the cgroup at its most {}, files included", mib(bytes >> 10)));
        }
        let before = mib(monitor.before_kib);
        match (monitor.after_kib.map(mib), monitor.settled_in) {
            (Some(after), Some(time)) => {
                let ms = time.as_millis();
                self.measured.push(format!(
                    "RssAnon at its most before the attacks {before}, {ms} ms after them {after}"
                ));
            }
            (Some(after), None) => {
                self.broken.push(format!(
                    "RssAnon was {before} at its most before the attacks, and stays at {after} after them"
                ));
            }
            (None, _) => {}
        }
    }

    fn judge_latency(&mut self, arguments: &Arguments, stage: &Stage) {
        let seen = stage.honest.seen();
        let ms = |quantile| seen.requests.value_at_quantile(quantile) as f64 / 1000.0;
        let is_held = u128::from(seen.requests.value_at_quantile(0.99)) <= LATE.as_micros();
        let (max, held) = (seen.requests.max() as f64 / 1000.0, if is_held { "held" } else { "not held" });
        let line = format!(
            "honest: {} answers checked, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {max:.1} ms; p99 <= {} ms: {held}",
            seen.requests.len(),
            ms(0.5),
            ms(0.99),
            ms(0.999),
            LATE.as_millis(),
        );
        if arguments.judge_latency && !is_held {
            self.broken.push(line.clone());
        }
        self.measured.push(line);
        let (scans, slowest) = (seen.scans.len(), seen.scans.max() as f64 / 1000.0);
        self.measured.push(format!("honest: {scans} scans checked, max {slowest:.1} ms"));
    }

    /// As the program ends.
    pub fn result(self) -> Result<(), String> {
        if self.broken.is_empty() { Ok(()) } else { Err(self.broken.join("; ")) }
    }
}
