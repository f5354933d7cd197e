//! The report as a chart: a bar for each row, and a mark at its target.

use std::fmt::Write as _;

use crate::report::Row;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 64.0;
const STEP: f64 = 34.0;
const BAR: f64 = 18.0;

/// Colours for light and dark mode.
const STYLE: &str = "<style>
  text { font: 13px system-ui, sans-serif; fill: #1f2328; stroke: #ffffff; stroke-width: 4; paint-order: stroke }
  .small { font-size: 11px; fill: #59636e }
  .title { font-size: 15px; font-weight: 600 }
  .back { fill: #ffffff }
  .axis { stroke: #d1d9e0 }
  .target { stroke: #1f2328; stroke-width: 2 } .spread { stroke: #1f2328 }
  .reached { fill: #1a7f37 } .missed { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; stroke: #0d1117 } .small { fill: #9198a1 } .back { fill: #0d1117 } .axis { stroke: #3d444d }
    .target, .spread { stroke: #f0f6fc } .reached { fill: #3fb950 } .missed { fill: #f0883e }
  }
</style>";

/// An SVG of the rows.
#[expect(clippy::cast_precision_loss, reason = "there are nine rows")]
pub(crate) fn draw(rows: &[Row]) -> String {
    let height = TOP + STEP * rows.len() as f64 + 40.0;
    let most = rows.iter().flat_map(|row| [row.ratio_max.unwrap_or(0.0), row.target]).fold(0.1, f64::max);
    // The axis ends at a multiple of 20 %.
    let end = (most * 5.0).ceil() / 5.0;
    let x = |ratio: f64| LEFT + (WIDTH - LEFT - RIGHT) * ratio / end;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>How fast the service is, as a part of what the machine allows</title>\n\
         {STYLE}\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">Part of the limit that was reached</text>\n\
         <text class=\"small\" x=\"16\" y=\"46\">The mark is the target, the line in a bar the spread of the rounds. H: an empty HTTP server, R: a raw log, \
         P: PostgreSQL alone.</text>\n"
    );
    let bottom = TOP + STEP * rows.len() as f64;
    for tick in 0..=4_u32 {
        let (at, ratio) = (x(end * f64::from(tick) / 4.0), end * f64::from(tick) / 4.0);
        let _ = writeln!(
            svg,
            "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"small\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.0} %</text>",
            bottom + 18.0,
            ratio * 100.0
        );
    }
    for (number, row) in rows.iter().enumerate() {
        svg.push_str(&bar(row, TOP + STEP * number as f64 + 8.0, x));
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(row: &Row, y: f64, x: impl Fn(f64) -> f64) -> String {
    let (middle, ratio, target) = (y + BAR - 4.0, row.ratio.unwrap_or(0.0), x(row.target));
    let said = row.ratio.map_or_else(
        || "void".to_owned(),
        |ratio| format!("{:.0} %  ·  {:.0}/s", ratio * 100.0, row.requests_per_second),
    );
    let (least, most) = (row.ratio_min.unwrap_or(0.0), row.ratio_max.unwrap_or(0.0));
    let class = if row.reached { "reached" } else { "missed" };
    format!(
        "<text x=\"16\" y=\"{middle:.1}\">{} on {}</text><text class=\"small\" x=\"{:.1}\" y=\"{middle:.1}\" \
         text-anchor=\"end\">of {}</text>\n<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" \
         height=\"{BAR}\" rx=\"2\"/>\n<line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" \
         y2=\"{:.1}\"/>\n<line class=\"target\" x1=\"{target:.1}\" x2=\"{target:.1}\" y1=\"{:.1}\" \
         y2=\"{:.1}\"/>\n<text x=\"{:.1}\" y=\"{middle:.1}\">{said}</text>\n",
        row.operation,
        row.engine,
        LEFT - 8.0,
        row.limit.letter(),
        (x(ratio) - LEFT).max(1.0),
        x(least),
        x(most),
        y + BAR / 2.0,
        y + BAR / 2.0,
        y - 4.0,
        y + BAR + 4.0,
        x(most).max(target) + 8.0,
    )
}
