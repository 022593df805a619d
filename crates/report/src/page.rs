//! Answers as one HTML file: no network, no script, light and dark, phone and paper.
//!
//! A page is put together in reading order and finished with the JSON answer it shows:
//!
//! ```
//! use report::page::{Fact, Page, Row, Rows, Scale, data};
//! let json = serde_json::json!({ "schema": "supernode.example/1", "step_s": 2.5 });
//! let mut page = Page::new("V4 on one pod", "8,192 x Ascend 950DT");
//! page.facts(&[Fact::new("step time", data(2.5, "2.50 s"), "2.1 .. 3.0 s")]);
//! page.section("Where the step goes");
//! page.say("Expert exchange is what shows.");
//! let mut rows = Rows::new("parts of the step", Scale::linear(0.0, 2.5));
//! rows.legend = vec![(0, "matrix products".to_owned()), (1, "exposed".to_owned())];
//! rows.rows.push(Row::new("rank 0", "2.50 s").bar(0.0, 2.0, 0).bar(2.0, 2.5, 1));
//! page.figure(&rows.draw(), "The slowest pipeline rank.");
//! let html = page.finish(&json);
//! assert!(html.contains("<data value=\"2.5\">2.50 s</data>"));
//! assert_eq!(report::page::shown_values(&html), [2.5]);
//! ```
//!
//! - [`Page`]: `facts`, `lead`, `section`, `heading`, `say`, `figure`, `table`, `html`, `finish`.
//! - [`data`]: a number as shown with the JSON's value beside it. Every number of an answer goes
//!   through it, and a page's test asks that each of [`shown_values`] is in its JSON.
//! - [`Rows`]: labelled lanes on one scale, with bars, whiskers, dots and limits: breakdowns, pipeline
//!   Gantt charts, memory by rank, link loads, tornadoes, ratios with intervals. [`pictures`] has a
//!   constructor for each.
//! - [`Chart`]: two axes with areas, lines, columns or labelled points: memory over time, histograms,
//!   Pareto fronts.
//! - [`Heat`]: a matrix of cells by strength: links by time or by place.
//! - [`Table`]: rows of text; [`Html`]: markup; [`text`] escapes.
//!
//! Colours are numbers 0..=9 of one palette ([`IDLE`] is the grey of waiting); the style sheet gives
//! them in both themes. Horizontal places are per cent, so that text keeps its size on a phone.

mod chart;
mod heat;
pub mod pictures;
mod rows;
mod scale;

pub use chart::{Chart, Point, Series, Shape};
pub use heat::Heat;
pub use rows::{Mark, Row, Rows};
pub use scale::Scale;

use serde_json::Value;

/// The colour of waiting.
pub const IDLE: usize = usize::MAX;

/// Markup that is safe to put into a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Html(pub String);

/// Text as markup.
///
/// ```
/// assert_eq!(report::page::text("a < b & \"c\"").0, "a &lt; b &amp; &quot;c&quot;");
/// ```
pub fn text(text: &str) -> Html {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, and nothing to see.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    Html(out)
}

/// A number of the JSON answer (`value`, exactly) as `shown` to people.
pub fn data(value: f64, shown: &str) -> Html {
    Html(format!("<data value=\"{value}\">{}</data>", text(shown).0))
}

/// The value of every [`data`] of a page, in order.
pub fn shown_values(html: &str) -> Vec<f64> {
    html.split("<data value=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next()?.parse().ok())
        .collect()
}

/// A headline figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// The figure.
    pub value: Html,
    /// Its range or a remark.
    pub note: String,
}

impl Fact {
    /// A figure under its name, with its range or a remark.
    pub fn new(name: &str, value: Html, note: &str) -> Self {
        Self { name: name.to_owned(), value, note: note.to_owned() }
    }
}

/// A table; the first `left` columns are aligned left, the others right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Headings.
    pub head: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<Html>>,
    /// Columns of words.
    pub left: usize,
}

/// Columns that a phone has room for.
const FEW: usize = 6;

