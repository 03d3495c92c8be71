//! The result as a table.

use std::fmt::Write;

use foreshadow_training::{EvaluationReport, ModelReport};

/// One line for each model, under a line that tells the protocol.
pub(super) fn render(report: &EvaluationReport) -> String {
    let protocol = &report.protocol;
    let mut text = format!(
        "{} series, {} windows of {} bins of {} s from {}, season {} bins\n",
        protocol.series,
        protocol.windows,
        protocol.horizon,
        protocol.interval_s,
        protocol.from,
        protocol.season,
    );
    let longest = report.models.iter().map(|model| model.model.len()).max();
    let width = longest.unwrap_or_default().max("model".len());
    let header = [
        "MASE",
        "CRPS",
        "WAPE",
        "80 % covers",
        "<= 0.95",
        "<= 0.99",
        "seconds",
    ];
    let _ = write!(text, "{:width$}", "model");
    for name in header {
        let _ = write!(text, "  {name:>11}");
    }
    text.push('\n');
    for model in &report.models {
        let _ = writeln!(
            text,
            "{:width$}  {:>11}  {:>11}  {:>11}  {:>11}  {:>11}  {:>11}  {:>11.2}",
            model.model,
            number(model.mase),
            number(model.crps),
            number(model.wape),
            number(model.coverage_80),
            share(model, "0.95"),
            share(model, "0.99"),
            model.seconds,
        );
        if let Some(chosen) = &model.chosen {
            let shares = chosen.iter();
            let shares = shares.map(|(name, share)| format!("{name} {:.0} %", share * 100.0));
            let shares = shares.collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "{:width$}  of {shares}", "");
        }
    }
    text
}

/// How many values lay at or below the quantile of a level.
fn share(model: &ModelReport, level: &str) -> String {
    number(model.coverage.get(level).copied().unwrap_or(f64::NAN))
}

fn number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.4}")
    } else {
        "-".to_owned()
    }
}
