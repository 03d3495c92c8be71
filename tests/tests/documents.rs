//! What the documents say of the code is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders that hold code.
const CODE: [&str; 5] = ["crates", "models", "training", "tests", "benches"];

/// The pages that name tests.
const PAGES: [(&str, &str); 2] = [
    ("security.md", include_str!("../../docs/security.md")),
    ("reliability.md", include_str!("../../docs/reliability.md")),
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn code() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in CODE {
        sources(&root.join(folder), &mut files);
    }
    files
        .iter()
        .map(|file| fs::read_to_string(file).expect("source is text"))
        .collect()
}

/// What stands in backticks and reads like the name of a test: a sentence of words with underscores.
fn tests_named_in(page: &str) -> Vec<&str> {
    let words = page.split('`').skip(1).step_by(2);
    words
        .filter(|word| word.matches('_').count() >= 3)
        .filter(|word| {
            word.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        })
        .collect()
}

#[test]
fn each_test_that_a_page_names_is_in_the_code() {
    let code = code();
    for (page, text) in PAGES {
        let named = tests_named_in(text);
        assert!(named.len() > 3, "{page} names {named:?}");
        for test in named {
            let test_or_promise = [format!("fn {test}("), format!("\"{test}\"")];
            assert!(
                test_or_promise.iter().any(|text| code.contains(text)),
                "{page} names `{test}`"
            );
        }
    }
}

/// Lines of Python that are neither empty nor a comment nor within a text of three quotes.
fn lines_of_code(python: &str) -> usize {
    let outside = python.split("\"\"\"").step_by(2).collect::<String>();
    let lines = outside.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .count()
}

#[test]
fn the_example_of_a_provider_is_short() {
    let lines = lines_of_code(include_str!("../../docs/python/provider.py"));
    assert!(lines <= 60, "{lines} lines");
}

#[test]
fn every_page_is_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let index = include_str!("../../docs/README.md");
    for entry in fs::read_dir(&folder).expect("the folder can be read") {
        let name = entry.expect("the folder can be read").file_name();
        let name = name.to_string_lossy();
        let page = name.ends_with(".md") && name != "README.md";
        assert!(
            !page || index.contains(&format!("]({name}")),
            "{name} is not in docs/README.md"
        );
    }
    let links = index
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    for link in links {
        let file = link.split('#').next().unwrap_or_default();
        assert!(folder.join(file).exists(), "{link}");
    }
}

#[test]
fn each_key_of_a_pool_is_in_the_reference() {
    let reference = include_str!("../../docs/configuration.md");
    let source = include_str!("../../crates/foreshadow/src/config/pool.rs");
    let table = source.split_once("struct RawPool {");
    let table = table.and_then(|(_, rest)| rest.split_once("\n}"));
    let (fields, _) = table.expect("the table has a type of its own");
    let keys: Vec<&str> = fields
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(key, _)| key)
        .filter(|key| !key.starts_with(['/', '#']))
        .collect();
    assert!(keys.len() > 40, "{keys:?}");
    for key in keys {
        let in_backticks = reference.split('`').skip(1).step_by(2);
        let mut found = in_backticks.filter(|code| {
            let mut words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            words.any(|word| word == key)
        });
        assert!(
            found.next().is_some(),
            "{key} is not in docs/configuration.md"
        );
    }
}
