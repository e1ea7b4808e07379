//! The timeline as a picture: throughput above, latencies below, over the seconds of the run.

use std::fmt::Write;

use super::Summary;
use crate::measure::Second;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
const PANEL: f64 = 200.0;
const TOP: f64 = 60.0;
const GAP: f64 = 60.0;
const HEIGHT: f64 = TOP + 2.0 * PANEL + GAP + 50.0;

struct Line {
    label: &'static str,
    color: &'static str,
    value: fn(&Second) -> f64,
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
    let title = format!(
        "{} {} on {}: {:.0} operations/s; {} connections x {}; {}",
        summary.command,
        summary.workload,
        summary.db,
        summary.throughput,
        summary.connections,
        summary.depth,
        summary.pacing
    );
    let _ = writeln!(svg, r#"<text x="{LEFT}" y="28" font-size="15">{}</text>"#, escape(&title));
    let mut throughput =
        vec![Line { label: "operations/s", color: "#1f6fb2", value: |second| second.operations as f64 }];
    if seconds.iter().any(|second| second.failed > 0) {
        throughput.push(Line { label: "failed/s", color: "#e03131", value: |second| second.failed as f64 });
    }
    panel(&mut svg, seconds, &throughput, TOP);
    let latencies = [
        Line { label: "p50 us", color: "#2b8a3e", value: |second| second.p50_us },
        Line { label: "p99 us", color: "#e8590c", value: |second| second.p99_us },
        Line { label: "p99.9 us", color: "#c2255c", value: |second| second.p999_us },
    ];
    panel(&mut svg, seconds, &latencies, TOP + PANEL + GAP);
    let (x, y) = (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 12.0);
    let _ = writeln!(svg, r#"<text x="{x}" y="{y}" text-anchor="middle">seconds</text>"#);
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, seconds: &[Second], lines: &[Line], top: f64) {
    let most =
        seconds.iter().flat_map(|second| lines.iter().map(|line| (line.value)(second))).fold(0.0, f64::max);
    let step = round_step(most / 4.0);
    let full = step * (most / step).ceil().max(1.0);
    let bottom = top + PANEL;
    let x = |at: usize| {
        LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / (seconds.len().saturating_sub(1).max(1)) as f64
    };
    let y = |value: f64| bottom - PANEL * value / full;
    let mut tick = 0.0;
    while tick <= full * 1.001 {
        let (at, right) = (y(tick), WIDTH - RIGHT);
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" y1="{at:.1}" x2="{right}" y2="{at:.1}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"##,
            LEFT - 8.0,
            at + 4.0,
            short(tick)
        );
        tick += step;
    }
    let every = (round_step(seconds.len() as f64 / 8.0) as usize).max(1);
    for second in seconds.iter().step_by(every) {
        let at = x(second.second as usize);
        let _ = writeln!(
            svg,
            r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 18.0,
            second.second
        );
    }
    for (at, line) in lines.iter().enumerate() {
        let mut points = String::new();
        for second in seconds {
            let _ = write!(points, "{:.1},{:.1} ", x(second.second as usize), y((line.value)(second)));
        }
        let Line { label, color, .. } = line;
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="1.5"/><text x="{:.1}" y="{:.1}" fill="{color}">{label}</text>"#,
            points.trim_end(),
            LEFT + 10.0 + 90.0 * at as f64,
            top - 8.0
        );
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
