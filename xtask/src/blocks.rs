//! Blocks of hand-written pages that are made from the program.
//!
//! A block stands between `<!-- made: NAME -->` and `<!-- end -->`, each on a line of its own; what
//! is between them is replaced, and the words around stay as they were written.

use anyhow::{Context, Result, bail};
use std::fmt::Write;

const BEGIN: &str = "<!-- made: ";
const END: &str = "<!-- end -->";

/// `page` with every block replaced by what `made` has under its name.
///
/// # Errors
/// A block without an end, a block that nothing makes, or something made that no block shows.
pub fn fill(page: &str, made: &[(&str, String)]) -> Result<String> {
    let mut out = String::with_capacity(page.len());
    let mut shown = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(at);
        let name = block[BEGIN.len()..].split(" -->").next().unwrap_or_default();
        let (_, text) = made
            .iter()
            .find(|(made, _)| *made == name)
            .with_context(|| format!("nothing makes the block `{name}`"))?;
        let end = block.find(END).with_context(|| format!("the block `{name}` has no end"))?;
        write!(out, "{before}{BEGIN}{name} -->\n\n{}\n\n{END}", text.trim_matches('\n'))?;
        shown.push(name);
        rest = &block[end + END.len()..];
    }
    out.push_str(rest);
    if let Some((name, _)) = made.iter().find(|(name, _)| !shown.contains(name)) {
        bail!("no block shows `{name}`");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::fill;

    const PAGE: &str = "a\n<!-- made: days -->\nold\n<!-- end -->\nb\n";

    #[test]
    fn what_is_between_the_marks_is_replaced_and_nothing_else() {
        let filled = fill(PAGE, &[("days", "new\n".to_owned())]).expect("filled");
        assert_eq!(filled, "a\n<!-- made: days -->\n\nnew\n\n<!-- end -->\nb\n");
        assert_eq!(fill(&filled, &[("days", "new".to_owned())]).expect("again"), filled);
    }

    #[test]
    fn blocks_and_what_is_made_belong_together() {
        for (page, made) in [(PAGE, "cost"), ("no block", "days"), ("<!-- made: days -->", "days")]
        {
            assert!(fill(page, &[(made, String::new())]).is_err(), "{page} {made}");
        }
    }
}
