//! The columns that the ledger reads are in the book.

use std::fs;
use std::path::Path;

/// Columns by the calls that read a cell.
fn read_of(source: &str) -> Vec<String> {
    let calls = ["text(\"", "lower(\"", "number(\"", "count(\"", "needed(\"", "degree(\""];
    let mut found = Vec::new();
    for call in calls {
        let names = source.split(call).skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(names.map(str::to_owned));
    }
    for list in ["for column in [\"", "const REQUIRED: [&str; 24] = ["] {
        let lists = source.split(list).skip(1).filter_map(|rest| rest.split(']').next());
        let words = lists.flat_map(|list| list.split(['"', ',', '\n', ' ']));
        found.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
    }
    found
}

#[test]
fn every_column_read_is_in_the_book() {
    let mut columns = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in fs::read_dir(folder).expect("the sources") {
        columns.extend(read_of(&fs::read_to_string(file.expect("a file").path()).expect("text")));
    }
    columns.sort();
    columns.dedup();
    assert!(columns.len() > 45, "{columns:?}");
    let page = include_str!("../../../docs/src/reference/formats.md");
    let section = page.split("## Measured steps").nth(1).expect("a section on measured steps");
    let section = section.split("\n## ").next().unwrap_or(section);
    let named: Vec<&str> =
        section.split('`').skip(1).step_by(2).flat_map(|words| words.split([' ', ','])).collect();
    let absent: Vec<_> = columns.iter().filter(|c| !named.contains(&c.as_str())).collect();
    assert!(absent.is_empty(), "not in the book: {absent:?}");
}
