//! The pictures, with awkward input.

use report::page::pictures::{
    Ranged, Swing, histogram, intervals, loads, pareto, ratios, stacked, tornado,
};
use report::page::{Fact, Heat, Page, Point, Table, data, text};
use serde_json::json;

fn seconds(value: f64) -> String {
    format!("{value} s")
}

#[test]
fn pictures_hold_with_senseless_values() {
    let bad = [0.0, -1.0, 1e-300, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let mut page = Page::new("<a> & \"b\"", "\u{0}</main>");
    page.facts(&[Fact::new("</span>", data(1.0, "<1>"), "'")]);
    for &a in &bad {
        for &b in &bad {
            let one = [Ranged { name: "<x>".to_owned(), value: a, low: b, high: a }];
            let point = [Point { x: a, y: b, label: "</svg>".to_owned() }];
            let swing = [Swing { name: "&".to_owned(), at_low: a, at_high: b }];
            let bars = [("]]>".to_owned(), text("<"), vec![a, b])];
            let picture = [
                intervals("\"", &one, seconds).draw(),
                ratios("x", &one, "ref").draw(),
                tornado("x", a, &swing, seconds).draw(),
                stacked("x", &bars, &["a"], seconds).draw(),
                loads("x", &[("l".to_owned(), a, String::new())]).draw(),
                pareto("x", &point, (seconds, "x"), (seconds, "y")).draw(),
                histogram("x", &[a, b], 4, seconds, "x").draw(),
            ];
            for html in picture {
                // Numbers are written as they are; places must be numbers.
                for place in html.0.split(['"', ' ']).filter(|p| p.ends_with('%')) {
                    assert!(
                        place.trim_end_matches('%').parse::<f64>().is_ok_and(f64::is_finite),
                        "{place}"
                    );
                }
                page.figure(&html, "<caption>");
            }
        }
    }
    let lines = vec![("l".to_owned(), vec![None, Some(f64::NAN), Some(2.0), Some(0.5)])];
    page.figure(&Heat { lines, ..Heat::default() }.draw(), "");
    page.figure(&Heat::default().draw(), "");
    page.table(&Table::default());
    let html = page.finish(&json!({ "schema": "</script><b>" }));
    let body = &html[html.find("<main>").unwrap()..html.find("</main>").unwrap()];
    roxmltree::Document::parse(&format!("{body}</main>")).expect("well-formed markup");
    assert_eq!(html.matches("</script>").count(), 1);
}

#[test]
fn the_pareto_front_is_what_none_beats() {
    let points: Vec<Point> = [(1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (4.0, 1.0), (2.0, 6.0)]
        .iter()
        .map(|&(x, y)| Point { x, y, label: format!("{x}/{y}") })
        .collect();
    let chart = pareto("plans", &points, (seconds, "step"), (seconds, "cost"));
    let front: Vec<(f64, f64)> = chart.series[1].points.iter().map(|p| (p.x, p.y)).collect();
    assert_eq!(front, [(1.0, 5.0), (2.0, 3.0), (4.0, 1.0)]);
    assert_eq!(chart.series[2].points.len(), 2);
}

#[test]
fn a_histogram_counts_every_sample_once() {
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    let chart = histogram("days", &values, 7, seconds, "days");
    let columns = &chart.series[0].points;
    assert_eq!(columns.len(), 8);
    assert_eq!(columns.iter().map(|p| p.y).sum::<f64>(), 1000.0);
    assert!(columns[..7].iter().all(|p| (142.0..=143.0).contains(&p.y)));
}
