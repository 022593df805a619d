//! Two axes.

use super::{Html, Scale, fill, legend, percent, text};

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A line from point to point.
    Line,
    /// A value that holds until the next point, with the area below it shaded.
    Steps,
    /// A column from each point to the next point's place; the last point only closes.
    Columns,
    /// Points with their labels.
    Points,
}

/// A point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Along.
    pub x: f64,
    /// Up.
    pub y: f64,
    /// Written beside it; may be empty.
    pub label: String,
}

/// Points of one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// For the legend; may be empty.
    pub name: String,
    /// Colour.
    pub colour: usize,
    /// How it is drawn.
    pub shape: Shape,
    /// In order along.
    pub points: Vec<Point>,
}

impl Series {
    /// Points without labels.
    pub fn new(name: &str, colour: usize, shape: Shape, points: &[(f64, f64)]) -> Self {
        let points = points.iter().map(|&(x, y)| Point { x, y, label: String::new() }).collect();
        Self { name: name.to_owned(), colour, shape, points }
    }
}

/// A picture with two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// Along.
    pub x: Scale,
    /// Up.
    pub y: Scale,
    /// How a place along is written, and what it is.
    pub x_tick: (fn(f64) -> String, String),
    /// How a height is written, and what it is.
    pub y_tick: (fn(f64) -> String, String),
    /// What is drawn, in order.
    pub series: Vec<Series>,
    /// Horizontal lines with a name each.
    pub limits: Vec<(f64, String)>,
    /// Height of the plot in pixels.
    pub height_px: u32,
}

/// Width of the space that stretched shapes are drawn in.
const WIDTH: f64 = 10_000.0;

impl Chart {
    /// The picture.
    pub fn draw(&self) -> Html {
        let height = f64::from(self.height_px);
        let mut out = format!(
            "<svg class=\"chart\" height=\"{}\" role=\"img\" aria-label=\"{}\">",
            self.height_px + 36,
            text(&self.label).0
        );
        for at in self.y.ticks(5) {
            let y = self.up(at);
            out.push_str(&format!(
                "<line class=\"grid\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                y + 4.0,
                text(&self.y_tick.0(at)).0
            ));
        }
        for at in self.x.ticks(6) {
            let place = self.x.place(at);
            let anchor = match place {
                p if p < 0.03 => "start",
                p if p > 0.95 => "end",
                _ => "middle",
            };
            out.push_str(&format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                percent(place),
                height + 14.0,
                text(&self.x_tick.0(at)).0
            ));
        }
        for series in &self.series {
            out.push_str(&self.series(series));
        }
        for (at, name) in &self.limits {
            let y = self.up(*at);
            out.push_str(&format!(
                "<line class=\"limit\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"ink\" x=\"100%\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                if y > 14.0 { y - 4.0 } else { y + 12.0 },
                text(name).0
            ));
        }
        out.push_str(&format!(
            "<text x=\"100%\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"0\" y=\"{}\">{}</text></svg>\n",
            height + 30.0,
            text(&format!("{} \u{2192}", self.x_tick.1)).0,
            height + 30.0,
            text(&format!("\u{2191} {}", self.y_tick.1)).0
        ));
        let named = self.series.iter().filter(|s| !s.name.is_empty());
        out.push_str(&legend(&named.map(|s| (s.colour, s.name.clone())).collect::<Vec<_>>()));
        Html(out)
    }

    fn up(&self, value: f64) -> f64 {
        f64::from(self.height_px) * (1.0 - self.y.place(value))
    }

    fn series(&self, series: &Series) -> String {
        let points = &series.points;
        match series.shape {
            Shape::Points => points.iter().map(|p| self.point(p, series.colour)).collect(),
            Shape::Columns => points.windows(2).map(|p| self.column(p, series.colour)).collect(),
            Shape::Line | Shape::Steps => self.path(series),
        }
    }

    fn column(&self, pair: &[Point], colour: usize) -> String {
        let (from, to) = (self.x.place(pair[0].x), self.x.place(pair[1].x));
        let y = self.up(pair[0].y);
        format!(
            "<rect class=\"{}\" x=\"{}\" width=\"{}\" y=\"{y:.1}\" height=\"{:.1}\"/>",
            fill(colour),
            percent(from),
            percent((to - from) * 0.94),
            f64::from(self.height_px) - y
        )
    }

    fn point(&self, point: &Point, colour: usize) -> String {
        let (place, y) = (self.x.place(point.x), self.up(point.y));
        let (anchor, shift) = if place > 0.7 { ("end", -8) } else { ("start", 8) };
        let label = text(&point.label).0;
        format!(
            "<circle class=\"{}\" cx=\"{x}\" cy=\"{y:.1}\" r=\"5\"><title>{label}</title></circle>\
             <text class=\"ink\" x=\"{x}\" y=\"{:.1}\" dx=\"{shift}\" text-anchor=\"{anchor}\">{label}</text>",
            fill(colour),
            y + 4.0,
            x = percent(place),
        )
    }

    /// A line in a space that is stretched to the picture's width.
    fn path(&self, series: &Series) -> String {
        let Some(first) = series.points.first() else { return String::new() };
        let x = |p: &Point| WIDTH * self.x.place(p.x);
        let mut line = format!("M{:.0} {:.1}", x(first), self.up(first.y));
        for point in &series.points[1..] {
            if series.shape == Shape::Steps {
                line.push_str(&format!("H{:.0}V{:.1}", x(point), self.up(point.y)));
            } else {
                line.push_str(&format!("L{:.0} {:.1}", x(point), self.up(point.y)));
            }
        }
        let height = self.height_px;
        let mut out = format!(
            "<svg width=\"100%\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             preserveAspectRatio=\"none\">"
        );
        if series.shape == Shape::Steps {
            out.push_str(&format!(
                "<path class=\"under {}\" d=\"{line}V{height}H{:.0}Z\"/>",
                fill(series.colour),
                x(first)
            ));
        }
        out.push_str(&format!(
            "<path class=\"trend s{}\" d=\"{line}\"/></svg>",
            series.colour % 10
        ));
        out
    }
}
