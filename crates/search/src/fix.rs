//! Limits in words: `plan.tensor=8`, `plan.pipeline=4,8,16`, `plan.recompute=none,full`.

use crate::Limits;
use crate::space::UNSEARCHED;
use diagnostic::{Diagnostic, nearest};
use model::Tag;
use plan::{FullBlocks, Recompute, Zero, tag_bits};
use program::{Overlap, Schedule};
use scenario::SEARCHED;

impl Limits {
    /// Allows `key` (with or without `plan.`) only `values`: numbers, `true` or `false`, a schedule's
    /// word, a recompute policy (`none`, `full`, `full-early-stop`, tags joined by `+`, `blocks:N`, or the
    /// list a plan holds), a list of blocks a stage, or switches of overlap joined by `+`.
    ///
    /// # Errors
    /// A key that is not searched; a value that is not one of the key's.
    pub fn fix(&mut self, key: &str, values: &[String]) -> Result<(), Diagnostic> {
        let name = key.strip_prefix("plan.").unwrap_or(key);
        let numbers = || -> Result<Option<Vec<u64>>, Diagnostic> {
            values.iter().map(|v| number(key, v)).collect::<Result<_, _>>().map(Some)
        };
        let switches = || -> Result<Option<Vec<bool>>, Diagnostic> {
            let one = |v: &String| match v.trim() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(wrong(key, v, "true or false")),
            };
            values.iter().map(one).collect::<Result<_, _>>().map(Some)
        };
        match name {
            "tensor" => self.tensor = numbers()?,
            "context" => self.context = numbers()?,
            "pipeline" => self.pipeline = numbers()?,
            "virtual_pipeline" => self.virtual_pipeline = numbers()?,
            "data" => self.data = numbers()?,
            "expert" => self.expert = numbers()?,
            "expert_tensor" => self.expert_tensor = numbers()?,
            "expert_data" => self.expert_data = numbers()?,
            "micro_batch" => self.micro_batch = numbers()?,
            "sequence_parallel" => self.sequence_parallel = switches()?,
            "pipeline_innermost" => self.pipeline_innermost = switches()?,
            "zero" => {
                let zeros = [Zero::None, Zero::Optimizer, Zero::Gradients, Zero::Weights];
                let one = |v: &String| {
                    let place: Option<usize> = v.trim().parse().ok();
                    place.and_then(|n| zeros.get(n).copied()).ok_or(wrong(key, v, "0, 1, 2 or 3"))
                };
                self.zero = Some(values.iter().map(one).collect::<Result<_, _>>()?);
            }
            "schedule" => {
                let one = |v: &String| {
                    let found = Schedule::WORDS.iter().find(|(_, w)| *w == bare(v));
                    let words = Schedule::WORDS.map(|(_, w)| w).join(", ");
                    found.map(|(s, _)| *s).ok_or_else(|| wrong(key, v, &words))
                };
                self.schedule = Some(values.iter().map(one).collect::<Result<_, _>>()?);
            }
            "recompute" => {
                let list = values.iter().map(|v| recompute(key, v)).collect::<Result<_, _>>()?;
                self.recompute = Some(list);
            }
            "stage_blocks" => {
                let list = values.iter().map(|v| counts(key, v)).collect::<Result<_, _>>()?;
                self.stage_blocks = Some(list);
            }
            "overlap" => {
                let list = values.iter().map(|v| overlap(key, v)).collect::<Result<_, _>>()?;
                self.overlap = Some(list);
            }
            _ => {
                let message = format!("`{key}` is not something the planner chooses");
                let hint = nearest(name, SEARCHED).map_or_else(
                    || format!("it chooses {}", SEARCHED.join(", ")),
                    |near| format!("did you mean `plan.{near}`?"),
                );
                return Err(Diagnostic::error("search::fix", message).hint(hint));
            }
        }
        Ok(())
    }
}

impl Limits {
    /// These limits with the degrees that decide the work of a micro-batch and its traffic as `plan` has
    /// them: tp, cp, ep, etp, micro-batch. Pipeline, schedule, ZeRO, cuts and recomputation stay open.
    #[must_use]
    pub fn around(&self, plan: &plan::Plan) -> Self {
        Self {
            tensor: Some(vec![plan.tensor]),
            context: Some(vec![plan.context]),
            expert: Some(vec![plan.expert]),
            expert_tensor: Some(vec![plan.expert_tensor]),
            micro_batch: Some(vec![plan.micro_batch]),
            ..self.clone()
        }
    }

