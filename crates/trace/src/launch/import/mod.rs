//! A launch line to a scenario: the way back from [`super::launch`], and in from anybody's script.

mod arguments;
mod draft;
mod list;
mod megatron;
mod shape;
mod torchtitan;
mod words;

use super::Framework;
use arguments::{Arguments, Entry, short};
use diagnostic::{Diagnostic, Diagnostics, nearest};
use draft::{Draft, Model};
use words::Word;

/// What to import, and what a line does not say.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the text is called in messages.
    pub file: &'a str,
    /// A command, a script that holds one, or torchtitan's TOML.
    pub text: &'a str,
    /// The program, if not to be told from the arguments.
    pub framework: Option<Framework>,
    /// The cluster to run on: a catalog id or a path from `folder`.
    pub cluster: &'a str,
    /// Ranks, if the line's launcher does not say or is to be overruled.
    pub chips: Option<u64>,
    /// Where the files will lie, with `/` between names; the last name is the model's.
    pub folder: &'a str,
}

/// A scenario read from a launch line, as files to be written to `Wanted::folder`.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The program whose line it was.
    pub framework: Framework,
    /// `scenario.toml`.
    pub scenario: String,
    /// `config.json`, unless the model is one of the catalog.
    pub config: Option<String>,
    /// `recipe.toml`.
    pub recipe: String,
    /// Arguments that do not bear on time or memory and were passed over.
    pub ignored: Vec<String>,
    /// What should be known with the scenario.
    pub notes: Diagnostics,
}

/// Reads a launch line.
///
/// Not understood: values that only running the script would give; configurations written in Python.
///
/// # Errors
/// Every problem of the line, each with its place: unset variables, numbers that are none, arguments
/// given twice, arguments that change the model or the layout in ways no plan expresses.
pub fn import(wanted: &Wanted<'_>) -> Result<Imported, Diagnostics> {
    let file = wanted.file;
    if wanted.text.trim().is_empty() {
        let problem = Diagnostic::error("launch::empty", "the launch line is empty");
        let hint = "for example `torchrun --nproc-per-node 8 pretrain_gpt.py --num-layers 32 ..`";
        return Err(problem.hint(hint).into());
    }
    if let Some(entries) = torchtitan::file(file, wanted.text)? {
        let mut arguments = Arguments::of(file, entries);
        let draft = torchtitan::read(&mut arguments, wanted.chips.unwrap_or(1));
        let unsaid = "a configuration file does not say how many ranks run it";
        return finish(wanted, Framework::TorchTitan, arguments, draft, wanted.chips.ok_or(unsaid));
    }
    let commands = words::commands(file, wanted.text)?;
    let command = chosen(file, &commands)?;
    let (launcher, own) = parted(command);
    let mut arguments = Arguments::read(file, own);
    let framework = wanted.framework.unwrap_or_else(|| recognised(&arguments, launcher));
    let chips = wanted.chips.or_else(|| ranks(file, launcher, &mut arguments));
    let draft = match framework {
        Framework::TorchTitan => torchtitan::read(&mut arguments, chips.unwrap_or(1)),
        _ => megatron::read(&mut arguments, framework, chips.unwrap_or(1)),
    };
    finish(wanted, framework, arguments, draft, chips.ok_or("nothing says how many ranks run this"))
}

/// The command that trains: the last with a Python script or module, or of bare arguments.
fn chosen<'w>(file: &str, commands: &'w [Vec<Word>]) -> Result<&'w [Word], Diagnostics> {
    let script = |c: &&Vec<Word>| c.iter().any(|w| is_script(&w.text)) || is_module(c);
    let bare = |c: &&Vec<Word>| c.first().is_some_and(|w| w.text.starts_with("--"));
    let scripts = commands.iter().rfind(script);
    if let (Some(_), Some(cut)) = (scripts, commands.iter().find(bare)) {
        let message = format!("a line begins with `{}`", short(&cut[0].text));
        let problem = Diagnostic::error("launch::shell", message);
        let hint = "the line before it must end in `\\` with nothing after it";
        return Err(problem.at(file, cut[0].span.clone()).hint(hint).into());
    }
    let found = scripts.or_else(|| commands.iter().rfind(bare));
    found.map(Vec::as_slice).ok_or_else(|| {
        let problem = Diagnostic::error("launch::shell", "no command here trains a model");
        problem.hint("it names `pretrain_gpt.py` or `-m torchtitan.train`").into()
    })
}

