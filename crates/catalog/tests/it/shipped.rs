//! Every file of the catalog.

use catalog::{Kind, chip, chip_ids, cited, cluster, cluster_ids, recipe, recipe_ids, source};
use units::{Figure, Origin};

fn check(id: &str, figures: Vec<(String, &Figure)>) {
    assert!(!figures.is_empty(), "{id}");
    for (path, figure) in figures {
        let (keys, note) = cited(&figure.source);
        assert!(figure.low <= figure.value && figure.value <= figure.high, "{id} {path}");
        for key in keys {
            assert!(source(key).is_some(), "{id} {path}: `{key}` is not a key of sources.toml");
        }
        if matches!(figure.origin, Origin::Derived | Origin::Assumed) {
            assert!(note.is_some_and(|n| n.len() > 10), "{id} {path}: {figure:?} has no reason");
        }
    }
}

#[test]
fn every_chip_reads() {
    for id in chip_ids() {
        let chip = chip(id).unwrap_or_else(|e| panic!("{id}: {e:#?}"));
        assert_eq!(chip.id, id);
        check(id, chip.figures());
    }
}

#[test]
fn every_cluster_reads() {
    for id in cluster_ids() {
        let cluster = cluster(id).unwrap_or_else(|e| panic!("{id}: {e:#?}"));
        check(id, cluster.figures());
    }
}

#[test]
fn every_recipe_reads_and_names_a_model() {
    for id in recipe_ids() {
        let recipe = recipe(id).unwrap_or_else(|e| panic!("{id}: {e:#?}"));
        assert!(catalog::text(Kind::Model, &recipe.model).is_some(), "{id}");
        check(id, recipe.figures());
    }
}

#[test]
fn chips_and_clusters_of_every_maker_are_there() {
    for id in ["ascend-910c-die", "ascend-960", "h20", "rubin", "tpu-v5e"] {
        assert!(chip_ids().contains(&id), "{id}");
    }
    for id in ["atlas-950-supercluster", "vtrain-a100", "llama3-h100-roce", "gb300-nvl72"] {
        assert!(cluster_ids().contains(&id), "{id}");
    }
    for id in ["deepseek-v4-pro", "glm-4.5", "kimi-k2", "qwen3-235b-a22b"] {
        assert!(recipe_ids().contains(&id), "{id}");
    }
}

#[test]
fn every_source_has_a_title_and_an_address_or_is_a_judgement() {
    let keys = catalog::source_keys();
    assert!(keys.len() > 40, "sources.toml did not read: {keys:?}");
    for key in keys {
        let source = source(key).expect(key);
        assert!(source.title.len() > 10, "{key}");
        // The blog is known by its date only; the ledger is a page of the book, a launch line the user's.
        let nameless = ["judgement", "BLOG", "LEDGER", "LINE"].contains(&key);
        assert!(nameless || source.url.starts_with("https://"), "{key}: {}", source.url);
    }
}
