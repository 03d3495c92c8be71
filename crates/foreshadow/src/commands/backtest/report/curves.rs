//! The chart of idle time against hit rate.

use foreshadow_simulation::backtest::{Backtest, PolicyKind};
use maud::{Markup, html};

use super::chart::{Axis, Line, Scale, chart, round_factors};

/// The hit rates that are labelled.
const LABELLED: [f64; 7] = [0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999];

/// Draws every policy: a line through what was worked out for the tuned ones, points for the rows of
/// the others.
pub(super) fn render(result: &Backtest) -> Markup {
    let lines: Vec<(PolicyKind, Vec<(f64, f64)>)> = PolicyKind::ALL
        .into_iter()
        .map(|kind| (kind, points(result, kind)))
        .filter(|(_, points)| !points.is_empty())
        .collect();
    let idle = || {
        lines
            .iter()
            .flat_map(|(_, points)| points)
            .map(|point| point.1)
    };
    let (low, high) = (idle().fold(f64::MAX, f64::min), idle().fold(0.0, f64::max));
    if low > high {
        return html! { p { "No policy served a request in the scored window." } };
    }
    let drawn: Vec<Line> = lines
        .iter()
        .map(|(kind, points)| Line {
            points: points.clone(),
            class: format!("line {kind}"),
            dots: Some(|(hit_rate, idle_s)| {
                format!("hit rate {hit_rate:.4}, {idle_s:.1} s idle a request")
            }),
        })
        .collect();
    html! {
        (chart("Idle seconds a request against hit rate", &across(&lines), &up(low, high), &drawn))
        (legend(lines.iter().map(|(kind, _)| *kind)))
    }
}

fn points(result: &Backtest, kind: PolicyKind) -> Vec<(f64, f64)> {
    let rows = result
        .rows
        .iter()
        .filter(|row| row.policy == kind)
        .filter_map(|row| Some((row.hit_rate?, row.idle_per_request_s?)));
    let curve = result
        .curves
        .iter()
        .filter(|curve| curve.policy == kind)
        .flat_map(|curve| curve.points.iter().copied());
    let mut points: Vec<(f64, f64)> = rows.chain(curve).filter(|point| point.1 > 0.0).collect();
    points.sort_by(|one, two| one.0.total_cmp(&two.0).then(one.1.total_cmp(&two.1)));
    points.dedup();
    points
}

fn across(lines: &[(PolicyKind, Vec<(f64, f64)>)]) -> Axis {
    let least = lines
        .iter()
        .flat_map(|(_, points)| points)
        .map(|point| point.0)
        .fold(1.0, f64::min);
    Axis {
        title: "hit rate".to_owned(),
        scale: Scale::Nines,
        low: least,
        high: 0.9995,
        ticks: LABELLED
            .into_iter()
            .filter(|rate| *rate >= least)
            .map(|rate| (rate, format!("{rate}")))
            .collect(),
    }
}

fn up(low: f64, high: f64) -> Axis {
    let (low, high) = (low / 1.2, high * 1.2);
    Axis {
        title: "idle instance-seconds a request".to_owned(),
        scale: Scale::Logarithmic,
        low,
        high,
        ticks: round_factors(low, high),
    }
}

/// Names the colours.
fn legend(kinds: impl Iterator<Item = PolicyKind>) -> Markup {
    html! {
        p.legend {
            @for kind in kinds {
                span class={ "key " (kind) } { (kind) }
                " "
            }
        }
    }
}
