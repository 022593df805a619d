//! A study's answer for people.

use serde_json::Value;
use std::fmt::Write;
use units::{GIB, format_seconds};

/// The answer of `supernode.study/1` as text.
pub fn study_text(value: &Value) -> String {
    let mut text = format!(
        "{}\n% of BF16: model FLOPs over the chips' BF16 peak; products in FP8 may pass 100 %\n",
        word(&value["study"])
    );
    if value["shard"]["of"] != 1 {
        let (part, of) = (&value["shard"]["part"], &value["shard"]["of"]);
        let _ = writeln!(text, "part {part} of {of}");
    }
    for run in value["runs"].as_array().into_iter().flatten() {
        one(run, &mut text);
    }
    text
}

fn one(run: &Value, text: &mut String) {
    let tokens = number(&run["batch_sequences"]) * number(&run["sequence"]);
    let proven = if run["proven"] == true { "proven best" } else { "cut short" };
    let _ = write!(
        text,
        "\n{}: {} chips of {}\n  {} on {} tokens a step ({} x {}); {} legal plans, {proven}\n",
        word(&run["name"]),
        run["chips"],
        word(&run["cluster"]),
        word(&run["model"]),
        tokens,
        run["batch_sequences"],
        run["sequence"],
        run["plans"],
    );
    for level in run["levels"].as_array().into_iter().flatten() {
        if level["last"] != level["used"] {
            let _ = writeln!(
                text,
                "  packed: {} {}s of {}, the last with {}; {} chips of them idle",
                level["taken"],
                word(&level["level"]),
                level["used"],
                level["last"],
                level["idle"],
            );
        }
    }
    let leaders = run["leaders"].as_array().map_or(&[][..], Vec::as_slice);
    if leaders.is_empty() {
        text.push_str("  no plan fits\n");
    }
    for (place, leader) in (1..).zip(leaders) {
        let mfu =
            leader["mfu_ratio"].as_f64().map_or("?".into(), |m| format!("{:.1} %", 100.0 * m));
        let _ = writeln!(
            text,
            "  {place}  {:>9}  {:6.1} Mtoken/s  {mfu} of BF16  {:5.1} GiB  {}",
            format_seconds(number(&leader["step_s"])),
            number(&leader["tokens_per_s"]) / 1e6,
            number(&leader["peak_bytes"]) / GIB,
            plan(&leader["plan"]),
        );
        let alike = leader["alike"].as_array().map_or(0, Vec::len);
        if alike > 0 {
            let _ = writeln!(text, "       and {alike} more of the same cp to mb, no different");
        }
        for s in leader["straddles"].as_array().into_iter().flatten() {
            let _ = writeln!(
                text,
                "       {} groups of {} straddle {}s: up to {}, {} to {} ranks in each",
                word(&s["axis"]),
                s["size"],
                word(&s["level"]),
                s["touched"],
                s["least"],
                s["most"],
            );
        }
    }
}

/// A plan's degrees and options in one line.
fn plan(plan: &Value) -> String {
    let short = [
        ("tensor", "tp"),
        ("context", "cp"),
        ("pipeline", "pp"),
        ("virtual_pipeline", "vpp"),
        ("data", "dp"),
        ("expert", "ep"),
        ("expert_tensor", "etp"),
        ("micro_batch", "mb"),
        ("zero", "zero"),
    ];
    let mut words: Vec<String> = short.iter().map(|(k, w)| format!("{w} {}", plan[*k])).collect();
    words.push(word(&plan["schedule"]).to_owned());
    words.push(format!("recompute {}", plan["recompute"].to_string().replace('"', "")));
    words.join(" ")
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
