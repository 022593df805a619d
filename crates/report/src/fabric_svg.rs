//! A topology drawn: one panel a level, innermost first, with the members it joins.

use crate::fabric_page::layout_word;
use fabric::{Layout, Level, Network, Survey};
use std::fmt::Write as _;
use units::{Unit, format_quantity, format_seconds};

/// Width and height of a panel, and where its drawing stands. Pixels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 380.0;
/// Panels side by side.
const COLUMNS: usize = 3;
/// Most members and most switches drawn of one level.
const DRAWN: u32 = 16;
const DRAWN_SWITCHES: u32 = 8;

/// Colours by what is drawn, for a light and a dark page.
const STYLE: &str = "<style>\n\
    svg { --page: #ffffff; --ink: #1a1a1a; --faint: #c8c8c8; --link: #888888; --member: #1f5fa8; \
    --switch: #b5541c }\n\
    @media (prefers-color-scheme: dark) { svg { --page: #15181c; --ink: #e6e6e6; --faint: #444a52; \
    --link: #7d8590; --member: #6fb0f2; --switch: #f0945a } }\n\
    text { fill: var(--ink) }\n\
    line { stroke: var(--link); stroke-width: 0.7 }\n\
    circle { fill: var(--member) }\n\
    .page { fill: var(--page) }\n\
    .panel { fill: none; stroke: var(--faint) }\n\
    .switch { fill: var(--switch) }\n\
    </style>\n";

/// The picture, self-contained.
pub fn topology_svg(network: &Network, survey: &Survey) -> String {
    let topology = network.topology();
    let panels = topology.levels.len();
    let width = WIDTH * panels.min(COLUMNS) as f64 + 20.0;
    let height = HEIGHT * panels.div_ceil(COLUMNS) as f64 + 80.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         {STYLE}<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    text(&mut out, 20.0, 26.0, 16, &topology.name);
    let summary = format!(
        "{} chips, {} switches, diameter {} links ({}), bisection {}",
        survey.endpoints,
        survey.switches,
        survey.diameter.0,
        format_seconds(survey.diameter.1 as f64 * 1e-12),
        format_quantity(survey.bisection_bytes_per_s, Unit::BytePerSecond),
    );
    text(&mut out, 20.0, 46.0, 13, &summary);
    let mut below = "chip".to_owned();
    let mut leaves = 0;
    for (index, level) in topology.levels.iter().enumerate() {
        let left = 10.0 + WIDTH * (index % COLUMNS) as f64;
        let top = 64.0 + HEIGHT * (index / COLUMNS) as f64;
        panel(&mut out, (left, top), level, &below, leaves);
        below.clone_from(&level.name);
        leaves = match level.layout {
            Layout::Switch { planes } => planes,
            Layout::Trunk { .. } => leaves,
            _ => 0,
        };
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, (left, top): (f64, f64), level: &Level, below: &str, planes: u32) {
    let drawn = level.fan.min(DRAWN);
    let switches = match level.layout {
        Layout::Switch { planes } => planes,
        Layout::Rail => 1,
        Layout::Trunk { spines, .. } => spines.saturating_mul(planes.max(1)),
        Layout::FullMesh | Layout::Ring | Layout::Dragonfly => 0,
    };
    let caption = [
        format!("{}: {} x {below}", level.name, level.fan),
        layout_word(level.layout),
        format!(
            "link {}, {}",
            format_quantity(level.link_bytes_per_s, Unit::BytePerSecond),
            format_seconds(level.latency_ps as f64 * 1e-12)
        ),
    ];
    let _ = writeln!(
        out,
        "<rect class=\"panel\" x=\"{}\" y=\"{top}\" width=\"{}\" height=\"{}\"/>",
        left + 4.0,
        WIDTH - 8.0,
        HEIGHT - 8.0
    );
    for (line, words) in caption.iter().enumerate() {
        text(out, left + 16.0, top + 22.0 + 18.0 * line as f64, 13, words);
    }
    let of = |drawn: u32, all: u32, what: &str| {
        (all > drawn).then(|| format!("{drawn} of {all} {what}"))
    };
    let left_out: Vec<String> =
        [of(drawn, level.fan, "members"), of(DRAWN_SWITCHES, switches, "switches")]
            .into_iter()
            .flatten()
            .collect();
    if !left_out.is_empty() {
        let words = format!("drawn: {}", left_out.join(", "));
        text(out, left + 16.0, top + HEIGHT - 18.0, 11, &words);
    }
    let (middle, centre) = (left + WIDTH / 2.0, top + 222.0);
    match level.layout {
        Layout::FullMesh | Layout::Ring | Layout::Dragonfly => {
            circle_of(out, middle, centre, drawn, level);
        }
        _ => rows(out, middle, centre, drawn, switches.min(DRAWN_SWITCHES)),
    }
}

/// Members on a circle, joined to all or to neighbours.
fn circle_of(out: &mut String, x: f64, y: f64, members: u32, level: &Level) {
    let place = |i: u32| {
        let angle = f64::from(i) / f64::from(members) * std::f64::consts::TAU;
        (x + 110.0 * libm::sin(angle), y - 110.0 * libm::cos(angle))
    };
    for a in 0..members {
        for b in a + 1..members {
            let near = b == a + 1 || (a == 0 && b + 1 == members && members == level.fan);
            if level.layout != Layout::Ring || near {
                line(out, place(a), place(b));
            }
        }
    }
    for i in 0..members {
        member(out, place(i));
    }
}

/// Members below, switches above, each member to each switch.
fn rows(out: &mut String, x: f64, y: f64, members: u32, switches: u32) {
    let place = |i: u32, n: u32, y: f64| {
        (x + (f64::from(i) + 0.5 - f64::from(n) / 2.0) * 250.0 / f64::from(n), y)
    };
    for m in 0..members {
        for s in 0..switches {
            line(out, place(m, members, y + 90.0), place(s, switches, y - 90.0));
        }
    }
    for m in 0..members {
        member(out, place(m, members, y + 90.0));
    }
    for s in 0..switches {
        let (x, y) = place(s, switches, y - 90.0);
        let _ = writeln!(
            out,
            "<rect class=\"switch\" x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\"/>",
            x - 6.0,
            y - 6.0
        );
    }
}

fn member(out: &mut String, (x, y): (f64, f64)) {
    let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>");
}

fn line(out: &mut String, (a, b): (f64, f64), (c, d): (f64, f64)) {
    let _ = writeln!(out, "<line x1=\"{a:.1}\" y1=\"{b:.1}\" x2=\"{c:.1}\" y2=\"{d:.1}\"/>");
}

fn text(out: &mut String, x: f64, y: f64, size: u32, words: &str) {
    let safe = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\">{safe}</text>");
}
