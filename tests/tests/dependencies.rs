//! What we depend on comes from one registry, under licences that `deny.toml` allows.

use std::{collections::BTreeMap, process::Command};

use serde_json::Value;
use spdx::{Expression, ParseMode};
use toml::Table;

/// All packages that a build of ours may have in it, that for graphics cards apart.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(["--features", "foreshadow/cluster,foreshadow/s3"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array();
    packages.expect("packages are listed").clone()
}

fn rules() -> Table {
    let text = include_str!("../../deny.toml");
    text.parse().expect("deny.toml is TOML")
}

fn strings(value: &toml::Value) -> Vec<&str> {
    let list = value.as_array().expect("it is a list");
    list.iter().filter_map(toml::Value::as_str).collect()
}

#[test]
fn every_licence_is_allowed() {
    let rules = rules();
    let allowed = strings(&rules["licenses"]["allow"]);
    let clarified = rules["licenses"]["clarify"].as_array();
    let clarified: BTreeMap<_, _> = clarified
        .expect("a list of tables")
        .iter()
        .map(|one| (one["crate"].as_str(), one["expression"].as_str()))
        .collect();
    for package in packages() {
        let name = package["name"].as_str();
        let known = clarified.get(&name).copied().flatten();
        let licence = package["license"].as_str().or(known);
        let licence = licence.unwrap_or_else(|| panic!("{name:?} has no licence"));
        let expression = Expression::parse_mode(licence, ParseMode::LAX);
        let expression = expression.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let fits = expression.evaluate(|one| allowed.contains(&one.to_string().as_str()));
        assert!(
            fits,
            "{name:?} is under {licence}, which deny.toml does not allow"
        );
    }
}

#[test]
fn everything_comes_from_the_registry() {
    let rules = rules();
    let registries = strings(&rules["sources"]["allow-registry"]);
    for package in packages() {
        let Some(source) = package["source"].as_str() else {
            continue;
        };
        let registry = source.strip_prefix("registry+");
        let known = registry.is_some_and(|registry| registries.contains(&registry));
        assert!(known, "{} comes from {source}", package["name"]);
    }
}
