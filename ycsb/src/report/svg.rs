//! The timeline as a picture: throughput above, latencies below, over the seconds of the run.

use std::fmt::Write;

use super::summary::Summary;
use crate::measure::Second;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
const PANEL: f64 = 200.0;
const TOP: f64 = 60.0;
const GAP: f64 = 60.0;
const HEIGHT: f64 = TOP + 2.0 * PANEL + GAP + 50.0;

/// Seconds without an answer, though operations waited for one.
const AWAY: &str = "#f03e3e";

struct Line {
    label: &'static str,
    color: &'static str,
    value: fn(&Second) -> Option<f64>,
}

/// Draws the picture. Writing to a `String` can't fail, so results are dropped.
pub(super) fn draw(summary: &Summary) -> String {
    // The last second is only begun: it would look like a collapse.
    let seconds = match summary.timeline.as_slice() {
        [whole @ .., _] if !whole.is_empty() => whole,
        all => all,
    };
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>"##
    );
    let _ = writeln!(svg, r#"<text x="{LEFT}" y="22" font-size="15">{}</text>"#, escape(&title(summary)));
    if let Some(complaint) = summary.rate.and_then(|rate| rate.complaint()) {
        let _ = writeln!(svg, r#"<text x="{LEFT}" y="38" fill="{AWAY}">{}</text>"#, escape(&complaint));
    }
    let mut throughput = vec![Line {
        label: "operations/s",
        color: "#1f6fb2",
        value: |second| Some(second.operations as f64),
    }];
    if seconds.iter().any(|second| second.failed > 0) {
        throughput.push(Line {
            label: "failed/s",
            color: "#e03131",
            value: |second| Some(second.failed as f64),
        });
    }
    Panel::new(seconds, &throughput, TOP).draw(&mut svg);
    let mut latencies = vec![
        Line { label: "p50 us", color: "#2b8a3e", value: |second| second.p50_us },
        Line { label: "p99 us", color: "#e8590c", value: |second| second.p99_us },
        Line { label: "p99.9 us", color: "#c2255c", value: |second| second.p999_us },
    ];
    if seconds.iter().any(Second::is_stalled) {
        let value = |second: &Second| second.is_stalled().then_some(second.waiting_us);
        latencies.push(Line { label: "waiting us", color: "#495057", value });
    }
    Panel::new(seconds, &latencies, TOP + PANEL + GAP).draw(&mut svg);
    let (x, y) = (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 12.0);
    let _ = writeln!(svg, r#"<text x="{x}" y="{y}" text-anchor="middle">seconds</text>"#);
    svg.push_str("</svg>\n");
    svg
}

fn title(summary: &Summary) -> String {
    let Summary { command, workload, db, throughput, connections, depth, pacing, .. } = summary;
    format!(
        "{command} {workload} on {db}: {throughput:.0} operations/s; {connections} connections x {depth}; {pacing}"
    )
}

/// One diagram: the seconds from left to right, values from its bottom up.
struct Panel<'a> {
    seconds: &'a [Second],
    lines: &'a [Line],
    top: f64,
    step: f64,
    full: f64,
}

impl Panel<'_> {
    fn new<'a>(seconds: &'a [Second], lines: &'a [Line], top: f64) -> Panel<'a> {
        let values = seconds.iter().flat_map(|second| lines.iter().filter_map(|line| (line.value)(second)));
        let most = values.fold(0.0, f64::max);
        let step = round_step(most / 4.0);
        Panel { seconds, lines, top, step, full: step * (most / step).ceil().max(1.0) }
    }

    fn draw(&self, svg: &mut String) {
        self.draw_away(svg);
        self.draw_axes(svg);
        for (at, line) in self.lines.iter().enumerate() {
            self.draw_line(svg, line, LEFT + 10.0 + 90.0 * at as f64);
        }
        svg.push('\n');
    }

    fn bottom(&self) -> f64 {
        self.top + PANEL
    }

    fn width_of_second(&self) -> f64 {
        (WIDTH - LEFT - RIGHT) / (self.seconds.len().saturating_sub(1).max(1)) as f64
    }

    fn x(&self, second: &Second) -> f64 {
        LEFT + self.width_of_second() * second.second as f64
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - PANEL * value / self.full
    }

    /// Marks the seconds in which operations waited and none was answered.
    fn draw_away(&self, svg: &mut String) {
        let mut is_any = false;
        for second in self.seconds.iter().filter(|second| second.operations == 0 && second.is_stalled()) {
            is_any = true;
            let width = self.width_of_second();
            let left = (self.x(second) - width / 2.0).max(LEFT);
            let right = (self.x(second) + width / 2.0).min(WIDTH - RIGHT);
            let (top, width) = (self.top, right - left);
            let _ = writeln!(
                svg,
                r#"<rect class="away" x="{left:.1}" y="{top}" width="{width:.1}" height="{PANEL}" fill="{AWAY}" fill-opacity="0.15"/>"#
            );
        }
        if is_any {
            let (x, y) = (WIDTH - RIGHT, self.top - 8.0);
            let _ =
                writeln!(svg, r#"<text x="{x}" y="{y:.1}" fill="{AWAY}" text-anchor="end">no answer</text>"#);
        }
    }

    fn draw_axes(&self, svg: &mut String) {
        let mut tick = 0.0;
        while tick <= self.full * 1.001 {
            let (at, right) = (self.y(tick), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"##,
                LEFT - 8.0,
                at + 4.0,
                short(tick)
            );
            tick += self.step;
        }
        let every = (round_step(self.seconds.len() as f64 / 8.0) as usize).max(1);
        for second in self.seconds.iter().step_by(every) {
            let (x, y) = (self.x(second), self.bottom() + 18.0);
            let _ =
                writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="middle">{}</text>"#, second.second);
        }
    }

    /// A line with gaps where there is no value; what stands alone between gaps is a dot.
    fn draw_line(&self, svg: &mut String, line: &Line, legend: f64) {
        let Line { label, color, value } = line;
        for piece in self.seconds.chunk_by(|one, next| value(one).is_some() == value(next).is_some()) {
            let points = piece.iter().filter_map(|second| Some((self.x(second), self.y(value(second)?))));
            match points.collect::<Vec<_>>()[..] {
                [] => {}
                [(x, y)] => {
                    let _ = write!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{color}"/>"#);
                }
                ref points => {
                    let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
                    let points = points.join(" ");
                    let _ = write!(
                        svg,
                        r#"<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>"#
                    );
                }
            }
        }
        let _ =
            writeln!(svg, r#"<text x="{legend:.1}" y="{:.1}" fill="{color}">{label}</text>"#, self.top - 8.0);
    }
}

/// 1, 2 or 5 times a power of ten, at least `value`.
fn round_step(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-3).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(power)
}

fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e4.. => format!("{}k", value / 1e3),
        _ => format!("{}", (value * 100.0).round() / 100.0),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