fn is_script(word: &str) -> bool {
    std::path::Path::new(word).extension().is_some_and(|e| e.eq_ignore_ascii_case("py"))
}

fn is_module(command: &[Word]) -> bool {
    module_at(command).is_some()
}

/// Where `-m torchtitan..` stands.
fn module_at(command: &[Word]) -> Option<usize> {
    command
        .windows(2)
        .position(|pair| pair[0].text == "-m" && pair[1].text.starts_with("torchtitan"))
}

/// The launcher's words and the script's own.
fn parted(command: &[Word]) -> (&[Word], &[Word]) {
    let at = module_at(command)
        .map(|i| i + 2)
        .or_else(|| command.iter().position(|w| is_script(&w.text)).map(|i| i + 1));
    command.split_at(at.unwrap_or(0))
}

fn recognised(arguments: &Arguments<'_>, launcher: &[Word]) -> Framework {
    let rest = arguments.rest();
    let any = |test: &dyn Fn(&Entry) -> bool| rest.iter().any(test);
    let sections = ["--parallelism.", "--training.", "--job.", "--model.", "--compile."];
    let dotted = |e: &Entry| sections.iter().any(|s| e.name.starts_with(s));
    if module_at(launcher).is_some() || any(&dotted) {
        Framework::TorchTitan
    } else if any(&|e| !Framework::Megatron.knows(&e.name) && Framework::MindSpeed.knows(&e.name)) {
        Framework::MindSpeed
    } else {
        Framework::Megatron
    }
}

/// Ranks that the launcher starts: `--nnodes` times `--nproc-per-node`.
fn ranks(file: &str, launcher: &[Word], arguments: &mut Arguments<'_>) -> Option<u64> {
    let start = launcher.iter().position(|w| w.text.starts_with("--"))?;
    let end = launcher.iter().rposition(|w| w.text == "-m" || is_script(&w.text))?;
    let mut own = Arguments::read(file, launcher.get(start..end).unwrap_or_default());
    let own_ranks = if own.has("--nproc-per-node") {
        let hosts = if own.has("--nnodes") { own.count("--nnodes") } else { Some(1) };
        own.count("--nproc-per-node").zip(hosts).and_then(|(a, b)| a.checked_mul(b))
    } else {
        None
    };
    for problem in &mut own.problems.0 {
        problem.code = "launch::ranks";
    }
    arguments.problems.extend(own.problems);
    own_ranks
}

/// Arguments that change the model or its layout in ways that no scenario expresses.
const REFUSED: [(&str, &str); 16] = [
    ("--use-checkpoint-args", "the model is described by a checkpoint"),
    ("--yaml-cfg", "the arguments are in another file"),
    ("--config-yaml", "the arguments are in another file"),
    ("--heterogeneous-layers-config-path", "blocks are described in another file"),
    ("--heterogeneous-layers-config-encoded-json", "every block is of its own kind"),
    ("--hybrid-override-pattern", "blocks are not all attention"),
    ("--hybrid-layer-pattern", "blocks are not all attention"),
    ("--is-hybrid-model", "blocks are not all attention"),
    ("--encoder-num-layers", "the model has an encoder"),
    ("--decoder-num-layers", "the model has an encoder"),
    ("--retro-add-retriever", "the model retrieves"),
    ("--tp-2d", "tensor parallelism in two dimensions"),
    ("--use-nd-matmul", "tensor parallelism in several dimensions"),
    ("--model-parallel-size", "replaced by `--tensor-model-parallel-size`"),
    ("--batch-size", "replaced by `--micro-batch-size`"),
    ("--rampup-batch-size", "the batch grows during the run: import the full batch"),
];

