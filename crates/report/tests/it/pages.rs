//! Whole pages of shipped scenarios.

use report::Stamp;
use report::page::shown_values;
use serde_json::Value;

/// Every number in a JSON value.
fn numbers(value: &Value, out: &mut Vec<f64>) {
    match value {
        Value::Number(n) => out.extend(n.as_f64()),
        Value::Array(items) => items.iter().for_each(|v| numbers(v, out)),
        Value::Object(map) => map.values().for_each(|v| numbers(v, out)),
        _ => {}
    }
}

/// Checks what every page promises; returns its markup as one tree's text.
pub fn check(html: &str, json: &Value) {
    let mut known = Vec::new();
    numbers(json, &mut known);
    let shown = shown_values(html);
    assert!(!shown.is_empty(), "a page without a number");
    for value in shown {
        assert!(known.contains(&value), "{value} is shown and not in the JSON");
    }
    let between = |from: &str, to: &str| {
        let rest = html.split_once(from).expect("the element begins").1;
        rest.split_once(to).expect("the element ends").0
    };
    let body = format!("<main>{}</main>", between("<main>", "</main>"));
    roxmltree::Document::parse(&body).expect("well-formed markup");
    // Links may point out of the file; nothing may be fetched to show it.
    for word in ["<link", "<img", "src=", "@import", "url(", "<iframe", "NaN", "inf%"] {
        assert!(!html.contains(word), "a page with `{word}`");
    }
    let embedded = between("id=\"answer\">", "</script>");
    let embedded = embedded.replace("<\\/", "</").replace("<\\u0021--", "<!--");
    let whole = json.to_string();
    assert!(embedded == whole, "the page holds the whole answer");
}

#[test]
fn a_page_shows_the_numbers_of_its_json() {
    for id in ["deepseek-v3-on-h800", "llama-3.1-405b-on-h100"] {
        let text = catalog::text(catalog::Kind::Scenario, id).unwrap();
        let none = |path: &str| Err(format!("cannot read `{path}`"));
        let scenario = scenario::load(id, text, &[], &none).unwrap().scenario;
        let rehearsal = engine::rehearse(&scenario).unwrap();
        let stamp = |schema| Stamp { schema, version: "0.1.0", input_hash: "0".repeat(32) };
        let json = report::rehearse_json(&stamp("supernode.rehearse/1"), &scenario, &rehearsal);
        check(&report::rehearse_page(&json, &scenario, &rehearsal, None), &json);
        let json = report::check_json(&stamp("supernode.plan-check/1"), &scenario, &rehearsal);
        check(&report::check_page(&json, &scenario, &rehearsal), &json);
    }
}

#[test]
fn a_page_of_events_shows_the_numbers_of_its_json() {
    let id = "deepseek-v3-on-h800";
    let text = catalog::text(catalog::Kind::Scenario, id).unwrap();
    let none = |path: &str| Err(format!("cannot read `{path}`"));
    let scenario = scenario::load(id, text, &[], &none).unwrap().scenario;
    let options = engine::FlowOptions { recorded: true, ..engine::FlowOptions::default() };
    let (rehearsal, answers) = engine::rehearse_flow(&scenario, &options).unwrap();
    let input_hash = "0".repeat(32);
    let stamp = Stamp { schema: "supernode.rehearse/1", version: "0.1.0", input_hash };
    let json = report::flow_json(&stamp, &scenario, &rehearsal, &answers);
    let page = report::rehearse_page(&json, &scenario, &rehearsal, Some(&answers[rehearsal.main]));
    check(&page, &json);
    // Sixteen ranks of 120 micro-batches, and a page that a phone can load.
    assert!(page.contains("pipeline 15") && page.len() < 1_000_000, "{} bytes", page.len());
}
