//! Campaigns from outside: threads and kills change no byte, bad prices are named.

use crate::run;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FEW: [&str; 4] = ["campaign", "--samples", "40", "--threads"];

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/campaign").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn threads_change_no_byte() {
    let folder = folder("threads");
    let [one, two] = ["1", "2"].map(|threads| {
        run(&folder, &[FEW.as_slice(), &[threads, "--format", "json"]].concat()).stdout
    });
    assert!(!one.is_empty());
    assert_eq!(one, two);
}

#[test]
fn a_killed_campaign_ends_in_the_bytes_of_one_that_was_not() {
    const MANY: [&str; 6] = ["campaign", "--samples", "2000", "--threads", "1", "--keep"];
    let folder = folder("killed");
    let whole = |file: &str| {
        let output = run(&folder, &[MANY.as_slice(), &[file, "--format", "json"]].concat());
        assert!(output.status.success());
        (output.stdout, std::fs::read(folder.join(file)).expect("the samples"))
    };
    let undisturbed = whole("undisturbed.parquet");
    let partial = folder.join("killed.parquet.partial");
    let kept = || std::fs::metadata(&partial).map_or(0, |m| m.len());
    for more in [1, 100_000] {
        let (begun_with, mut waits) = (kept(), 0);
        let mut killed = Command::new(env!("CARGO_BIN_EXE_supernode"))
            .args([MANY.as_slice(), &["killed.parquet"]].concat())
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        // Killed once some samples are on disk; a watchdog against a campaign that keeps none.
        while kept() < begun_with + more && waits < 60_000 {
            std::thread::sleep(Duration::from_millis(1));
            waits += 1;
        }
        let _ = killed.kill();
        killed.wait().expect("it ends");
        assert!(kept() > begun_with, "nothing was kept");
        assert!(!folder.join("killed.parquet").exists(), "it ended before it was killed");
    }
    assert!(whole("killed.parquet") == undisturbed, "a resumed campaign differs");
}

#[test]
fn bad_prices_are_named_and_the_rest_still_answers() {
    let folder = folder("prices");
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/economics");
    let text = std::fs::read_to_string(catalog.join("china-2026.toml")).expect("prices");
    for (good, bad) in [
        ("machine_life = { value = \"4 year\"", "machine_life = { value = \"-4 year\""),
        ("electricity = { value = \"0.07 USD/kWh\"", "electricity = { value = 0.07"),
        ("pue = {", "puh = {"),
        ("building = { value = \"8 USD/W\"", "building = { value = \"-8 USD/W\""),
    ] {
        assert!(text.contains(good), "{good}");
        std::fs::write(folder.join("prices.toml"), text.replace(good, bad)).expect("a file");
        let set = ["--set", "campaign.economics=\"prices.toml\""];
        let arguments = [FEW.as_slice(), &["1"], &set].concat();
        let refused = run(&folder, &arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let key = good.split(' ').next().expect("a key");
        assert_eq!(refused.status.code(), Some(2), "{bad}: {said}");
        assert!(said.contains(key), "{bad}: {said}");
        let rest = run(&folder, &[arguments.as_slice(), &["--without", "money"]].concat());
        assert!(rest.status.success(), "{}", String::from_utf8_lossy(&rest.stderr));
    }
}

#[test]
fn a_window_answers_where_some_runs_have_no_end() {
    let folder = folder("window");
    // At these rates a host fails each half hour at worst, and spares run out for good.
    let set = ["--set", "campaign.reliability=meta-rsc", "--set", "campaign.window=54 day"];
    let of = ["campaign", "llama-3.1-405b-on-h100", "--samples", "200", "--format", "json"];
    let answer = run(&folder, &[of.as_slice(), &set].concat());
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let json: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!(json["window_days"], 54.0);
    assert_eq!((&json["samples"], &json["finished"]), (&200.into(), &0.into()));
    assert_eq!(json["days"]["p5"], 54.0);
    assert_eq!(json["days"]["p95"], 54.0);
    assert!(json["tokens"]["p50"].as_f64().expect("a number") < 15.6e12);
}