/// A page under construction.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page with its headline and a line below it.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let body =
            format!("<h1>{}</h1>\n<p class=\"sub\">{}</p>\n", text(title).0, text(subtitle).0);
        Self { title: title.to_owned(), body }
    }

    /// Headline figures as cards.
    pub fn facts(&mut self, facts: &[Fact]) {
        self.body.push_str("<div class=\"facts\">\n");
        for fact in facts {
            self.body.push_str(&format!(
                "<div class=\"fact\"><span class=\"name\">{}</span><b>{}</b><span>{}</span></div>\n",
                text(&fact.name).0,
                fact.value.0,
                text(&fact.note).0
            ));
        }
        self.body.push_str("</div>\n");
    }

    /// A new section.
    pub fn section(&mut self, heading: &str) {
        self.body.push_str(&format!("<h2>{}</h2>\n", text(heading).0));
    }

    /// A heading inside a section.
    pub fn heading(&mut self, heading: &str) {
        self.body.push_str(&format!("<h3>{}</h3>\n", text(heading).0));
    }

    /// A paragraph of markup that gives the answer.
    pub fn lead(&mut self, answer: &Html) {
        self.html(&Html(format!("<p class=\"lead\">{}</p>", answer.0)));
    }

    /// A paragraph.
    pub fn say(&mut self, sentence: &str) {
        self.html(&Html(format!("<p>{}</p>", text(sentence).0)));
    }

    /// A picture with its caption.
    pub fn figure(&mut self, picture: &Html, caption: &str) {
        let caption = text(caption).0;
        self.body.push_str(&format!(
            "<figure>\n{}<figcaption>{caption}</figcaption></figure>\n",
            picture.0
        ));
    }

    /// A table.
    pub fn table(&mut self, table: &Table) {
        let class = |c: usize| if c < table.left { " class=\"left\"" } else { "" };
        // Rows of words only, or of many numbers, go under each other on a phone.
        let words = match table.head.len() {
            columns if columns == table.left => " class=\"words\"",
            columns if columns > FEW => " class=\"words many\"",
            _ => "",
        };
        self.body.push_str(&format!("<div class=\"table\"><table{words}>\n"));
        if !table.head.is_empty() {
            self.body.push_str("<thead><tr>");
            for (c, cell) in table.head.iter().enumerate() {
                self.body.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(c), text(cell).0));
            }
            self.body.push_str("</tr></thead>\n");
        }
        self.body.push_str("<tbody>\n");
        for row in &table.rows {
            self.body.push_str("<tr>");
            for (c, cell) in row.iter().enumerate() {
                // There a row is a list, whose items need their heading.
                let label = match table.head.get(c) {
                    Some(head) if c > 0 && !words.is_empty() && !head.is_empty() => {
                        format!(" data-label=\"{}\"", text(head).0)
                    }
                    _ => String::new(),
                };
                self.body.push_str(&format!("<td{}{label}>{}</td>", class(c), cell.0));
            }
            self.body.push_str("</tr>\n");
        }
        self.body.push_str("</tbody></table></div>\n");
    }

    /// Any markup.
    pub fn html(&mut self, html: &Html) {
        self.body.push_str(&html.0);
        self.body.push('\n');
    }

    /// The file: the page with the JSON answer it shows inside.
    pub fn finish(self, json: &Value) -> String {
        let stamp = |key: &str| text(json[key].as_str().unwrap_or("?")).0;
        // `</` would end the element early; `<\/` is the same string in JSON.
        let embedded = json.to_string().replace("</", "<\\/").replace("<!--", "<\\u0021--");
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"generator\" content=\"supernode {version}\">\n\
             <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n\
             <footer><p>supernode {version}, {schema}, input {hash}. The answer is in this file as JSON, \
             in the element <code>#answer</code>.</p></footer>\n\
             <script type=\"application/json\" id=\"answer\">{embedded}</script>\n</body>\n</html>\n",
            version = stamp("version"),
            schema = stamp("schema"),
            hash = stamp("input_hash"),
            title = text(&self.title).0,
            style = include_str!("page/style.css"),
            body = self.body,
        )
    }
}

/// The style class of a filled colour.
fn fill(colour: usize) -> String {
    if colour == IDLE { "idle".to_owned() } else { format!("f{}", colour % 10) }
}

/// A per cent with at most three decimals.
fn percent(share: f64) -> String {
    let text = format!("{:.3}", 100.0 * share);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}%", if text == "-0" { "0" } else { text })
}

/// A legend of colours.
fn legend(entries: &[(usize, String)]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut out = String::from("<ul class=\"legend\">");
    for (colour, name) in entries {
        out.push_str(&format!(
            "<li><svg aria-hidden=\"true\"><rect class=\"{}\" width=\"100%\" height=\"100%\"/></svg>{}</li>",
            fill(*colour),
            text(name).0
        ));
    }
    out.push_str("</ul>\n");
    out
}
