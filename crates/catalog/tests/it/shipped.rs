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