    /// Lifts the limit of `key`; false if there was none.
    pub fn free(&mut self, key: &str) -> bool {
        match key {
            "tensor" => self.tensor.take().is_some(),
            "context" => self.context.take().is_some(),
            "pipeline" => self.pipeline.take().is_some(),
            "virtual_pipeline" => self.virtual_pipeline.take().is_some(),
            "data" => self.data.take().is_some(),
            "expert" => self.expert.take().is_some(),
            "expert_tensor" => self.expert_tensor.take().is_some(),
            "expert_data" => self.expert_data.take().is_some(),
            "micro_batch" => self.micro_batch.take().is_some(),
            "sequence_parallel" => self.sequence_parallel.take().is_some(),
            "zero" => self.zero.take().is_some(),
            "schedule" => self.schedule.take().is_some(),
            "recompute" => self.recompute.take().is_some(),
            "pipeline_innermost" => self.pipeline_innermost.take().is_some(),
            "stage_blocks" => self.stage_blocks.take().is_some(),
            "overlap" => self.overlap.take().is_some(),
            _ => false,
        }
    }
}

fn wrong(key: &str, value: &str, wanted: &str) -> Diagnostic {
    let message = format!("`{value}` is no value of `{key}`");
    Diagnostic::error("search::fix", message).hint(format!("write {wanted}"))
}

fn number(key: &str, value: &str) -> Result<u64, Diagnostic> {
    let number = value.trim().parse().ok().filter(|&n: &u64| n > 0);
    number.ok_or_else(|| wrong(key, value, "a positive whole number"))
}

fn bare(value: &str) -> &str {
    value.trim().trim_matches(['"', '\''])
}

/// The items of a TOML list, or of items joined by `+`.
fn items(value: &str) -> Vec<&str> {
    let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split([',', '+']).map(bare).filter(|item| !item.is_empty()).collect()
}

fn counts(key: &str, value: &str) -> Result<Vec<u64>, Diagnostic> {
    let wanted = "blocks on each stage: 3+4+4+3";
    items(value).iter().map(|v| v.parse().map_err(|_| wrong(key, value, wanted))).collect()
}

/// Switches joined by `+`; `none`.
fn overlap(key: &str, value: &str) -> Result<Overlap, Diagnostic> {
    let mut read = Overlap::NONE;
    for item in items(value).into_iter().filter(|item| *item != "none") {
        let words = format!("none, or of {} joined by `+`", Overlap::WORDS.join(", "));
        *read.switch(item).ok_or_else(|| wrong(key, value, &words))? = true;
    }
    Ok(read)
}

fn recompute(key: &str, value: &str) -> Result<Recompute, Diagnostic> {
    let mut read = Recompute { blocks: FullBlocks::None, tags: Vec::new(), early_stop: false };
    for item in items(value) {
        let tag = Tag::WORDS.iter().find(|(_, word)| *word == item);
        match (item, item.strip_prefix("blocks:").and_then(|n| n.parse().ok()), tag) {
            ("none", ..) => {}
            ("full", ..) => read.blocks = FullBlocks::All,
            ("full-early-stop", ..) => {
                (read.blocks, read.early_stop) = (FullBlocks::All, true);
            }
            (_, Some(n), _) => read.blocks = FullBlocks::PerStage(n),
            (_, _, Some((tag, _))) if tag_bits(&[*tag]) & UNSEARCHED == 0 => read.tags.push(*tag),
            _ => {
                let searched = Tag::WORDS.iter().filter(|(t, _)| tag_bits(&[*t]) & UNSEARCHED == 0);
                let words: Vec<&str> = searched.map(|(_, word)| *word).collect();
                let wanted =
                    format!("none, full, blocks:N, or of {} joined by `+`", words.join(", "));
                return Err(wrong(key, value, &wanted));
            }
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(key: &str, values: &[&str]) -> Result<Limits, String> {
        let mut limits = Limits::default();
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        limits.fix(key, &values).map(|()| limits).map_err(|d| d.message)
    }

    #[test]
    fn words_become_limits() {
        assert_eq!(fixed("plan.tensor", &["1", "8"]).unwrap().tensor, Some(vec![1, 8]));
        let read = fixed("recompute", &["norm+activation", "full", "[\"blocks:2\"]"]).unwrap();
        let read = read.recompute.unwrap();
        assert_eq!(read[0].tags, [Tag::Norm, Tag::Activation]);
        assert_eq!(read[1].blocks, FullBlocks::All);
        assert_eq!(read[2].blocks, FullBlocks::PerStage(2));
        let read = fixed("overlap", &["expert+context", "none"]).unwrap().overlap.unwrap();
        assert_eq!((read[0].words(), read[1]), (vec!["expert", "context"], Overlap::NONE));
        assert_eq!(fixed("schedule", &["\"zb-v\""]).unwrap().schedule, Some(vec![Schedule::ZbV]));
        assert_eq!(
            fixed("stage_blocks", &["[3, 4]"]).unwrap().stage_blocks,
            Some(vec![vec![3, 4]])
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert!(fixed("plan.tensr", &["8"]).unwrap_err().contains("not something"));
        for (key, value) in [
            ("tensor", "0"),
            ("tensor", "eight"),
            ("zero", "4"),
            ("schedule", "1f2b"),
            ("recompute", "everything"),
            ("sequence_parallel", "yes"),
            ("stage_blocks", "3+x"),
            ("overlap", "everything"),
        ] {
            assert!(fixed(key, &[value]).is_err(), "{key} {value}");
        }
    }
}
