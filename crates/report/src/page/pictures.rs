//! The pictures that answers need, each a few lines of [`Rows`] or [`Chart`].

use super::{Chart, Html, Mark, Point, Row, Rows, Scale, Series, Shape, data, text};

/// Parts of a whole in one or more stacked bars: `(name, value as shown, parts)`; part `k` has colour
/// `k` and the legend's name `k`.
pub fn stacked(
    label: &str,
    bars: &[(String, Html, Vec<f64>)],
    names: &[&str],
    tick: fn(f64) -> String,
) -> Rows {
    let most = bars.iter().map(|(_, _, parts)| parts.iter().sum::<f64>()).fold(0.0, f64::max);
    let mut rows = Rows::new(label, Scale::linear(0.0, most));
    rows.tick = Some(tick);
    rows.legend = names.iter().enumerate().map(|(k, n)| (k, (*n).to_owned())).collect();
    for (name, value, parts) in bars {
        let mut row = Row { value: value.clone(), ..Row::new(name, "") };
        let mut from = 0.0;
        for (colour, &part) in parts.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            let title = format!("{}: {}", names.get(colour).unwrap_or(&""), tick(part));
            let to = from + part;
            row.marks.push(Mark::Bar { from, to, colour, title, inside: String::new() });
            from = to;
        }
        rows.rows.push(row);
    }
    rows
}

/// One uncertain input of a [`tornado`].
#[derive(Clone, Debug, PartialEq)]
pub struct Swing {
    /// What is uncertain, with its range.
    pub name: String,
    /// The answer with the input at its low end.
    pub at_low: f64,
    /// The answer with the input at its high end.
    pub at_high: f64,
}

/// What moves an answer: widest first, around its value.
pub fn tornado(label: &str, value: f64, swings: &[Swing], shown: fn(f64) -> String) -> Rows {
    let ends = swings.iter().flat_map(|s| [s.at_low, s.at_high]).chain([value]);
    let mut rows = Rows::new(label, Scale::around(ends, false));
    rows.tick = Some(shown);
    rows.long_names = true;
    rows.limits = vec![(value, format!("all at their values: {}", shown(value)))];
    rows.legend = vec![(0, "figure at its low end".into()), (1, "at its high end".into())];
    for swing in swings {
        let mut row =
            Row::new(&swing.name, "").bar(value, swing.at_low, 0).bar(value, swing.at_high, 1);
        row.value = Html(format!(
            "{} .. {}",
            data(swing.at_low, &shown(swing.at_low)).0,
            data(swing.at_high, &shown(swing.at_high)).0
        ));
        rows.rows.push(row);
    }
    rows
}

/// A value with its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranged {
    /// Whose.
    pub name: String,
    /// Best value.
    pub value: f64,
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
}

/// Values with their ranges under each other: as bars from zero, or, where they lie a decade apart, as
/// dots on a scale of factors.
pub fn intervals(label: &str, items: &[Ranged], shown: fn(f64) -> String) -> Rows {
    let ends = || items.iter().flat_map(|i| [i.low, i.value, i.high]);
    let (low, high) = (ends().fold(f64::INFINITY, f64::min), ends().fold(0.0, f64::max));
    let apart = low > 0.0 && high > 10.0 * low;
    let scale = if apart {
        Scale::logarithmic(low / 1.15, high * 1.15)
    } else {
        Scale::around(ends(), true)
    };
    let mut rows = Rows::new(label, scale);
    rows.tick = Some(shown);
    for item in items {
        let row = Row::new(&item.name, "");
        let row = if apart { row } else { row.bar(0.0, item.value, 0) };
        let row = row.whisker(item.low, item.high);
        let mut row = if apart { row.dot(item.value, 0) } else { row };
        row.value = data(item.value, &shown(item.value));
        rows.rows.push(row);
    }
    rows
}

