//! What the parsers know is in the book.

/// Keys that the reader of recipes takes, as its source names them.
fn keys() -> Vec<&'static str> {
    let source = include_str!("../../src/recipe.rs");
    let mut keys: Vec<&str> = source
        .split("take")
        .skip(1)
        .filter_map(|rest| {
            let (verb, after) = rest.split_once("(\"")?;
            let plain =
                verb.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
            plain.then(|| after.split('"').next()).flatten()
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[test]
fn every_key_of_a_recipe_is_in_the_book() {
    let page = include_str!("../../../../docs/src/reference/scenario.md");
    let section = page.split("## Recipes").nth(1).expect("a section on recipes");
    let section = section.split("\n## ").next().unwrap_or(section);
    let table: String = section.lines().filter(|l| l.starts_with('|')).collect();
    let keys = keys();
    assert!(keys.len() >= 25, "{keys:?}");
    let absent: Vec<&&str> = keys
        .iter()
        .filter(|key| !table.contains(&format!("`{key}`")) && !table.contains(&format!("[{key}]")))
        .collect();
    assert!(absent.is_empty(), "not in the book: {absent:?}");
}

#[test]
fn the_recipe_in_the_book_is_one() {
    let page = include_str!("../../../../docs/src/reference/scenario.md");
    let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let recipe = catalog::parse_recipe("book.toml", text.expect("an example")).expect("a recipe");
    assert_eq!(recipe.stages.len(), 1);
}
