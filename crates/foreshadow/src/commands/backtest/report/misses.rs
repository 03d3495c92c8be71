//! Why requests waited, as bars and as a table.

use foreshadow_planner::MissCounts;
use foreshadow_simulation::backtest::{Backtest, PolicyRow};
use maud::{Markup, html};

use super::page::{none, percent};

/// Every row's waits by cause.
pub(super) fn render(rows: &[PolicyRow]) -> Markup {
    let told: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.misses?)))
        .collect();
    let Some(most) = told.iter().map(|(_, misses)| misses.total()).max() else {
        return html! {};
    };
    html! {
        h2 { "Why requests waited" }
        p.legend {
            @for cause in Backtest::CAUSES { span class={ "key " (cause.key()) } { (cause) } " " }
        }
        div.wide {
            table {
                thead {
                    tr {
                        th { "policy" }
                        th { "target" }
                        th.bar { "waits" }
                        @for cause in Backtest::CAUSES { th { (cause) } }
                        th { "waiting, half of the users at most" }
                        th { "three quarters" }
                    }
                }
                tbody { @for (row, misses) in &told { (line(row, misses, most)) } }
            }
        }
    }
}

fn line(row: &PolicyRow, misses: &MissCounts, most: u64) -> Markup {
    html! {
        tr class=(row.policy) {
            td { (row.policy) }
            td { (row.target_hit_rate) }
            td.bar { (bar(misses, most)) }
            @for cause in Backtest::CAUSES { td { (misses.of(cause)) } }
            td { (row.by_user.map_or_else(none, |users| percent(users.waiting.p50))) }
            td { (row.by_user.map_or_else(none, |users| percent(users.waiting.p75))) }
        }
    }
}

/// One piece for each cause; the longest bar has `most` waits.
fn bar(misses: &MissCounts, most: u64) -> Markup {
    let share = |cause| 1e2 * misses.of(cause) as f64 / most.max(1) as f64;
    html! {
        div.bar {
            @for cause in Backtest::CAUSES {
                @if misses.of(cause) > 0 {
                    span class=(cause.key()) style={ "width:" (format!("{:.2}", share(cause))) "%" }
                        title={ (cause) ": " (misses.of(cause)) } {}
                }
            }
        }
    }
}
