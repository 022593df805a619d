//! A topology drawn: one panel a level, innermost first, with the members it joins.

use crate::fabric_page::layout_word;
use fabric::{Layout, Level, Network, Survey};
use std::fmt::Write as _;
use units::{Unit, format_quantity, format_seconds};

/// Width and height of a panel, and where its drawing stands. Pixels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 380.0;
/// Most members drawn of one level.
const DRAWN: u32 = 16;

/// The picture, self-contained.
pub fn topology_svg(network: &Network, survey: &Survey) -> String {
    let topology = network.topology();
    let width = WIDTH * topology.levels.len() as f64 + 20.0;
    let height = HEIGHT + 80.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
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
        let left = 10.0 + WIDTH * index as f64;
        panel(&mut out, left, level, &below, leaves);
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

fn panel(out: &mut String, left: f64, level: &Level, below: &str, planes: u32) {
    let drawn = level.fan.min(DRAWN);
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
        "<rect x=\"{}\" y=\"64\" width=\"{}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#ccc\"/>",
        left + 4.0,
        WIDTH - 8.0
    );
    for (line, words) in caption.iter().enumerate() {
        text(out, left + 16.0, 86.0 + 18.0 * line as f64, 13, words);
    }
    if level.fan > drawn {
        text(
            out,
            left + 16.0,
            64.0 + HEIGHT - 10.0,
            11,
            &format!("{drawn} of {} drawn", level.fan),
        );
    }
    let (middle, centre) = (left + WIDTH / 2.0, 290.0);
    match level.layout {
        Layout::FullMesh | Layout::Ring | Layout::Dragonfly => {
            circle_of(out, middle, centre, drawn, level);
        }
        Layout::Switch { planes } => rows(out, middle, centre, drawn, planes.min(DRAWN)),
        Layout::Rail => rows(out, middle, centre, drawn, 1),
        Layout::Trunk { spines, .. } => {
            rows(out, middle, centre, drawn, (spines * planes.max(1)).min(DRAWN));
        }
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
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"#b5541c\"/>",
            x - 6.0,
            y - 6.0
        );
    }
}

fn member(out: &mut String, (x, y): (f64, f64)) {
    let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\" fill=\"#1f5fa8\"/>");
}

fn line(out: &mut String, (a, b): (f64, f64), (c, d): (f64, f64)) {
    let _ = writeln!(
        out,
        "<line x1=\"{a:.1}\" y1=\"{b:.1}\" x2=\"{c:.1}\" y2=\"{d:.1}\" stroke=\"#888\" \
         stroke-width=\"0.7\"/>"
    );
}

fn text(out: &mut String, x: f64, y: f64, size: u32, words: &str) {
    let safe = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\">{safe}</text>");
}
