//! What is under way, on a terminal: nothing for two seconds, then a line of what is done and for how
//! long, with bars above it. A program that reads standard error sees none of it.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Patience. Who gets an answer by then needs no word about it.
const QUIET: Duration = Duration::from_secs(2);

static SCREEN: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(2)));

/// What is done now.
struct Now {
    /// Since when the words below hold.
    since: Instant,
    words: String,
    /// Shown, once the quiet time is over.
    line: Option<ProgressBar>,
    over: bool,
}

static NOW: Mutex<Option<Now>> = Mutex::new(None);

fn now() -> MutexGuard<'static, Option<Now>> {
    NOW.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to wait.
pub fn begin() {
    let words = "working".to_owned();
    *now() = Some(Now { since: Instant::now(), words, line: None, over: false });
    std::thread::spawn(|| {
        std::thread::sleep(QUIET);
        if let Some(now) = now().as_mut().filter(|now| !now.over) {
            let line = SCREEN.add(ProgressBar::new_spinner().with_elapsed(QUIET));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed} so far") {
                line.set_style(style);
            }
            line.set_message(now.words.clone());
            line.enable_steady_tick(Duration::from_millis(500));
            now.line = Some(line);
        }
    });
}

/// Says what is done now: part `done` (from 0) of `of`. What is left is told from the parts behind.
pub fn part(what: &str, done: usize, of: usize) {
    if let Some(now) = now().as_mut() {
        if done == 0 {
            now.since = Instant::now();
        }
        let left = now.since.elapsed().mul_f64((of - done) as f64 / done.max(1) as f64);
        let left = if done == 0 { String::new() } else { format!(", {} s left", left.as_secs()) };
        now.words = format!("{what} {} of {of}{left}", done + 1);
        if let Some(line) = &now.line {
            line.set_message(now.words.clone());
        }
    }
}

/// A bar above the line.
pub fn bar(count: u64, template: &str) -> ProgressBar {
    let bar = SCREEN.insert(0, ProgressBar::new(count));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Clears the line: an answer comes.
pub fn end() {
    if let Some(now) = now().as_mut() {
        now.over = true;
        if let Some(line) = now.line.take() {
            line.finish_and_clear();
        }
    }
}
