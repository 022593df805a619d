//! Pipeline cuts as Megatron-LM writes them: `Ettt|ttt|..|tmL`.

use model::Architecture;
use plan::{Block, Layout, Plan};

/// The blocks that a program counts, some of them empty, and which.
pub(super) struct Slots {
    pub count: u64,
    pub empty: Vec<u64>,
}

impl Slots {
    /// The place of the `n`-th block that is not empty, counted from 0.
    pub fn place(&self, n: u64) -> u64 {
        let mut full = (0..self.count).filter(|slot| !self.empty.contains(slot));
        full.nth(n as usize).unwrap_or(self.count)
    }
}

/// Whether every stage holds the same number of main blocks, and no prediction block needs a place:
/// what Megatron-LM does without being told.
pub(super) fn is_default(plan: &Plan, model: &Architecture) -> bool {
    let counts = counts(plan, model);
    counts.len() == 1 || model.mtp.is_empty() && counts.windows(2).all(|pair| pair[0] == pair[1])
}

/// Blocks of each stage, prediction blocks among them.
pub(super) fn counts(plan: &Plan, model: &Architecture) -> Vec<u64> {
    let is_block = |b: &&Block| matches!(b, Block::Layer { .. } | Block::Mtp { .. });
    let stages = Layout::new(plan, model).stages;
    stages.iter().map(|stage| stage.iter().filter(is_block).count() as u64).collect()
}

/// The cut of a plan that names none, as [`Layout::new`] makes it: short stages last, first, then
/// from the end.
pub(super) fn even(blocks: usize, stages: usize) -> Vec<u64> {
    let (floor, long) = ((blocks / stages) as u64, blocks % stages);
    let mut counts = vec![floor + u64::from(long > 0); stages];
    if long > 0 {
        let order = std::iter::once(stages - 1).chain(0..1).chain((1..stages - 1).rev());
        order.take(stages - long).for_each(|stage| counts[stage] = floor);
    }
    counts
}

/// The argument of `--pipeline-model-parallel-layout`.
pub(super) fn write(plan: &Plan, model: &Architecture) -> String {
    let letter = |block: &Block| match block {
        Block::Embedding => 'E',
        Block::Layer { .. } => 't',
        Block::Mtp { .. } => 'm',
        Block::Head => 'L',
    };
    let stages = Layout::new(plan, model).stages;
    let words: Vec<String> = stages.iter().map(|s| s.iter().map(letter).collect()).collect();
    words.join("|")
}

/// Blocks of each stage from such a text: `E`, `t`, `m`, `L`, `|`, `(..)*n`, cosmetic commas.
///
/// # Errors
/// A sentence about the first thing that is no such text, or one that unfolds beyond 100,000 letters.
pub(super) fn read(text: &str) -> Result<Vec<u64>, String> {
    let flat = unfold(text)?;
    if !flat.starts_with('E') || !flat.ends_with('L') {
        return Err("a layout begins with `E` and ends with `L`".to_owned());
    }
    let block = |c: &char| matches!(c, 't' | 'm');
    Ok(flat.split('|').map(|s| s.chars().filter(block).count() as u64).collect())
}

const LONGEST: usize = 100_000;

/// The text with its multiplications carried out.
fn unfold(text: &str) -> Result<String, String> {
    // One level a bracket: what was collected before it opened.
    let mut levels = vec![String::new()];
    let mut last = String::new();
    let mut rest = text.chars().filter(|c| !c.is_whitespace() && *c != ',').peekable();
    while let Some(c) = rest.next() {
        match c {
            'E' | 't' | 'm' | 'L' | '|' => last = c.to_string(),
            '(' => {
                levels.push(String::new());
                continue;
            }
            ')' => {
                last = levels.pop().unwrap_or_default();
                if levels.is_empty() {
                    return Err("a bracket closes that was not opened".to_owned());
                }
            }
            '*' => {
                let mut digits = String::new();
                while let Some(d) = rest.next_if(char::is_ascii_digit) {
                    digits.push(d);
                }
                let times: usize = digits.parse().map_err(|_| "`*` needs a number")?;
                let level = levels.last_mut().ok_or("`*` follows nothing")?;
                let grown = level.len().saturating_add(last.len().saturating_mul(times));
                if last.is_empty() || times == 0 || grown > LONGEST {
                    return Err(format!("`*{digits}` cannot be carried out"));
                }
                level.push_str(&last.repeat(times - 1));
                last.clear();
                continue;
            }
            other => return Err(format!("`{other}` is no part of a layout")),
        }
        let level = levels.last_mut().ok_or("a bracket closes that was not opened")?;
        level.push_str(&last);
        if levels.iter().map(String::len).sum::<usize>() > LONGEST {
            return Err("the layout is too long".to_owned());
        }
    }
    match levels.len() {
        1 => Ok(levels.pop().unwrap_or_default()),
        _ => Err("a bracket is not closed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn layouts_unfold_as_megatron_documents_them() {
        assert_eq!(read("E|(t|)*3,m|m||L").unwrap(), [0, 1, 1, 1, 1, 1, 0, 0]);
        assert_eq!(read("Ett|tt|t*3|L").unwrap(), [2, 2, 3, 0]);
        assert_eq!(read("E((t)*2|)*2L").unwrap(), [2, 2, 0]);
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        let huge = "E(t*99999)*99999L";
        for text in ["", "t|t", "E|(t|L", "E)t|L", "Et*|L", "Ex|L", "E*0L", "*3", huge] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
