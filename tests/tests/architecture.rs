//! The dependency edges that keep the architecture: pure cores inside, shells outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// What each of our packages may import of ours.
const ALLOWED: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("fencing", &[]),
    ("access", &["types"]),
    ("shadow", &["types"]),
    ("forecast", &["types"]),
    ("planner", &["types", "shadow", "forecast"]),
    ("allocator", &["types", "shadow", "forecast", "planner"]),
    (
        "simulation",
        &["types", "shadow", "forecast", "planner", "allocator"],
    ),
    ("history", &["types", "forecast"]),
    ("ledger", &["types", "planner", "allocator"]),
    ("cluster", &["types", "ledger"]),
    ("providers", &["types"]),
    ("lstm", &["types", "forecast"]),
    ("classical", &["types", "forecast"]),
    ("pretrained", &[]),
    (
        "training",
        &[
            "types",
            "forecast",
            "planner",
            "history",
            "lstm",
            "classical",
            "pretrained",
        ],
    ),
    (
        "engine",
        &[
            "types",
            "shadow",
            "forecast",
            "planner",
            "allocator",
            "history",
            "ledger",
            "providers",
            "lstm",
            "classical",
            "training",
        ],
    ),
    (
        "api",
        &[
            "types",
            "shadow",
            "forecast",
            "planner",
            "allocator",
            "engine",
        ],
    ),
    ("client", &["api"]),
    ("telemetry", &["types", "shadow", "api", "engine"]),
    (
        "server",
        &[
            "types",
            "shadow",
            "forecast",
            "planner",
            "allocator",
            "engine",
            "api",
            "telemetry",
            "access",
        ],
    ),
];

/// Outside crates that only the packages named may know.
const CONFINED: &[(&str, &[&str])] = &[
    ("burn", &["lstm"]),
    ("arrow", &["history"]),
    ("parquet", &["history"]),
    ("object_store", &["history"]),
    ("kube", &["providers", "tests"]),
    ("k8s-openapi", &["providers", "tests"]),
    ("augurs", &["classical"]),
    ("opentelemetry", &["foreshadow"]),
    ("opentelemetry_sdk", &["foreshadow"]),
    ("opentelemetry-otlp", &["foreshadow"]),
    ("tracing-opentelemetry", &["foreshadow"]),
    ("rusqlite", &["ledger"]),
    ("tokio-postgres", &["ledger", "cluster", "benches"]),
    ("tokio-postgres-rustls", &["ledger"]),
    (
        "tonic",
        &[
            "api",
            "client",
            "telemetry",
            "server",
            "providers",
            "foreshadow",
            "tests",
            "benches",
        ],
    ),
    (
        "axum",
        &[
            "api",
            "telemetry",
            "server",
            "providers",
            "tests",
            "benches",
        ],
    ),
];

/// Packages without I/O, runtime, clock or operating-system randomness.
const PURE: &[&str] = &[
    "types",
    "fencing",
    "shadow",
    "forecast",
    "planner",
    "allocator",
    "simulation",
];
const IMPURE: &[&str] = &[
    "tokio",
    "serde",
    "getrandom",
    "reqwest",
    "hyper",
    "rusqlite",
    "object_store",
];

/// Normal (not development or build) dependencies of each workspace package, by short name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"]
        .as_array()
        .expect("packages are listed");
    packages
        .iter()
        .map(|package| (short(&package["name"]), normal_dependencies(package)))
        .collect()
}

fn normal_dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"]
        .as_array()
        .expect("dependencies are listed");
    all.iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|d| short(&d["name"]))
        .collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().expect("a package has a name");
    name.strip_prefix("foreshadow-").unwrap_or(name).to_owned()
}

#[test]
fn each_crate_imports_only_what_lies_inside_it() {
    let dependencies = dependencies();
    let ours: BTreeSet<&str> = dependencies.keys().map(String::as_str).collect();
    for (package, allowed) in ALLOWED {
        let used = dependencies
            .get(*package)
            .unwrap_or_else(|| panic!("no package {package}"));
        for used in used.iter().filter(|name| ours.contains(name.as_str())) {
            assert!(
                allowed.contains(&used.as_str()),
                "{package} must not import {used}"
            );
        }
    }
    let outermost = ["foreshadow", "tests", "benches"];
    for package in ours {
        let named = ALLOWED.iter().any(|(name, _)| *name == package);
        assert!(
            named || outermost.contains(&package),
            "{package} has no place in the architecture"
        );
    }
}

#[test]
fn heavy_libraries_stay_inside_their_crate() {
    for (package, used) in dependencies() {
        for (library, owners) in CONFINED {
            let allowed = owners.contains(&package.as_str()) || !used.contains(*library);
            assert!(allowed, "{package} must not import {library}");
        }
    }
}

#[test]
fn pure_crates_touch_no_outside_world() {
    let dependencies = dependencies();
    for package in PURE {
        let touched: Vec<_> = dependencies[*package]
            .iter()
            .filter(|name| IMPURE.contains(&name.as_str()))
            .collect();
        assert!(
            touched.is_empty(),
            "{package} is pure, yet imports {touched:?}"
        );
    }
}
