//! Every configuration of the catalog against the totals its authors or its weights give.

use model::{Architecture, parse_config};

/// The configuration `id` of the catalog, parsed.
pub fn load(id: &str) -> Architecture {
    let path = format!("{}/../../catalog/models/{id}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the catalog has the model");
    parse_config(id, &path, &text).unwrap_or_else(|e| panic!("{id}: {e:#?}"))
}

#[test]
fn every_configuration_of_the_catalog_parses() {
    let folder = format!("{}/../../catalog/models", env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the catalog is there") {
        let path = entry.expect("it can be listed").path();
        let id = path.file_stem().and_then(|s| s.to_str()).expect("names are UTF-8");
        assert!(!load(id).layers.is_empty());
        seen += 1;
    }
    assert!(seen >= 17, "{seen}");
}
