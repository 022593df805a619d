//! Pictures of the ledger, as SVG that reads on light and dark pages.

use serde_json::Value;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 44.0;
const TOP: f64 = 16.0;
const RIGHT: f64 = 230.0;

/// Colours that stand apart for the colour-blind (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999"];

fn head(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{title}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text{{fill:#777}} .grid{{stroke:#8884;stroke-width:1}}</style>\n"
    )
}

/// Measured steps against predicted ones, both on logarithmic axes, a colour a family.
pub fn predicted_against_measured(ledger: &Value) -> String {
    let rows = ledger["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let point = |row: &Value| {
        row["signed_error"].as_f64()?;
        let family = row["family"].as_str()?.to_owned();
        Some((family, row["measured_step_s"].as_f64()?, row["predicted_step_s"].as_f64()?))
    };
    let points: Vec<(String, f64, f64)> = rows.iter().filter_map(point).collect();
    let mut families: Vec<&str> = points.iter().map(|p| p.0.as_str()).collect();
    families.sort_unstable();
    families.dedup();
    let low = points.iter().map(|p| p.1.min(p.2)).fold(f64::INFINITY, f64::min).log10().floor();
    let high = points.iter().map(|p| p.1.max(p.2)).fold(0.0, f64::max).log10().ceil();
    let at = |v: f64, from: f64, to: f64| from + (v.log10() - low) / (high - low) * (to - from);
    let x = |v: f64| at(v, LEFT, WIDTH - RIGHT);
    let y = |v: f64| at(v, HEIGHT - BOTTOM, TOP);
    let mut out = head(HEIGHT, "Predicted against measured step time");
    let mut decade = low;
    while decade <= high {
        let v = 10_f64.powf(decade);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{0:.1} {TOP}V{1:.1}M{LEFT} {2:.1}H{3:.1}\"/>\
             <text x=\"{0:.1}\" y=\"{4:.1}\" text-anchor=\"middle\">{v} s</text>\
             <text x=\"{5:.1}\" y=\"{6:.1}\" text-anchor=\"end\">{v} s</text>",
            x(v),
            HEIGHT - BOTTOM,
            y(v),
            WIDTH - RIGHT,
            HEIGHT - BOTTOM + 16.0,
            LEFT - 6.0,
            y(v) + 4.0
        );
        decade += 1.0;
    }
    let (a, b) = (10_f64.powf(low), 10_f64.powf(high));
    let _ = writeln!(
        out,
        "<path stroke=\"#888\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>",
        x(a),
        y(a),
        x(b),
        y(b)
    );
    for (family, measured, predicted) in &points {
        let colour = COLOURS[families.iter().position(|f| f == family).unwrap_or(0) % 8];
        let _ = writeln!(
            out,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\" fill=\"{colour}\" fill-opacity=\"0.7\"/>",
            x(*measured),
            y(*predicted)
        );
    }
    for (i, family) in families.iter().enumerate() {
        let top = TOP + 18.0 * i as f64 + 8.0;
        let left = WIDTH - RIGHT + 24.0;
        let _ = writeln!(
            out,
            "<circle cx=\"{left}\" cy=\"{top}\" r=\"5\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{}\">{family}</text>",
            COLOURS[i % 8],
            left + 12.0,
            top + 4.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">measured step (across), predicted \
         step (up)</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0
    );
    out
}

/// Mean |error| of each family as a bar, the mean signed error as a mark on it.
pub fn error_by_family(ledger: &Value) -> String {
    let families = ledger["summary"]["families"].as_array().map(Vec::as_slice).unwrap_or_default();
    let height = 30.0 + 22.0 * families.len() as f64;
    let left = 250.0;
    let scale = (WIDTH - left - 60.0) / 0.2;
    let mut out = head(height, "Mean error by family");
    for (i, family) in families.iter().enumerate() {
        let name = family["family"].as_str().unwrap_or_default();
        let mean = family["mean_abs_error"].as_f64().unwrap_or(0.0);
        let signed = family["mean_signed_error"].as_f64().unwrap_or(0.0);
        let top = 8.0 + 22.0 * i as f64;
        let colour = if signed < 0.0 { COLOURS[1] } else { COLOURS[0] };
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{left}\" y=\"{top}\" width=\"{:.1}\" height=\"15\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.1} % ({:+.1} %)</text>",
            left - 8.0,
            top + 12.0,
            mean.min(0.2) * scale,
            left + mean.min(0.2) * scale + 6.0,
            top + 12.0,
            100.0 * mean,
            100.0 * signed
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{left}\" y=\"{:.1}\">mean |error| and, in brackets, mean error; blue is optimistic\
         </text>\n</svg>",
        height - 6.0
    );
    out
}
