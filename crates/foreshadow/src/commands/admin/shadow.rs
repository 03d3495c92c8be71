//! `foreshadow shadow`.

use std::fmt::Write as _;

use foreshadow_api::v1::{ResourceShadow, resource_shadow::Metric};

use super::{Asked, percent};
use crate::{
    failure::Failure,
    remote::{segment, state, time},
    table::Table,
};

/// Arguments of `foreshadow shadow`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The user or application.
    entity: String,
    #[command(flatten)]
    asked: Asked,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = format!("/user/{}/resource_shadow", segment(&args.entity));
    let found: ResourceShadow = args.asked.remote.get(&path, &[])?;
    args.asked.write(&found, text)
}

fn text(shadow: &ResourceShadow) -> String {
    let mut text = format!("{}, seen {}\n", shadow.entity_id, time(shadow.last_seen));
    if let Some(category) = &shadow.category {
        let share = percent(Some(category.confidence));
        let _ = writeln!(
            text,
            "category {}: {}, {share}",
            category.id, category.label
        );
    }
    if let Some(access) = &shadow.access {
        let next = time(access.next_expected);
        let _ = writeln!(text, "{} accesses, the next expected {next}", access.total);
    }
    text.push('\n');
    let _ = writeln!(text, "{}", metrics(&shadow.metrics));
    if !shadow.dependencies.is_empty() {
        let mut table = Table::new(["with", "share", "last"]);
        for one in &shadow.dependencies {
            let share = percent(Some(one.share));
            table.row([one.entity_id.clone(), share, time(one.last_used)]);
        }
        let _ = writeln!(text, "{table}");
    }
    for kept in &shadow.reservations {
        let (count, pool, reason) = (kept.count, &kept.pool, &kept.reason);
        let _ = writeln!(text, "{count} of {pool} kept: {reason}");
    }
    for one in &shadow.allocations {
        let (id, pool) = (&one.allocation_id, &one.pool);
        let _ = writeln!(text, "{id}: {} of {pool}", state(one));
    }
    text
}

fn metrics(metrics: &[Metric]) -> String {
    let mut table = Table::new(["metric", "latest", "mean", "median", "q90", "per hour"]);
    for metric in metrics {
        let level = |level: f64| {
            let found = metric
                .quantiles
                .iter()
                .find(|q| (q.level - level).abs() < 1e-9);
            found.map_or_else(|| "-".to_owned(), |q| number(q.value))
        };
        table.row([
            metric.metric.clone(),
            number(metric.latest),
            number(metric.mean),
            level(0.5),
            level(0.9),
            number(metric.trend_per_hour),
        ]);
    }
    table.to_string()
}

/// Four digits that matter.
fn number(value: f64) -> String {
    let digits = value.abs().max(1e-9).log10().floor() as i32;
    let places = usize::try_from(3 - digits).unwrap_or(0).min(6);
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_four_digits_that_matter() {
        let written = [0.0, 0.012_345, 1.5, 123.456, 123_456.0, -7.0].map(number);
        let expected = ["0.000000", "0.01235", "1.500", "123.5", "123456", "-7.000"];
        assert_eq!(written, expected);
    }
}
