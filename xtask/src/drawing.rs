//! Small pictures for the book's pages, as SVG that reads on light and dark pages.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const COLOURS: [&str; 2] = ["#3b82c4", "#e08a1e"];

fn head(height: f64, label: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{label}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>text{{fill:#777}} .grid{{stroke:#8884;stroke-width:1}}</style>\n"
    )
}

/// How many samples fell into each of equal ranges from `span.0` to `span.1`.
pub fn histogram(label: &str, span: (f64, f64), counts: &[f64]) -> String {
    const HEIGHT: f64 = 210.0;
    const BOTTOM: f64 = 180.0;
    let most = counts.iter().copied().fold(1.0, f64::max);
    let wide = WIDTH / counts.len().max(1) as f64;
    let mut out = head(HEIGHT, label);
    for (at, count) in counts.iter().enumerate() {
        let height = count / most * (BOTTOM - 10.0);
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{}\"/>",
            at as f64 * wide,
            BOTTOM - height,
            wide * 0.94,
            COLOURS[0]
        );
    }
    let step = 10.0_f64.max(((span.1 - span.0) / 8.0 / 10.0).round() * 10.0);
    let mut tick = (span.0 / step).ceil() * step;
    while tick <= span.1 {
        let x = (tick - span.0) / (span.1 - span.0) * WIDTH;
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} 10V{BOTTOM}\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{tick:.0}</text>",
            BOTTOM + 18.0
        );
        tick += step;
    }
    out + "</svg>\n"
}

/// Ranges under each other on a scale of factors: `(name, ends, colour)`.
pub fn spans(label: &str, lanes: &[(&str, (f64, f64), usize)], shown: fn(f64) -> String) -> String {
    const LEFT: f64 = 120.0;
    const LANE: f64 = 34.0;
    let low = lanes.iter().map(|l| l.1.0).fold(f64::INFINITY, f64::min) / 1.3;
    let high = lanes.iter().map(|l| l.1.1).fold(0.0, f64::max) * 1.5;
    let x = |v: f64| LEFT + (v / low).ln() / (high / low).ln() * (WIDTH - LEFT - 20.0);
    let bottom = LANE * lanes.len() as f64;
    let mut out = head(bottom + 24.0, label);
    let mut decade = 10.0_f64.powf(low.log10().floor());
    while decade <= high {
        for tick in
            [1.0, 2.0, 5.0].map(|m| m * decade).into_iter().filter(|t| (low..high).contains(t))
        {
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{0:.1} 0V{bottom}\"/><text x=\"{0:.1}\" y=\"{1:.1}\" \
                 text-anchor=\"middle\">{2}</text>",
                x(tick),
                bottom + 18.0,
                shown(tick)
            );
        }
        decade *= 10.0;
    }
    for (at, (name, (from, to), colour)) in lanes.iter().enumerate() {
        let y = LANE * at as f64;
        let _ = writeln!(
            out,
            "<text x=\"0\" y=\"{:.1}\">{name}</text><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\" fill=\"{}\"/>",
            y + 21.0,
            x(*from),
            y + 5.0,
            x(*to) - x(*from),
            LANE - 10.0,
            COLOURS[*colour]
        );
    }
    out + "</svg>\n"
}

/// One figure of a [`tornado`].
pub struct Swing {
    /// What it is, with its range.
    pub name: String,
    /// The answer at its low and high end.
    pub ends: (f64, f64),
}

/// What moves an answer, around its middle value.
pub fn tornado(label: &str, middle: f64, swings: &[Swing]) -> String {
    const LANE: f64 = 44.0;
    let ends = || swings.iter().flat_map(|s| [s.ends.0, s.ends.1]).chain([middle]);
    let low = ends().fold(f64::INFINITY, f64::min) - 1.0;
    let high = ends().fold(0.0, f64::max) + 1.0;
    let x = |v: f64| 30.0 + (v - low) / (high - low) * (WIDTH - 60.0);
    let bottom = LANE * swings.len() as f64;
    let mut out = head(bottom + 44.0, label);
    for (at, swing) in swings.iter().enumerate() {
        let y = LANE * at as f64;
        let _ =
            writeln!(out, "<text x=\"0\" y=\"{:.1}\">{}</text>", y + 14.0, escaped(&swing.name));
        let _ = writeln!(
            out,
            "<path d=\"M{0:.1} {1:.1}v24\" stroke=\"#c4504b\" stroke-dasharray=\"4 3\"/>",
            x(middle),
            y + 17.0
        );
        for (end, colour) in [(swing.ends.0, 0), (swing.ends.1, 1)] {
            let (from, to) = (x(middle.min(end)), x(middle.max(end)));
            let _ = writeln!(
                out,
                "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" fill=\"{}\"/>",
                y + 20.0,
                to - from,
                COLOURS[colour]
            );
            let anchor = if end < middle { "end" } else { "start" };
            let place = if end < middle { from - 3.0 } else { to + 3.0 };
            if (end - middle).abs() >= 0.05 {
                let _ = writeln!(
                    out,
                    "<text x=\"{place:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"11\">\
                     {end:.0}</text>",
                    y + 33.0
                );
            }
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"middle\">{middle:.0} with every figure at its \
         value</text>\n<text x=\"0\" y=\"{2:.1}\"><tspan fill=\"{3}\">\u{25a0}</tspan> figure at its low \
         end <tspan fill=\"{4}\">\u{25a0}</tspan> at its high end</text>",
        x(middle).max(110.0),
        bottom + 16.0,
        bottom + 36.0,
        COLOURS[0],
        COLOURS[1]
    );
    out + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
