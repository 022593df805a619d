//! Files that are wrong are diagnostics.

use kernel::parse_calibration;

fn good() -> &'static str {
    catalog::text(catalog::Kind::Calibration, "ascend-950").expect("shipped")
}

fn problems(text: &str) -> Vec<String> {
    let found = parse_calibration("x", "x.toml", text).expect_err("must be refused");
    found.0.iter().map(|d| format!("{} {}", d.message, d.hint.as_deref().unwrap_or(""))).collect()
}

#[test]
fn the_unchanged_file_is_read() {
    assert!(parse_calibration("x", "x.toml", good()).is_ok());
}

#[test]
fn each_wrong_line_is_named() {
    for (from, to, message) in [
        ("efficiency = [0.9]", "efficiency = [1.9]", "above 1"),
        ("efficiency = [0.9]", "efficiency = [0.9, 0.8]", "2 values where the axes need 1"),
        ("efficiency = [0.9]", "efficiency = [nan]", "positive"),
        ("axes = [[4096], [4096], [4096]]", "axes = [[], [4096], [4096]]", "rise"),
        ("fp8 = \"973 TFLOP/s\"", "", "`peaks.fp8` is missing"),
        ("memory = \"4 TB/s\"", "memory = \"4\"", "unit is missing"),
        ("memory = \"4 TB/s\"", "memory = \"0 TB/s\"", "above zero"),
        ("fp4 = \"1946", "fp5 = \"1946", "`fp5` is not a number format"),
        ("operator = \"gemm\"", "operator = \"gem\"", "did you mean `gemm`"),
        ("value = \"5 us\", low = \"2 us\"", "value = \"5 us\", low = \"9 us\"", "does not hold"),
        ("value = \"5 us\"", "value = \"5 s\"", "cannot be"),
        ("origin = \"vendor\"", "origin = \"guessed\"", "is not an origin"),
        ("[range]", "[rnage]", "rnage"),
    ] {
        assert!(good().contains(from), "{from}");
        let found = problems(&good().replacen(from, to, 1));
        assert!(found.iter().any(|m| m.contains(message)), "{to}: {found:?}");
    }
}

#[test]
fn every_problem_is_reported_at_once() {
    let text = good()
        .replacen("efficiency = [0.9]", "efficiency = [1.9]", 1)
        .replacen("value = \"5 us\"", "value = \"5 s\"", 1)
        .replacen("origin = \"vendor\"", "origin = \"guessed\"", 1);
    assert!(problems(&text).len() >= 2);
}

#[test]
fn truncation_is_an_error_at_any_line() {
    let lines: Vec<&str> = good().lines().collect();
    for end in 0..lines.len() - 45 {
        let text = lines[..end].join("\n");
        if let Ok(cal) = parse_calibration("x", "x.toml", &text) {
            assert!(!cal.surfaces.is_empty(), "cut after line {end}");
        }
    }
}
