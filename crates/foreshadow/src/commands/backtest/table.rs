//! The result as a table for a terminal.

use std::fmt::Write;

use foreshadow_simulation::backtest::{Backtest, PolicyRow};

/// Columns: title, width, what to write. The first is flush left.
type Column = (&'static str, usize, fn(&PolicyRow) -> String);

const COLUMNS: [Column; 13] = [
    ("policy", 17, |row| row.policy.to_string()),
    ("target", 7, |row| format!("{}", row.target_hit_rate)),
    ("hit rate", 9, |row| number(row.hit_rate, 4)),
    ("joined", 8, |row| number(row.joined_rate, 4)),
    (MERGED, 8, |row| number(row.merged_rate, 4)),
    ("idle s/req", 12, |row| number(row.idle_per_request_s, 1)),
    ("vs static", 10, |row| number(row.idle_vs_static, 3)),
    ("vs best", 9, |row| number(row.idle_vs_best, 3)),
    ("starts", 10, |row| {
        row.starts.map_or_else(none, |starts| starts.to_string())
    }),
    ("wait p95", 10, |row| {
        number(row.wait_s.map(|waits| waits.p95), 1)
    }),
    ("p99", 8, |row| number(row.wait_s.map(|waits| waits.p99), 1)),
    ("cost", 11, |row| {
        number(row.cost.and_then(|cost| cost.money), 2)
    }),
    ("  parameter", 0, |row| {
        row.parameter
            .as_ref()
            .map_or_else(String::new, |parameter| format!("  {parameter}"))
    }),
];

/// The column that is there only where requests share instances.
const MERGED: &str = "merged";

/// A line for each row under a heading.
pub(super) fn render(result: &Backtest) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} requests of {} pools scored from {} to {}; start-up {} s, tick {} s",
        result.requests, result.pools, result.from, result.to, result.startup_s, result.tick_s
    );
    let shared = result.rows.iter().any(|row| row.merged_rate.is_some());
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| shared || column.0 != MERGED)
        .collect();
    line(&mut text, &columns, |(title, _, _)| (*title).to_owned());
    for row in &result.rows {
        line(&mut text, &columns, |(_, _, write)| write(row));
    }
    text
}

fn line(text: &mut String, columns: &[&Column], cell: impl Fn(&Column) -> String) {
    for (index, column) in columns.iter().enumerate() {
        let (value, width) = (cell(column), column.1);
        let _ = if index == 0 {
            write!(text, "{value:<width$}")
        } else {
            write!(text, "{value:>width$}")
        };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(none, |value| format!("{value:.decimals$}"))
}

fn none() -> String {
    "–".to_owned()
}
