//! Labelled lanes on one scale.

use super::{Html, Scale, fill, legend, percent, text};

/// Something drawn in a lane. Places are values of the scale.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// A filled span; `title` is shown when pointed at, `inside` is written on it if it is wide enough.
    Bar {
        /// Where it begins.
        from: f64,
        /// Where it ends.
        to: f64,
        /// Its colour.
        colour: usize,
        /// Shown when pointed at; may be empty.
        title: String,
        /// Written on it; may be empty.
        inside: String,
    },
    /// A range as a thin line with ends.
    Whisker {
        /// Its low end.
        low: f64,
        /// Its high end.
        high: f64,
    },
    /// A value.
    Dot {
        /// Where.
        at: f64,
        /// Its colour.
        colour: usize,
    },
}

/// One lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Written before it.
    pub name: String,
    /// Written after it.
    pub value: Html,
    /// Drawn in it, in order.
    pub marks: Vec<Mark>,
    /// A heading above it, if a new group of lanes begins here.
    pub group: Option<String>,
}

impl Row {
    /// An empty lane with what stands before and after it.
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: text(value), ..Self::default() }
    }

    /// With a filled span.
    #[must_use]
    pub fn bar(mut self, from: f64, to: f64, colour: usize) -> Self {
        self.marks.push(Mark::Bar {
            from,
            to,
            colour,
            title: String::new(),
            inside: String::new(),
        });
        self
    }

    /// With a range.
    #[must_use]
    pub fn whisker(mut self, low: f64, high: f64) -> Self {
        self.marks.push(Mark::Whisker { low, high });
        self
    }

    /// With a value.
    #[must_use]
    pub fn dot(mut self, at: f64, colour: usize) -> Self {
        self.marks.push(Mark::Dot { at, colour });
        self
    }
}

/// Lanes under each other on one scale.
#[derive(Clone, Debug)]
pub struct Rows {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// The common scale.
    pub scale: Scale,
    /// How a tick is written; without it there is no axis.
    pub tick: Option<fn(f64) -> String>,
    /// The lanes.
    pub rows: Vec<Row>,
    /// Vertical lines through all lanes, with a name each.
    pub limits: Vec<(f64, String)>,
    /// Colours and what they mean.
    pub legend: Vec<(usize, String)>,
    /// Height of a lane in pixels.
    pub height_px: u32,
    /// Whether names are sentences, which go above their lane on a phone.
    pub long_names: bool,
    /// Whether lanes need room, so that a phone scrolls sideways.
    pub wide: bool,
}

