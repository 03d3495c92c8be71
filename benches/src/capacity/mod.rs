//! How large a cluster must be: formulas, what they were checked against, and what follows for a
//! million to a billion entities. The tables of `docs/scale.md` are printed here.

mod formulas;
mod need;
mod points;

pub(crate) use self::formulas::{beat_rows, beat_transactions};
use self::{
    need::Need,
    points::{Point, points},
};
use crate::report::Row;

const SIZES: [(&str, f64); 4] = [
    ("1 million", 1e6),
    ("10 million", 1e7),
    ("100 million", 1e8),
    ("1 billion", 1e9),
];

/// The formulas beside the measured points.
pub(crate) fn rows() -> Vec<Row> {
    let row = |point: &Point| Row {
        name: point.name,
        value: point.formula,
        unit: point.unit,
        peer: "measured",
        peer_value: point.measured,
    };
    points().iter().map(row).collect()
}

/// The three tables as the page has them.
pub(crate) fn page() -> String {
    [checked(), cluster(), database()].join("\n")
}

/// Formulas beside what was measured.
fn checked() -> String {
    let head = [
        "what",
        "unit",
        "measured",
        "by the formula",
        "off by",
        "may be",
    ];
    table(
        head,
        points().into_iter().map(|point| {
            [
                point.name.to_owned(),
                point.unit.to_owned(),
                figures(point.measured, 3),
                figures(point.formula, 3),
                format!("{:+} %", (point.off() * 100.0).round() as i32),
                format!("{:.0} %", point.tolerance * 100.0),
            ]
        }),
    )
}

/// What a cluster is made of.
fn cluster() -> String {
    let head = [
        "entities",
        "replicas",
        "shards",
        "memory",
        "cores",
        "forecasts",
        "telemetry",
        "calls, plans",
        "PostgreSQL, commits/s",
        "object store a day",
        "GPU instead: cards",
        "and cores",
    ];
    table(
        head,
        needs().map(|(name, need)| {
            [
                name.to_owned(),
                amount(need.replicas),
                amount(need.shards),
                bytes(need.memory_mb * 1e6),
                amount(need.cores()),
                amount(need.forecast_cores),
                amount(need.telemetry_cores),
                amount(need.call_cores),
                amount(need.commits_s()),
                bytes(need.history_bytes_a_day),
                amount(need.cards()),
                amount(need.feature_cores),
            ]
        }),
    )
}

/// What the database is asked a second.
fn database() -> String {
    let head = [
        "entities",
        "claims, releases",
        "renewals, leases of an hour",
        "cores for both",
        "renewals, leases of 5 minutes",
        "beats: commits",
        "rows changed",
        "rows read",
        "connections",
    ];
    table(
        head,
        needs().map(|(name, need)| {
            [
                name.to_owned(),
                amount(need.calls_s),
                amount(need.hourly_renewals_s),
                amount(need.database_cores()),
                amount(need.usual_renewals_s),
                amount(need.beat_commits_s),
                amount(need.beat_rows_s),
                amount(need.beat_rows_read_s),
                amount(need.connections()),
            ]
        }),
    )
}

fn needs() -> impl Iterator<Item = (&'static str, Need)> {
    SIZES
        .into_iter()
        .map(|(name, entities)| (name, Need::of(entities)))
}

fn table<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows: String = rows.map(|row| line(&row)).collect();
    line(&head.map(str::to_owned)) + "|" + &"---|".repeat(COLUMNS) + "\n" + &rows
}

/// Two figures, and whole numbers below ten thousand as they are: `0.071`, `1.6`, `39`, `1,300`, `1,226`.
fn amount(value: f64) -> String {
    if value.fract() == 0.0 && value < 1e4 {
        return thousands(value);
    }
    figures(value, 2)
}

/// So many figures of a number above zero: of 1,723, two are `1,700`.
fn figures(value: f64, count: i32) -> String {
    let places = count - 1 - value.log10().floor() as i32;
    if places > 0 {
        return format!("{value:.*}", places as usize);
    }
    let unit = 10_f64.powi(-places);
    thousands((value / unit).round() * unit)
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(value: f64) -> String {
    let units = [(1e15, "PB"), (1e12, "TB"), (1e9, "GB")];
    let fits = units.into_iter().find(|(unit, _)| value >= *unit);
    let (unit, name) = fits.unwrap_or((1e6, "MB"));
    format!("{} {name}", amount(value / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/scale.md");

    #[test]
    fn every_formula_is_near_what_was_measured() {
        for point in points() {
            assert!(point.off().abs() <= point.tolerance, "{point:?}");
        }
    }

    #[test]
    fn the_page_shows_these_tables() {
        for table in [checked(), cluster(), database()] {
            assert!(PAGE.contains(&table), "docs/scale.md lacks:\n{table}");
        }
    }

    #[test]
    fn amounts_have_two_figures() {
        let told = [0.0712, 1.55, 38.98, 562.3, 1_349.2, 26_400_000.0, 1_226.0].map(amount);
        let expected = ["0.071", "1.6", "39", "560", "1,300", "26,000,000", "1,226"];
        assert_eq!(told, expected);
    }
}
