//! Launch lines out and in, through the binary.

use crate::run;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder");
    path
}

#[test]
fn a_launch_line_goes_out_and_comes_back() {
    let folder = folder("launch-round");
    let set = ["--set", "plan.zero=1"];
    let out = ["plan", "launch", "llama-3.1-405b-on-h100", "--launch", "megatron"];
    let line = run(&folder, &[&out[..], &set[..]].concat());
    assert!(line.status.success());
    fs::write(folder.join("run.sh"), &line.stdout).expect("written");
    let import = ["plan", "import", "run.sh", "--cluster", "llama3-h100-roce", "-o", "back"];
    let back = run(&folder, &import);
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
    let again = run(&folder, &import);
    assert_eq!(again.status.code(), Some(2), "files are not replaced unasked");
    let forced = run(&folder, &[&import[..], &["--force"][..]].concat());
    assert!(forced.status.success());
    let step = |scenario: &str, set: &[&str]| {
        let words = [&["rehearse", scenario, "--format", "json"][..], set].concat();
        let output = run(&folder, &words);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        value["stages"][0]["step_s"]["value"].as_f64().expect("a number")
    };
    // The same plan on the same machine takes the same time under the launched framework.
    let megatron = ["--set", "stack=\"megatron-core\""];
    let own = step("llama-3.1-405b-on-h100", &[&set[..], &megatron[..]].concat());
    assert_eq!(step("back/scenario.toml", &[]), own);
    // The folder can go anywhere, and be read from anywhere.
    fs::create_dir_all(folder.join("else/where")).expect("a folder");
    fs::rename(folder.join("back"), folder.join("else/moved")).expect("moved");
    assert_eq!(step("else/moved/scenario.toml", &[]), own);
    let there = run(&folder.join("else/moved"), &["rehearse", "scenario.toml", "--format", "json"]);
    let here = run(&folder, &["rehearse", "else/moved/scenario.toml", "--format", "json"]);
    assert!(there.status.success(), "{}", String::from_utf8_lossy(&there.stderr));
    assert_eq!(there.stdout, here.stdout, "the answer depends on where it is asked");
    // What the command line says is said from where it is typed.
    let recipe = ["--set", "recipe=else/moved/recipe.toml"];
    assert_eq!(step("else/moved/scenario.toml", &recipe), own);
}

#[test]
fn a_saved_plan_finds_the_files_of_its_scenario() {
    let folder = folder("save-elsewhere");
    fs::create_dir_all(folder.join("mine/parts")).expect("a folder");
    fs::create_dir_all(folder.join("found")).expect("a folder");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = |from: &str, to: &str| {
        fs::copy(shipped.join(from), folder.join(to)).expect("copied");
    };
    copy("catalog/recipes/llama-3.1-405b.toml", "mine/recipe.toml");
    copy("catalog/models/llama-3.1-405b.json", "mine/parts/config.json");
    let scenario = "name = \"mine\"\nmodel = \"parts/config.json\"\nrecipe = \"recipe.toml\"\n\
                    cluster = \"llama3-h100-roce\"\nchips = 8192\nsequence = 8192\n[plan]\n\
                    tensor = 8\ncontext = 1\npipeline = 16\nmicro_batch = 1\nzero = 1\n\
                    schedule = \"1f1b\"\n";
    fs::write(folder.join("mine/s.toml"), scenario).expect("written");
    for to in ["found/best.toml", "mine/best.toml", "best.toml"] {
        let plan = run(&folder, &["plan", "mine/s.toml", "--save", to, "--progress", "never"]);
        let talk = String::from_utf8_lossy(&plan.stderr).into_owned();
        assert!(plan.status.success(), "{talk}");
        // A configuration of the same shape is the model whose recipe it is.
        assert!(!talk.contains("the recipe is"), "{talk}");
        let check = run(&folder, &["plan", "check", to]);
        assert!(check.status.success(), "{to}: {}", String::from_utf8_lossy(&check.stderr));
    }
    let study = "name = \"s\"\ntop = 1\nguard = 0.1\n[[run]]\nname = \"a\"\n\
                 scenario = \"../mine/s.toml\"\nset = [\"recipe=../mine/recipe.toml\"]\n";
    fs::write(folder.join("found/study.toml"), study).expect("written");
    let found = run(&folder, &["plan", "study", "found/study.toml", "--progress", "never"]);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
}

fn piped(bytes: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_supernode"))
        .args(["plan", "import", "-", "--cluster", "dgx-h100", "-o", "nowhere"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A reader that refuses early may be gone before all is written.
    let _ = child.stdin.take().expect("a pipe").write_all(bytes);
    child.wait_with_output().expect("an end")
}

#[test]
fn hostile_lines_are_refused_in_short() {
    let long = "pretrain_gpt.py --x ".repeat(500_000);
    let flags = format!("pretrain_gpt.py {}", "--num-layers 4 ".repeat(20_000));
    let lines: [&[u8]; 5] =
        [b"", b"\xff\xfe--num-layers 4", long.as_bytes(), flags.as_bytes(), b"--\n--\n--=\n="];
    for line in lines {
        let output = piped(line);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
        assert!(output.stderr.len() < 20_000, "{} bytes of complaint", output.stderr.len());
    }
}
