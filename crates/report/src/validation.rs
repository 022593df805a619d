//! `supernode validate`.

use crate::json::Stamp;
use crate::table::{aligned, row};
use ledger::{Row, Status, Summary};
use serde_json::{Value, json};
use std::fmt::Write;

fn per_cent(v: f64) -> String {
    format!("{:.1} %", 100.0 * v)
}

fn signed(v: f64) -> String {
    format!("{:+.1} %", 100.0 * v)
}

/// The ledger: a line a row, then the families, then what was not replayed and why.
pub fn validation_text(rows: &[Row], summary: &Summary) -> String {
    let mut table = vec![row(["row", "measured", "predicted", "low .. high", "error"])];
    let seconds = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.4} s"));
    for r in rows.iter().filter(|r| r.status == Status::Replayed) {
        let range = match (r.predicted_low_s, r.predicted_high_s) {
            (Some(low), Some(high)) => format!("{low:.4} .. {high:.4}"),
            _ => String::new(),
        };
        table.push(vec![
            r.row_id.clone(),
            seconds(r.measured_step_s),
            seconds(r.predicted_step_s),
            range,
            r.signed_error.map_or_else(String::new, signed),
        ]);
    }
    let mut out = aligned(&table, 1);
    out.push_str("\nNot replayed\n");
    for r in rows.iter().filter(|r| r.status == Status::NotReplayed) {
        let reason = r.reason.as_deref().unwrap_or("no reason");
        let _ = writeln!(out, "  {}: {reason}", r.row_id);
    }
    out.push_str(&summary_text(summary));
    out
}

fn summary_text(s: &Summary) -> String {
    let mut table = vec![row([
        "family (rows marked full)",
        "rows",
        "replayed",
        "median",
        "mean",
        "signed",
        "worst",
    ])];
    for f in &s.families {
        table.push(vec![
            f.name.clone(),
            f.full.to_string(),
            f.replayed.to_string(),
            per_cent(f.median_abs_error),
            per_cent(f.mean_abs_error),
            signed(f.mean_signed_error),
            signed(f.worst_error),
        ]);
    }
    let mut out = format!("\n{}", aligned(&table, 1));
    for (name, (count, median, mean), coverage) in
        [("calibrated", s.calibrated, s.coverage.0), ("blind", s.blind, s.coverage.1)]
    {
        let _ = writeln!(
            out,
            "  {name}: {count} rows, median {}, mean {}, measured inside the interval {}",
            per_cent(median),
            per_cent(mean),
            per_cent(coverage)
        );
    }
    let _ = writeln!(
        out,
        "  over families: mean {}, signed {}",
        per_cent(s.over_families.0),
        signed(s.over_families.1)
    );
    let (count, mean, worst) = s.memory;
    let _ = writeln!(
        out,
        "  peak memory: {count} rows, mean {}, worst {}",
        per_cent(mean),
        per_cent(worst)
    );
    let _ = writeln!(
        out,
        "  {} of {} full rows replayed, {} rows in all",
        s.full_replayed, s.full, s.rows
    );
    out.push_str(&groups_text(s));
    out.push_str(&orders_text(s));
    out
}

/// Most jobs of a family listed one by one; more are summed up.
const MOST_JOBS: usize = 8;

fn orders_text(s: &Summary) -> String {
    let mut table = vec![row(["order of a job's plans kept", "plans", "Kendall's tau"])];
    let mut families: Vec<&str> = s.orders.iter().map(|o| o.family.as_str()).collect();
    families.dedup();
    for family in families {
        let jobs: Vec<&ledger::Order> = s.orders.iter().filter(|o| o.family == family).collect();
        if jobs.len() > MOST_JOBS {
            let plans: usize = jobs.iter().map(|o| o.plans).sum();
            let mean = jobs.iter().map(|o| o.tau).sum::<f64>() / jobs.len() as f64;
            let name = format!("{family}: {} jobs, mean", jobs.len());
            table.push(vec![name, plans.to_string(), format!("{mean:.2}")]);
            continue;
        }
        for order in jobs {
            let name = format!("{family}: {}", order.job);
            table.push(vec![name, order.plans.to_string(), format!("{:.2}", order.tau)]);
        }
    }
    if table.len() > 1 { format!("\n{}", aligned(&table, 1)) } else { String::new() }
}

fn groups_text(s: &Summary) -> String {
    let mut table = vec![row(["by", "", "rows", "mean", "signed", "inside the interval"])];
    for g in &s.groups {
        table.push(vec![
            g.property.to_owned(),
            g.value.clone(),
            g.rows.to_string(),
            per_cent(g.mean_abs_error),
            signed(g.mean_signed_error),
            per_cent(g.coverage),
        ]);
    }
    format!("\n{}", aligned(&table, 2))
}

/// The same as JSON, schema `supernode.validate/1`.
pub fn validation_json(stamp: &Stamp, rows: &[Row], s: &Summary) -> Value {
    let list: Vec<Value> = rows
        .iter()
        .map(|r| {
            json!({
                "row_id": r.row_id,
                "family": r.family,
                "accelerator": r.accelerator,
                "status": if r.status == Status::Replayed { "replayed" } else { "not_replayed" },
                "reason": r.reason,
                "calibrated": r.calibrated,
                "measured_step_s": r.measured_step_s,
                "predicted_step_s": r.predicted_step_s,
                "predicted_low_s": r.predicted_low_s,
                "predicted_high_s": r.predicted_high_s,
                "signed_error": r.signed_error,
                "measured_peak_mem_gib": r.measured_peak_mem_gib,
                "predicted_peak_mem_gib": r.predicted_peak_mem_gib,
                "flow_over_estimate_ratio": r.gap.as_ref().map(|(gap, _)| gap),
                "parts_s": r.parts.iter().map(|(k, v)| ((*k).to_owned(), json!(v)))
                    .collect::<serde_json::Map<_, _>>(),
            })
        })
        .collect();
    let families: Vec<Value> = s
        .families
        .iter()
        .map(|f| {
            json!({
                "family": f.name, "full_rows": f.full, "replayed_rows": f.replayed,
                "median_abs_error": f.median_abs_error, "mean_abs_error": f.mean_abs_error,
                "mean_signed_error": f.mean_signed_error, "worst_error": f.worst_error,
            })
        })
        .collect();
    let groups: Vec<Value> = s
        .groups
        .iter()
        .map(|g| {
            json!({
                "by": g.property, "value": g.value, "rows": g.rows,
                "mean_abs_error": g.mean_abs_error, "mean_signed_error": g.mean_signed_error,
                "interval_coverage": g.coverage,
            })
        })
        .collect();
    let orders: Vec<Value> = s
        .orders
        .iter()
        .map(
            |o| json!({ "family": o.family, "job": o.job, "plans": o.plans, "kendall_tau": o.tau }),
        )
        .collect();
    let group = |(count, median, mean): (usize, f64, f64), coverage: f64| {
        json!({
            "rows": count, "median_abs_error": median, "mean_abs_error": mean,
            "interval_coverage": coverage,
        })
    };
    let (count, mean, worst) = s.memory;
    stamp.on(json!({
        "rows": list,
        "summary": {
            "rows": s.rows, "full_rows": s.full, "full_rows_replayed": s.full_replayed,
            "families": families, "groups": groups, "orders": orders,
            "over_families": {
                "mean_abs_error": s.over_families.0, "mean_signed_error": s.over_families.1,
            },
            "calibrated": group(s.calibrated, s.coverage.0),
            "blind": group(s.blind, s.coverage.1),
            "memory": { "rows": count, "mean_abs_error": mean, "worst_abs_error": worst },
        },
    }))
}
