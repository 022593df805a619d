//! A matrix of cells by strength.

use super::{Html, percent, text};

/// Named lines of cells; a cell's strength is a share of one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// Name and cells of each line; `None` is no cell.
    pub lines: Vec<(String, Vec<Option<f64>>)>,
    /// What full strength means, for the legend.
    pub full: String,
    /// Written under the first and the last column.
    pub ends: (String, String),
}

impl Heat {
    /// The picture. Strength is opacity of one colour; more than all (above 1) shows as all.
    pub fn draw(&self) -> Html {
        let mut out =
            format!("<div class=\"rows\" role=\"group\" aria-label=\"{}\">\n", text(&self.label).0);
        for (name, cells) in &self.lines {
            let most = cells.iter().flatten().copied().fold(0.0, f64::max);
            out.push_str(&format!(
                "<span class=\"name\">{}</span><svg height=\"18\" aria-hidden=\"true\">{}</svg>\
                 <span class=\"value\">{:.0} %</span>\n",
                text(name).0,
                cells_of(cells),
                100.0 * most
            ));
        }
        out.push_str(&format!(
            "<span></span><svg height=\"16\" aria-hidden=\"true\"><text y=\"12\">{}</text>\
             <text x=\"100%\" y=\"12\" text-anchor=\"end\">{}</text></svg><span></span>\n</div>\n\
             <ul class=\"legend\"><li><svg aria-hidden=\"true\"><rect class=\"f3\" width=\"100%\" \
             height=\"100%\"/></svg>{}</li></ul>\n",
            text(&self.ends.0).0,
            text(&self.ends.1).0,
            text(&self.full).0
        ));
        Html(out)
    }
}

fn cells_of(cells: &[Option<f64>]) -> String {
    let count = cells.len().max(1) as f64;
    let mut out = String::from("<rect class=\"idle\" width=\"100%\" y=\"1\" height=\"16\"/>");
    let mut from = 0;
    while from < cells.len() {
        // Neighbours that look the same are one rectangle.
        let shade = |c: &Option<f64>| c.map(|s| (s.clamp(0.0, 1.0) * 50.0).round() as u32);
        let shown = shade(&cells[from]);
        let same = cells[from..].iter().take_while(|c| shade(c) == shown).count();
        if let Some(level) = shown.filter(|l| *l > 0) {
            out.push_str(&format!(
                "<rect class=\"f3\" fill-opacity=\"{:.2}\" x=\"{}\" width=\"{}\" y=\"1\" height=\"16\"/>",
                f64::from(level) / 50.0,
                percent(from as f64 / count),
                percent(same as f64 / count)
            ));
        }
        from += same;
    }
    out
}
