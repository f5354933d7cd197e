//! Growth as a chart: the part of H that each operation reaches, by the number of connections.

use std::fmt::Write as _;

use crate::operations::Operation;
use crate::service::Engine;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 56.0;
/// The distance between the names at the ends of the lines.
const APART: f64 = 17.0;

/// Colours for light and dark mode.
const STYLE: &str = "<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .small { font-size: 11px; fill: #59636e } .title { font-size: 15px; font-weight: 600 }
  .back { fill: #ffffff } .axis { stroke: #d1d9e0 } .to { stroke: #d1d9e0; fill: none }
  .line { fill: none; stroke-width: 2 } .postgres { stroke-dasharray: 6 4 }
  .create { --c: #bc4c00 } .get { --c: #0969da } .list { --c: #1a7f37 } .deep { --c: #8250df } .update { --c: #bf3989 }
  .line { stroke: var(--c) } .dot { fill: var(--c) } text.name { fill: var(--c) }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 } .back { fill: #0d1117 } .axis, .to { stroke: #3d444d }
    .create { --c: #f0883e } .get { --c: #58a6ff } .list { --c: #3fb950 } .deep { --c: #bc8cff } .update { --c: #f778ba }
  }
</style>";

/// An operation on an engine: its ratio at each size.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) engine: Engine,
    pub(crate) operation: Operation,
    pub(crate) points: Vec<(u64, f64)>,
}

/// Maps sizes and ratios to coordinates.
struct Frame {
    /// The powers of ten that enclose all sizes.
    powers: (f64, f64),
    most: f64,
}

impl Frame {
    fn of(lines: &[Line]) -> Self {
        let points = || lines.iter().flat_map(|line| &line.points);
        let powers = points().map(|(size, _)| power(*size));
        let least = powers.clone().fold(f64::INFINITY, f64::min).floor();
        let most = powers.fold(f64::NEG_INFINITY, f64::max);
        let first = if least.is_finite() { least } else { 4.0 };
        let ratio = points().map(|(_, ratio)| *ratio).fold(0.1, f64::max);
        // The axis ends at a multiple of 10 %, and has some width even for one size.
        Self { powers: (first, most.max(first + 0.5)), most: (ratio * 10.0).ceil() / 10.0 }
    }

    fn x(&self, power: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (power - self.powers.0) / (self.powers.1 - self.powers.0)
    }

    fn y(&self, ratio: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * ratio / self.most
    }
}

/// An SVG of the lines.
pub(crate) fn draw(lines: &[Line]) -> String {
    let frame = Frame::of(lines);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" role=\"img\">\n<title>How fast the service is, by how many connections it keeps</title>\n\
         {STYLE}\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">Part of H that is reached, by how many connections there are</text>\n\
         <text class=\"small\" x=\"16\" y=\"48\">H: an empty HTTP server under the same load at the same moment. Whole lines: SQLite; \
         broken lines: PostgreSQL.</text>\n"
    );
    axes(&mut svg, &frame, lines);
    for line in lines {
        curve(&mut svg, &frame, line);
    }
    names(&mut svg, &frame, lines);
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, frame: &Frame, lines: &[Line]) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in 0..=5_u32 {
        let ratio = frame.most * f64::from(tick) / 5.0;
        let y = frame.y(ratio);
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 8.0,
            y + 4.0,
            ratio * 100.0
        );
    }
    let mut sizes: Vec<u64> = lines.iter().flat_map(|line| &line.points).map(|(size, _)| *size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for size in sizes {
        let x = frame.x(power(size));
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"small\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            in_words(size)
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">connections</text>",
        f64::midpoint(LEFT, right),
        bottom + 38.0
    );
}

fn curve(svg: &mut String, frame: &Frame, line: &Line) {
    let places: Vec<(f64, f64)> =
        line.points.iter().map(|(size, ratio)| (frame.x(power(*size)), frame.y(*ratio))).collect();
    let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let class = class(line.operation);
    let _ =
        writeln!(svg, "<polyline class=\"line {class} {}\" points=\"{}\"/>", line.engine, points.join(" "));
    for (x, y) in places {
        let _ = writeln!(svg, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
    }
}

/// The lines' names, next to their ends or as close as possible.
fn names(svg: &mut String, frame: &Frame, lines: &[Line]) {
    let end = |line: &Line| line.points.last().map(|(size, ratio)| (frame.x(power(*size)), frame.y(*ratio)));
    let mut ends: Vec<(&Line, f64, f64)> =
        lines.iter().filter_map(|line| end(line).map(|(x, y)| (line, x, y))).collect();
    ends.sort_by(|(_, _, a), (_, _, b)| a.total_cmp(b));
    let places = spread(&ends.iter().map(|(_, _, y)| *y).collect::<Vec<_>>(), HEIGHT - BOTTOM);
    for ((line, x, y), place) in ends.into_iter().zip(places) {
        let left = WIDTH - RIGHT + 28.0;
        let class = class(line.operation);
        let _ = writeln!(
            svg,
            "<polyline class=\"to\" points=\"{:.1},{y:.1} {:.1},{place:.1}\"/>\
             <text class=\"name {class}\" x=\"{left:.1}\" y=\"{:.1}\">{} on {}</text>",
            x + 6.0,
            left - 5.0,
            place + 4.0,
            line.operation,
            line.engine
        );
    }
}

/// Moves ascending coordinates apart, as little as necessary and within the bounds.
fn spread(places: &[f64], end: f64) -> Vec<f64> {
    let mut last = f64::NEG_INFINITY;
    let mut moved: Vec<f64> = Vec::with_capacity(places.len());
    for place in places {
        last = place.max(last + APART);
        moved.push(last);
    }
    let mut next = end + APART;
    for place in moved.iter_mut().rev() {
        next = place.min(next - APART);
        *place = next;
    }
    moved
}

fn class(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Get => "get",
        Operation::List => "list",
        Operation::DeepList => "deep",
        Operation::Update => "update",
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is a place in a picture")]
fn power(size: u64) -> f64 {
    (size.max(1) as f64).log10()
}

fn in_words(size: u64) -> String {
    match size {
        0..1_000 => size.to_string(),
        1_000..1_000_000 => format!("{} thousand", size / 1_000),
        _ if size.is_multiple_of(1_000_000) => format!("{} million", size / 1_000_000),
        _ => format!("{}.{} million", size / 1_000_000, size / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_overlap() {
        assert_eq!(spread(&[10.0, 11.0, 100.0], 200.0), [10.0, 27.0, 100.0]);
        assert_eq!(spread(&[190.0, 195.0, 199.0], 200.0), [166.0, 183.0, 200.0]);
    }

    #[test]
    fn sizes_are_formatted() {
        let words = [10_000, 1_000_000, 2_500_000].map(in_words);
        assert_eq!(words, ["10 thousand", "1 million", "2.5 million"]);
    }

    #[test]
    fn a_picture_has_a_line_for_each_operation_even_with_one_size() {
        let line = |engine| Line { engine, operation: Operation::DeepList, points: vec![(10_000, 0.4)] };
        let svg = draw(&[line(Engine::Sqlite), line(Engine::Postgres)]);
        assert_eq!(svg.matches("<polyline class=\"line deep").count(), 2);
        assert!(svg.contains("deep list on postgres") && !svg.contains("NaN") && !svg.contains("inf"));
        assert!(!draw(&[]).contains("NaN"));
    }
}