impl Rows {
    /// No lanes yet.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.to_owned(),
            scale,
            tick: None,
            rows: Vec::new(),
            limits: Vec::new(),
            legend: Vec::new(),
            height_px: 20,
            long_names: false,
            wide: false,
        }
    }

    /// The picture.
    pub fn draw(&self) -> Html {
        let names = if self.long_names { " named" } else { "" };
        let wide = if self.wide { " wide" } else { "" };
        let mut out = format!(
            "<div class=\"scroll\"><div class=\"rows{names}{wide}\" role=\"group\" aria-label=\"{}\">\n",
            text(&self.label).0
        );
        for row in &self.rows {
            if let Some(group) = &row.group {
                out.push_str(&format!("<span class=\"group\">{}</span>\n", text(group).0));
            }
            out.push_str(&format!(
                "<span class=\"name\">{}</span>{}<span class=\"value\">{}</span>\n",
                text(&row.name).0,
                self.lane(row),
                row.value.0
            ));
        }
        out.push_str(&self.axis());
        out.push_str("</div></div>\n");
        out.push_str(&legend(&self.legend));
        Html(out)
    }

    fn vertical(&self, at: f64, class: &str) -> String {
        let x = percent(self.scale.place(at));
        format!("<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y2=\"100%\"/>")
    }

    fn lane(&self, row: &Row) -> String {
        let height = self.height_px;
        let mut out = format!("<svg height=\"{height}\" aria-hidden=\"true\">");
        if self.tick.is_some() {
            for at in self.scale.ticks(5) {
                out.push_str(&self.vertical(at, "grid"));
            }
        }
        for mark in &row.marks {
            out.push_str(&self.mark(mark));
        }
        for (at, _) in &self.limits {
            out.push_str(&self.vertical(*at, "limit"));
        }
        out.push_str("</svg>");
        out
    }

    fn mark(&self, mark: &Mark) -> String {
        let place = |value: f64| self.scale.place(value);
        let (height, middle) = (self.height_px, f64::from(self.height_px) / 2.0);
        match mark {
            Mark::Bar { from, to, colour, title, inside } => {
                let (low, high) = (place(from.min(*to)), place(from.max(*to)));
                // What is written on is cut from its neighbours.
                let cut = if inside.is_empty() { "" } else { " cut" };
                let mut out = format!(
                    "<rect class=\"{}{cut}\" x=\"{}\" width=\"{}\" y=\"1\" height=\"{}\"",
                    fill(*colour),
                    percent(low),
                    percent(high - low),
                    height - 2
                );
                if title.is_empty() {
                    out.push_str("/>");
                } else {
                    out.push_str(&format!("><title>{}</title></rect>", text(title).0));
                }
                if !inside.is_empty() && high - low >= 0.011 * inside.chars().count() as f64 {
                    out.push_str(&format!(
                        "<text class=\"on\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                        percent(f64::midpoint(low, high)),
                        middle + 3.0,
                        text(inside).0
                    ));
                }
                out
            }
            Mark::Whisker { low, high } => {
                let (low, high) = (percent(place(*low)), percent(place(*high)));
                let (top, bottom) = (middle - 4.0, middle + 4.0);
                format!(
                    "<line class=\"mark\" x1=\"{low}\" x2=\"{high}\" y1=\"{middle}\" y2=\"{middle}\"/>\
                     <line class=\"mark\" x1=\"{low}\" x2=\"{low}\" y1=\"{top}\" y2=\"{bottom}\"/>\
                     <line class=\"mark\" x1=\"{high}\" x2=\"{high}\" y1=\"{top}\" y2=\"{bottom}\"/>"
                )
            }
            Mark::Dot { at, colour } => format!(
                "<circle class=\"{}\" cx=\"{}\" cy=\"{middle}\" r=\"4.5\"/>",
                fill(*colour),
                percent(place(*at))
            ),
        }
    }

    fn axis(&self) -> String {
        let mut labels: Vec<(f64, String, &str)> = Vec::new();
        if let Some(tick) = self.tick {
            labels.extend(self.scale.ticks(5).into_iter().map(|at| (at, tick(at), "")));
        }
        let named = self.limits.iter().filter(|(_, name)| !name.is_empty());
        let limits: Vec<_> = named.map(|(at, name)| (*at, name.clone(), "ink")).collect();
        if labels.is_empty() && limits.is_empty() {
            return String::new();
        }
        let lines = usize::from(!labels.is_empty()) + usize::from(!limits.is_empty());
        let mut out = format!(
            "<span class=\"axis-pad\"></span><svg height=\"{}\" aria-hidden=\"true\">",
            16 * lines
        );
        let first = if labels.is_empty() { 12 } else { 28 };
        for (list, y) in [(labels, 12), (limits, first)] {
            for (at, label, class) in list {
                let place = self.scale.place(at);
                // A long name may not reach over an edge, on a phone either.
                let room = 0.009 * label.chars().count() as f64;
                let anchor = match place {
                    p if p < room.clamp(0.04, 0.5) => "start",
                    p if p > 1.0 - room.clamp(0.1, 0.5) => "end",
                    _ => "middle",
                };
                out.push_str(&format!(
                    "<text class=\"{class}\" x=\"{}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
                    percent(place),
                    text(&label).0
                ));
            }
        }
        out.push_str("</svg><span class=\"axis-end\"></span>\n");
        out
    }
}
