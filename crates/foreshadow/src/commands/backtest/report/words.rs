//! What the numbers mean, in sentences.

use std::fmt::Write;

use foreshadow_simulation::backtest::{Backtest, PolicyKind, PolicyRow, Prices};

/// A sentence for each target of the production planner.
pub(super) fn savings(result: &Backtest) -> Vec<String> {
    result
        .rows
        .iter()
        .filter(|row| row.policy == PolicyKind::Foreshadow)
        .filter_map(|row| saving(row, &result.prices))
        .collect()
}

fn saving(row: &PolicyRow, prices: &Prices) -> Option<String> {
    let (hit_rate, idle_s) = (row.hit_rate?, row.idle_per_request_s?);
    let against =
        |ratio: Option<f64>, peer: &str| ratio.map(|ratio| format!(" {} {peer}", compared(ratio)));
    let comparisons: Vec<String> = [
        against(row.idle_vs_static, "a constant pool"),
        against(
            row.idle_vs_best,
            "the best of the other single-use policies",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut sentence = format!(
        "Aiming at {}, foreshadow served {:.2} % of requests without a wait and kept {idle_s:.1} \
         instance-seconds idle for each",
        row.target_hit_rate,
        1e2 * hit_rate,
    );
    if !comparisons.is_empty() {
        sentence.push(':');
        sentence.push_str(&comparisons.join(" and"));
        sentence.push_str(" with as many hits, tuned in hindsight");
    }
    sentence.push('.');
    sentence.push_str(&worth(row, prices).unwrap_or_default());
    Some(sentence)
}

fn compared(ratio: f64) -> String {
    let percent = (1e2 * (1.0 - ratio)).round();
    if percent >= 0.0 {
        format!("{percent:.0} % less than")
    } else {
        format!("{:.0} % more than", -percent)
    }
}

/// What the cost of a row is made of, where prices are given.
pub(super) fn prices(prices: &Prices) -> String {
    let part = |price: Option<f64>, what: &str| price.map(|price| format!("{price} {what}"));
    let parts: Vec<String> = [
        part(prices.idle_hour, "for an hour that an instance idles"),
        part(prices.waiting_hour, "for an hour that a request waits"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(" Cost is reckoned at {}.", parts.join(" and "))
}

/// What the idle time saved is worth.
fn worth(row: &PolicyRow, prices: &Prices) -> Option<String> {
    let (ratio, cost) = (row.idle_vs_static?, row.cost?);
    let saved_hours = cost.idle_unit_hours * (1.0 / ratio - 1.0);
    let (amount, word) = if saved_hours >= 0.0 {
        (saved_hours, "saves")
    } else {
        (-saved_hours, "costs")
    };
    let mut sentence = format!(
        " Against that constant pool it {word} {amount:.0} instance-hours in the scored window"
    );
    if let Some(price) = prices.idle_hour {
        let _ = write!(sentence, ", worth {:.2}", amount * price);
    }
    if let Some(money) = cost.money {
        let _ = write!(sentence, "; all in all it costs {money:.2}");
    }
    sentence.push('.');
    Some(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savings_and_losses_are_told_apart() {
        assert_eq!(compared(0.55), "45 % less than");
        assert_eq!(compared(1.1), "10 % more than");
    }
}
