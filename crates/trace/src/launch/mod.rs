//! Launch lines of training programs: a plan as Megatron-LM, MindSpeed-LLM and torchtitan take it,
//! and back.
//!
//! [`launch`] writes the command of a plan and says, all at once, what the program cannot express.
//! [`import`] reads such a command into a scenario. Both know the arguments by name, each program in
//! one named version; the lists under `flags/` were read off those programs' own parsers.

mod import;
mod layout;
mod line;
mod megatron;
mod precision;
mod schedules;
mod shape;
#[cfg(test)]
mod tests;
mod torchtitan;

pub use import::{Imported, Wanted, import};
pub use line::Launch;

use line::Line;
use scenario::{Job, Scenario};

/// A program that trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// Megatron-LM's `pretrain_gpt.py`.
    Megatron,
    /// MindSpeed-LLM's `pretrain_gpt.py`: Megatron-LM's arguments and its own.
    MindSpeed,
    /// torchtitan's `torchtitan.train`.
    TorchTitan,
}

impl Framework {
    /// Every program with the word that names it on our command line.
    pub const WORDS: [(Self, &'static str); 3] = [
        (Self::Megatron, "megatron"),
        (Self::MindSpeed, "mindspeed"),
        (Self::TorchTitan, "torchtitan"),
    ];

    /// The word that names it.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(f, _)| *f == self).map_or("?", |(_, w)| w)
    }

    /// The program and the version whose argument names are known here.
    pub fn version(self) -> &'static str {
        match self {
            Self::Megatron => "Megatron-LM as in megatron-core 0.19.2",
            Self::MindSpeed => "MindSpeed-LLM at commits 015ce048 and 501538c6",
            Self::TorchTitan => "torchtitan 0.3.0",
        }
    }

    /// Whether the program has an argument of that name (with its dashes; torchtitan takes `_` for `-`).
    ///
    /// ```
    /// use trace::launch::Framework;
    /// assert!(Framework::Megatron.knows("--tensor-model-parallel-size"));
    /// assert!(!Framework::Megatron.knows("--num-layer-list")); // MindSpeed-LLM's own
    /// ```
    pub fn knows(self, name: &str) -> bool {
        self.takes(name).is_some()
    }

    /// What values the program's argument of that name takes, as its list says: nothing for a switch,
    /// `int`, `float`, `text` or `one|of|these`, with `+`, `*` or `?` after it for one or more, any
    /// number, or one at most; `None` if there is no such argument.
    ///
    /// ```
    /// use trace::launch::Framework;
    /// assert_eq!(Framework::Megatron.takes("--num-layers"), Some("int"));
    /// assert_eq!(Framework::Megatron.takes("--sequence-parallel"), Some(""));
    /// assert_eq!(Framework::Megatron.takes("--sequence-paralel"), None);
    /// ```
    pub fn takes(self, name: &str) -> Option<&'static str> {
        let dashed = name.replace('_', "-");
        let entry = |line: &'static str| {
            let (own, takes) = line.split_once(' ').unwrap_or((line, ""));
            (own == name || own == dashed).then_some(takes)
        };
        self.lists().flat_map(str::lines).find_map(entry)
    }

    /// Every argument name of the program.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let entries = self.lists().flat_map(str::lines).filter(|line| !line.starts_with('#'));
        entries.map(|line| line.split_once(' ').map_or(line, |(name, _)| name))
    }

    fn lists(self) -> impl Iterator<Item = &'static str> {
        const MEGATRON: &str = include_str!("flags/megatron-core-0.19.2.txt");
        const MINDSPEED: &str = include_str!("flags/mindspeed-llm.txt");
        const TORCHTITAN: &str = include_str!("flags/torchtitan-0.3.0.txt");
        let lists: &[&str] = match self {
            Self::Megatron => &[MEGATRON],
            Self::MindSpeed => &[MINDSPEED, MEGATRON],
            Self::TorchTitan => &[TORCHTITAN],
        };
        lists.iter().copied()
    }
}

/// The command that runs the plan of `job` with `framework`.
///
/// What the program cannot express is a warning of the answer, never a silent change. The command
/// trains on made-up data where the program can; data, tokenizer, learning rate and checkpoints are
/// the user's to add.
pub fn launch(framework: Framework, scenario: &Scenario, job: &Job) -> Launch {
    let mut line = Line::new(framework);
    match framework {
        Framework::Megatron | Framework::MindSpeed => megatron::write(&mut line, scenario, job),
        Framework::TorchTitan => torchtitan::write(&mut line, scenario, job),
    }
    line.finish(scenario, job)
}
