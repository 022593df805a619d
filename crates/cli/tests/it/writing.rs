//! Every file the program writes is there whole or not at all: on a full disk, and when it is stopped.
#![cfg(unix)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A folder of this test's own with what the commands below read.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a folder");
    for (file, text) in [("study.toml", STUDY), ("part.json", PART), ("run.sh", LINE)] {
        fs::write(path.join(file), text).expect("written");
    }
    path
}

const STUDY: &str = "name = \"one\"\ntop = 1\nguard = 0.1\n[[run]]\nname = \"a\"\n\
    scenario = \"llama-3.1-405b-on-h100\"\nfix = [\"plan.tensor=8\", \"plan.context=1\", \
    \"plan.pipeline=16\", \"plan.micro_batch=1\", \"plan.recompute=none\"]\n";

const PART: &str = "{\"schema\": \"supernode.study/1\", \"version\": \"0\", \"input_hash\": \"0\", \
    \"study\": \"x\", \"top\": 1, \"guard_ratio\": 0.1, \
    \"shard\": {\"part\": 1, \"of\": 1, \"split\": \"runs\"}, \"runs\": []}";

const LINE: &str = "torchrun --nnodes 1 --nproc-per-node 8 pretrain_gpt.py --num-layers 4 \
    --hidden-size 1024 --num-attention-heads 8 --seq-length 2048 --micro-batch-size 1 \
    --global-batch-size 8 --train-iters 10 --vocab-size 32000 --max-position-embeddings 2048 --bf16";

/// A search of a few plans.
const SMALL: &str = "plan llama-3.1-405b-on-h100 --no-flow --progress never --fix plan.tensor=8 --fix \
    plan.context=1 --fix plan.pipeline=16 --fix plan.micro_batch=1 --fix plan.recompute=none";

/// What is in the folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |e: Result<fs::DirEntry, _>| e.expect("an entry").file_name().into_string();
    let mut names: Vec<String> = entries.map(|e| name(e).expect("text")).collect();
    names.sort();
    names
}

/// No room for a byte, as a full disk: nothing is there, and that is said.
#[test]
fn a_full_disk_leaves_no_file() {
    let folder = folder("writing-full");
    let before = names(&folder);
    let small = |more: &str| format!("{SMALL} {more}");
    for command in [
        small("--candidates out.jsonl"),
        small("--candidates out.parquet"),
        small("--save out.toml"),
        small("--shard 1/2 -o out.json"),
        "plan study study.toml --progress never -o out.json".to_owned(),
        "plan merge part.json -o out.json".to_owned(),
        "plan import run.sh --cluster dgx-h100 -o .".to_owned(),
        "rehearse llama-3.1-405b-on-h100 -o out.txt".to_owned(),
        "rehearse llama-3.1-405b-on-h100 --format html -o out.html".to_owned(),
    ] {
        // A limit on file sizes makes writes fail as a full disk does; its signal ends no program here.
        let script = format!("ulimit -f 0; exec '{BINARY}' {command}");
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(&folder).output().expect("a shell");
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command}: {talk}");
        assert!(talk.contains("cannot write"), "{command}: {talk}");
        assert!(talk.contains("nothing is left behind"), "{command}: {talk}");
        assert_eq!(names(&folder), before, "{command}");
    }
    // With room, the same commands write.
    for (file, command) in
        [("out.toml", small("--save out.toml")), ("scenario.toml", IMPORT.to_owned())]
    {
        let script = format!("exec '{BINARY}' {command}");
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(&folder).output().expect("a shell");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(folder.join(file).exists());
    }
}

const IMPORT: &str = "plan import run.sh --cluster dgx-h100 -o .";

const BINARY: &str = env!("CARGO_BIN_EXE_supernode");

/// A search that takes longer than anybody waits, once its file is under way.
fn begun(folder: &Path, command: &[&str]) -> Child {
    let mut child = Command::new(BINARY)
        .args(command)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let begin = Instant::now();
    while !names(folder).iter().any(|name| name.ends_with(".partial")) {
        assert!(begin.elapsed() < Duration::from_mins(1), "no file is begun");
        assert_eq!(child.try_wait().expect("a child"), None, "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// The whole space of V4-Pro: minutes without optimisation.
const LONG: [&str; 4] = ["plan", "--no-flow", "--progress", "never"];

/// Ctrl-C and a polite kill: the file is not there, nor any part of it, and that is said; the program
/// ends as by the signal, so that shells and schedulers see why. What was there before still is.
#[test]
fn a_signal_leaves_no_file_and_says_so() {
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        for (kind, more) in [
            ("parquet", &["--candidates", "out"][..]),
            ("jsonl", &["--candidates", "out"]),
            ("toml", &["--save", "out"]),
            ("json", &["--shard", "1/2", "-o", "out"]),
        ] {
            let folder = folder(&format!("writing-{signal}-{kind}"));
            let file = format!("out.{kind}");
            fs::write(folder.join(&file), "of before").expect("written");
            let before = names(&folder);
            let last = more.len() - 1;
            let command = [&LONG[..], &more[..last], &[&file]].concat();
            let child = begun(&folder, &command);
            let sent = Command::new("kill")
                .args([&format!("-{signal}"), &child.id().to_string()])
                .status();
            assert!(sent.expect("kill").success());
            let output = child.wait_with_output().expect("an end");
            let talk = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.signal(), Some(number), "{talk}");
            assert!(talk.contains(&format!("interrupted: `{file}` not written")), "{talk}");
            assert!(output.stdout.is_empty());
            assert_eq!(names(&folder), before, "{signal} {kind}");
            assert_eq!(fs::read_to_string(folder.join(&file)).expect("there"), "of before");
        }
    }
}

/// A kill that cannot be answered leaves what was there, and beside it at most a `.partial` that no
/// command reads and the next run does not stumble over.
#[test]
fn a_kill_leaves_no_file() {
    let folder = folder("writing-KILL");
    let file = "out.parquet";
    for earlier in [None, Some("of before")] {
        if let Some(text) = earlier {
            fs::write(folder.join(file), text).expect("written");
        }
        let before = names(&folder);
        let mut child = begun(&folder, &[&LONG[..], &["--candidates", file]].concat());
        child.kill().expect("killed");
        let status = child.wait().expect("an end");
        assert_eq!(status.signal(), Some(9));
        let whole: Vec<String> =
            names(&folder).into_iter().filter(|name| !name.ends_with(".partial")).collect();
        assert_eq!(whole, before);
        assert_eq!(fs::read_to_string(folder.join(file)).ok().as_deref(), earlier);
        for name in names(&folder).iter().filter(|name| name.ends_with(".partial")) {
            assert!(name.starts_with("out.parquet."), "{name}");
            fs::remove_file(folder.join(name)).expect("removed");
        }
    }
}

/// Without a file under way there is nothing to take away; that it was interrupted is said all the same.
#[test]
fn a_search_without_files_says_that_it_was_interrupted() {
    let child = Command::new(BINARY)
        .args(LONG)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    std::thread::sleep(Duration::from_millis(1500));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.signal(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    assert!(output.stdout.is_empty());
}
