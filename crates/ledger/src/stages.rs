//! The blocks of each pipeline stage, where a row or its recipe says how they are cut.

use crate::columns::Fields;

/// More stages than this are a mistake.
const MOST_STAGES: usize = 4096;

/// Blocks of each stage (decoder blocks and multi-token prediction), first to last; nothing where the
/// framework cuts evenly.
///
/// Megatron's `--pipeline-model-parallel-layout` in the row's options counts; without one,
/// Megatron-Bridge's recipes cut DeepSeek-V3 by their own table (`deepseek_v3.py`): equal stages with
/// the last shorter by what its head and multi-token prediction weigh.
pub(crate) fn stage_blocks(
    fields: &Fields,
    stages: u64,
    blocks: u64,
) -> Result<Option<Vec<u64>>, String> {
    let options = fields.text("other_opts");
    if let Some(text) = options.split("layout ").nth(1) {
        let text = text.split([';', ' ']).next().unwrap_or_default();
        let cut = layout(text).ok_or_else(|| format!("layout `{text}` is not understood"))?;
        if cut.len() as u64 != stages || cut.iter().sum::<u64>() != blocks {
            return Err(format!(
                "layout `{text}` cuts {} blocks into {} stages; the row has {blocks} and {stages}",
                cut.iter().sum::<u64>(),
                cut.len()
            ));
        }
        return Ok(Some(cut));
    }
    let bridge = fields.lower("source_title").contains("megatron-bridge");
    let model = fields.lower("model").replace(' ', "-");
    if bridge && model.contains("deepseek-v3") && matches!(stages, 4 | 8 | 16) {
        let each = 64 / stages;
        let mut cut = vec![each; stages as usize];
        if let Some(last) = cut.last_mut() {
            *last = blocks.saturating_sub(each * (stages - 1));
        }
        return Ok((cut.iter().sum::<u64>() == blocks).then_some(cut));
    }
    Ok(None)
}

/// Blocks of each stage of a layout: `E` embedding, `t` block, `m` multi-token prediction, `L` loss,
/// `|` between stages, `*n` repeats the letter or parenthesis before it.
fn layout(text: &str) -> Option<Vec<u64>> {
    let spread = repeated(&mut text.chars().peekable(), 0)?;
    let blocks = |stage: &str| stage.chars().filter(|c| matches!(c, 't' | 'm')).count() as u64;
    let stages: Vec<u64> = spread.split('|').map(blocks).collect();
    (stages.len() <= MOST_STAGES).then_some(stages)
}

/// The text with its repetitions written out; `None` for anything that is no layout.
fn repeated(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, depth: u32) -> Option<String> {
    let (mut out, mut item) = (String::new(), String::new());
    while let Some(c) = chars.next() {
        match c {
            'E' | 't' | 'm' | 'L' | '|' => {
                out.push_str(&std::mem::take(&mut item));
                item.push(c);
            }
            '(' if depth == 0 => {
                out.push_str(&std::mem::take(&mut item));
                item = repeated(chars, depth + 1)?;
            }
            ')' if depth > 0 => return Some(out + &item),
            '*' => {
                let mut times = 0_usize;
                while let Some(digit) = chars.peek().and_then(|d| d.to_digit(10)) {
                    times = times * 10 + digit as usize;
                    chars.next();
                    if times > MOST_STAGES {
                        return None;
                    }
                }
                item = item.repeat(times);
            }
            _ => return None,
        }
    }
    (depth == 0).then_some(out + &item)
}

#[cfg(test)]
mod tests {
    use super::layout;

    #[test]
    fn layouts_are_counted() {
        let cut = layout("Et|(tt|)*30mL").unwrap();
        assert_eq!((cut.len(), cut[0], cut[1], cut[31]), (32, 1, 2, 1));
        assert_eq!(cut.iter().sum::<u64>(), 62);
        let cut = layout("Et*4|(tttt|)*14tmL").unwrap();
        assert_eq!((cut.len(), cut[0], cut[15]), (16, 4, 2));
        assert_eq!(layout("Et*3|(tt|)*29m|L").unwrap()[30..], [1, 0]);
        for wrong in ["Ex", "(t", "t)", "t*99999999999", "((t))"] {
            assert_eq!(layout(wrong), None, "{wrong}");
        }
    }
}