/// Ratios to a reference (1) with their ranges, on a scale of factors.
pub fn ratios(label: &str, items: &[Ranged], reference: &str) -> Rows {
    let ends = || items.iter().flat_map(|i| [i.low, i.value, i.high]).filter(|v| *v > 0.0);
    let low = ends().fold(1.0, f64::min) / 1.15;
    let high = ends().fold(1.0, f64::max) * 1.15;
    let mut rows = Rows::new(label, Scale::logarithmic(low, high));
    rows.tick = Some(|v| format!("{v}\u{d7}"));
    rows.limits = vec![(1.0, reference.to_owned())];
    for item in items {
        let mut row = Row::new(&item.name, "").whisker(item.low, item.high).dot(item.value, 0);
        row.value = data(item.value, &format!("{:.2}\u{d7}", item.value));
        rows.rows.push(row);
    }
    rows
}

/// How often a value fell into each of `bins` equal ranges from the least to the most: both ends, and
/// the counts.
pub fn binned(values: &[f64], bins: usize) -> (f64, f64, Vec<u64>) {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    let (low, high) =
        finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.max(0.0) + 1.0) };
    let (low, high) = if low.is_finite() { (low, high) } else { (0.0, 1.0) };
    let bins = bins.max(1);
    let mut counts = vec![0_u64; bins];
    for value in finite() {
        let bin = ((value - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    (low, high, counts)
}

/// The [`binned`] values as columns.
pub fn histogram(
    label: &str,
    values: &[f64],
    bins: usize,
    shown: fn(f64) -> String,
    name: &str,
) -> Chart {
    let (low, high, counts) = binned(values, bins);
    let step = (high - low) / counts.len() as f64;
    let mut points: Vec<(f64, f64)> =
        counts.iter().enumerate().map(|(b, &n)| (low + step * b as f64, n as f64)).collect();
    points.push((high, 0.0));
    let most = counts.iter().copied().max().unwrap_or(0) as f64;
    Chart {
        label: label.to_owned(),
        x: Scale::linear(low, high),
        y: Scale::linear(0.0, most * 1.05),
        x_tick: (shown, name.to_owned()),
        y_tick: (|v| format!("{v:.0}"), "samples".to_owned()),
        series: vec![Series::new("", 0, Shape::Columns, &points)],
        limits: Vec::new(),
        height_px: 180,
    }
}

/// Points of which less is better both ways; those that none beats are joined.
pub fn pareto(
    label: &str,
    points: &[Point],
    x_tick: (fn(f64) -> String, &str),
    y_tick: (fn(f64) -> String, &str),
) -> Chart {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let (mut front, mut beaten, mut best) = (Vec::new(), Vec::new(), f64::INFINITY);
    for point in sorted {
        if point.y < best {
            best = point.y;
            front.push(point.clone());
        } else {
            beaten.push(point.clone());
        }
    }
    let line: Vec<(f64, f64)> = front.iter().map(|p| (p.x, p.y)).collect();
    let marks = |name: &str, colour, points| Series {
        name: name.to_owned(),
        colour,
        shape: Shape::Points,
        points,
    };
    let mut series = vec![Series::new("", 0, Shape::Line, &line)];
    series.push(marks("beaten by none", 0, front));
    if !beaten.is_empty() {
        series.push(marks("beaten in both", 7, beaten));
    }
    Chart {
        label: label.to_owned(),
        x: Scale::around(points.iter().map(|p| p.x), false),
        y: Scale::around(points.iter().map(|p| p.y), false),
        x_tick: (x_tick.0, x_tick.1.to_owned()),
        y_tick: (y_tick.0, y_tick.1.to_owned()),
        series,
        limits: Vec::new(),
        height_px: 280,
    }
}

/// Loads as shares of what each can carry, fullest first: `(name, share, value as shown)`.
pub fn loads(label: &str, items: &[(String, f64, String)]) -> Rows {
    let mut rows = Rows::new(label, Scale::linear(0.0, 1.0));
    rows.tick = Some(|v| format!("{:.0} %", 100.0 * v));
    let mut sorted: Vec<_> = items.iter().collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    for (name, share, shown) in sorted {
        let mut row = Row::new(name, "").bar(0.0, *share, if *share > 0.9 { 3 } else { 0 });
        row.value = text(shown);
        rows.rows.push(row);
    }
    rows
}
