//! The reference page of metrics, the alert rules and the dashboard against the real `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_tests::{Server, notebook_pool};
use tempfile::TempDir;

const REFERENCE: &str = include_str!("../../docs/metrics.md");
const ALERTS: &str = include_str!("../../packaging/monitoring/alerts.yml");
const DASHBOARD: &str = include_str!("../../packaging/monitoring/dashboard.json");

/// What a row of the reference page says of a family.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    kind: &'static str,
    labels: &'static str,
}

/// The rows of the reference page: `` | `name` | type | labels | … ``.
fn documented() -> BTreeMap<&'static str, Row> {
    let rows = REFERENCE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`');
        let (kind, labels) = (cells.next()?, cells.next()?);
        Some((name, Row { kind, labels }))
    });
    rows.collect()
}

/// What a server with a pool serves as its metrics.
fn served() -> String {
    let data = TempDir::new().expect("a folder can be made");
    let server = Server::start(&notebook_pool(0, 1, 2), &data.path().join("data"));
    let (status, page) = server.http("GET", "/metrics", "");
    server.stop();
    assert_eq!(status, 200, "{page}");
    page
}

/// The families on a page of metrics, with their types.
fn families(page: &str) -> BTreeMap<&str, &str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect()
}

/// The family that a series is of.
fn family(series: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .into_iter()
        .find_map(|suffix| series.strip_suffix(suffix))
        .unwrap_or(series)
}

/// The labels of a line such as `name{a="b",c="d"} 1`, but that of buckets.
fn labels(line: &str) -> Vec<&str> {
    let inside = line
        .split_once('{')
        .and_then(|(_, rest)| rest.rsplit_once('}'));
    let pairs = inside.map_or("", |(pairs, _)| pairs).split(',');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(label, _)| label)
        .filter(|label| *label != "le")
        .collect()
}

/// The families that a text names.
fn named_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("foreshadow_"))
        .map(family)
        .collect()
}

#[test]
fn the_reference_page_lists_what_is_served_and_nothing_else() {
    let page = served();
    let documented: BTreeMap<_, _> = documented()
        .into_iter()
        .map(|(name, row)| (name, row.kind))
        .collect();
    assert_eq!(documented, families(&page));
}

#[test]
fn the_reference_page_names_each_label_that_is_served() {
    let page = served();
    let documented = documented();
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for line in samples {
        let series = line.split(['{', ' ']).next().unwrap_or_default();
        let row = &documented[family(series)];
        for label in labels(line) {
            seen += 1;
            assert!(row.labels.contains(&format!("`{label}`")), "{line}");
        }
    }
    assert!(seen > 0, "no label was served: {page}");
}

#[test]
fn alert_rules_and_the_dashboard_name_metrics_of_the_reference_page_only() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    for (file, text) in [("alerts.yml", ALERTS), ("dashboard.json", DASHBOARD)] {
        let named = named_in(text);
        assert!(!named.is_empty(), "{file} names no metric");
        let unknown: Vec<_> = named.difference(&documented).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}
