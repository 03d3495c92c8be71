//! What the numbers mean, in sentences, and the settings that follow.

use foreshadow_simulation::backtest::{Backtest, PolicyKind, PolicyRow};

/// A sentence for each target of the production planner.
pub(super) fn savings(result: &Backtest) -> Vec<String> {
    result
        .rows
        .iter()
        .filter(|row| row.policy == PolicyKind::Foreshadow)
        .filter_map(saving)
        .collect()
}

fn saving(row: &PolicyRow) -> Option<String> {
    let (hit_rate, idle_s) = (row.hit_rate?, row.idle_per_request_s?);
    let against =
        |ratio: Option<f64>, peer: &str| ratio.map(|ratio| format!(" {} {peer}", compared(ratio)));
    let comparisons: Vec<String> = [
        against(row.idle_vs_static, "a constant pool"),
        against(row.idle_vs_best, "the best of the other policies"),
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

/// The highest target at which the planner idles less than a constant pool, as a pool of the
/// configuration.
pub(super) fn configuration(result: &Backtest, pool: &str) -> Option<String> {
    let row = result
        .rows
        .iter()
        .filter(|row| row.policy == PolicyKind::Foreshadow)
        .filter(|row| row.idle_vs_static.is_some_and(|ratio| ratio < 1.0))
        .max_by(|one, two| one.target_hit_rate.total_cmp(&two.target_hit_rate))?;
    Some(format!(
        "[[pool]]\nname = {pool:?}\ntarget_hit_rate = {}\n",
        row.target_hit_rate
    ))
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