/// Arguments that bear on time or memory and that the answer will not know of.
const UNMODELLED: [&str; 14] = [
    "--cpu-offloading",
    "--cpu-offloading-num-layers",
    "--optimizer-cpu-offload",
    "--swap-optimizer",
    "--swap-attention",
    "--moe-zero-memory",
    "--mla-zero-memory",
    "--reuse-fp32-param",
    "--distribute-saved-activations",
    "--fine-grained-activation-offloading",
    "--moe-expert-capacity-factor",
    "--hierarchical-context-parallel-sizes",
    "--training.enable-cpu-offload",
    "--recompute-activation-function-num-layers",
];

fn finish(
    wanted: &Wanted<'_>,
    framework: Framework,
    mut arguments: Arguments<'_>,
    draft: Option<Draft>,
    chips: Result<u64, &str>,
) -> Result<Imported, Diagnostics> {
    let ignored = leftover(&mut arguments, framework);
    let told = arguments.problems.0.iter().any(|p| p.code == "launch::ranks");
    if let Err(unsaid) = chips
        && !told
    {
        let hint = "`torchrun --nnodes .. --nproc-per-node ..` in the line, or `--chips`";
        arguments.problems.push(Diagnostic::error("launch::ranks", unsaid).hint(hint));
    }
    let (Some(draft), Ok(chips), false) = (draft, chips, arguments.problems.has_errors()) else {
        return Err(arguments.problems);
    };
    let folder = wanted.folder.trim_end_matches('/');
    let last = folder.rsplit('/').next().filter(|name| !["", ".", ".."].contains(name));
    let own_name = last.unwrap_or("imported").to_owned();
    let mut config = None;
    let (name, model) = match &draft.model {
        Model::Catalog(id) => (id.clone(), id.clone()),
        Model::Config(map) => {
            let text = draft::config_text(map);
            let architecture = model::parse_config(&own_name, "config.json", &text)?;
            if let Some(id) = draft::catalog_id(&architecture) {
                (id.clone(), id)
            } else {
                config = Some(text);
                (own_name.clone(), "config.json".to_owned())
            }
        }
    };
    // A `config.json` has the name of the run it lies beside.
    let title = match config {
        Some(_) => name.clone(),
        None => format!("{name} from a line of {}", framework.word()),
    };
    // Named from where they lie beside each other, so that the folder can be moved.
    let scenario =
        draft::scenario_text(&draft, &title, &model, "recipe.toml", wanted.cluster, chips);
    let recipe = draft::recipe_text(&draft, &name);
    Ok(Imported { framework, scenario, config, recipe, ignored, notes: arguments.problems })
}

/// Judges every argument that nobody asked for; returns those that may be passed over.
fn leftover(arguments: &mut Arguments<'_>, framework: Framework) -> Vec<String> {
    let mut ignored = Vec::new();
    for entry in arguments.rest() {
        let name = entry.name.clone();
        if let Some((_, why)) = REFUSED.iter().find(|(n, _)| *n == name) {
            let message = format!("`{name}` cannot be imported: {why}");
            arguments.error("launch::refused", message, entry.span, None);
        } else if UNMODELLED.contains(&name.as_str()) {
            let own = format!("`{name}` bears on time or memory and is not modelled");
            arguments.problems.push(Diagnostic::warning("launch::unmodelled", own));
        } else if framework.knows(&name) {
            ignored.push(name);
        } else {
            unknown(arguments, framework, &entry);
        }
    }
    ignored.sort();
    ignored.dedup();
    ignored
}

/// An argument the program does not have: an error if it looks like one that matters.
fn unknown(arguments: &mut Arguments<'_>, framework: Framework, entry: &Entry) {
    let message = format!("`{}` is no argument of {}", short(&entry.name), framework.version());
    // A long word is no slip of the finger, and distances grow with the square.
    let word = if entry.name.len() <= 80 { entry.name.as_str() } else { "" };
    let asked: Vec<String> = arguments.asked().to_vec();
    let near = nearest(word, asked.iter().map(String::as_str));
    if let Some(near) = near.filter(|near| entry.name.len().abs_diff(near.len()) <= 3) {
        let hint = format!("did you mean `{near}`?");
        arguments.error("launch::unknown", message, entry.span.clone(), Some(&hint));
    } else {
        let problem = Diagnostic::warning("launch::unknown", format!("{message}; passed over"));
        arguments.problems.push(problem);
    }
}
