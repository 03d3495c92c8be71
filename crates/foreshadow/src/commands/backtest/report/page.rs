//! The page around the charts.

use foreshadow_planner::MissCause;
use foreshadow_simulation::backtest::{Backtest, PolicyRow};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Levels, curves, words};

/// Colours and type, for light and dark screens.
const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn render(result: &Backtest, levels: &Levels) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Foreshadow backtest" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Foreshadow backtest" }
                    (summary(result))
                    @for sentence in words::savings(result) { p { (sentence) } }
                    h2 { "Idle time against hit rate" }
                    (curves::render(result))
                    (levels.render())
                    h2 { "Every policy and target" }
                    (table(&result.rows))
                    (footnotes())
                    (misses(&result.rows))
                    @if let Some(snippet) = words::configuration(result, levels.pool()) {
                        h2 { "Settings" }
                        p { "In the configuration of " code { "foreshadow serve" } ":" }
                        pre { (snippet) }
                    }
                }
            }
        }
    }
}

fn summary(result: &Backtest) -> Markup {
    html! {
        p {
            (result.requests) " requests of " (result.pools)
            @if result.pools == 1 { " pool" } @else { " pools" }
            ", scored from " (result.from) " to " (result.to) "; an instance takes "
            (result.startup_s) " s to start and the pool is planned every " (result.tick_s) " s."
        }
    }
}

fn table(rows: &[PolicyRow]) -> Markup {
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        @for title in [
                            "policy", "target", "hit rate", "joined", "idle s a request",
                            "÷ static", "÷ best other", "starts", "wait p95 s", "wait p99 s",
                            "parameter",
                        ] { th { (title) } }
                    }
                }
                tbody { @for row in rows { (table_row(row)) } }
            }
        }
    }
}

fn table_row(row: &PolicyRow) -> Markup {
    html! {
        tr class=(row.policy) {
            td { (row.policy) }
            td { (row.target_hit_rate) }
            td { (number(row.hit_rate, 4)) }
            td { (number(row.joined_rate, 4)) }
            td { (number(row.idle_per_request_s, 1)) }
            td { (number(row.idle_vs_static, 3)) }
            td { (number(row.idle_vs_best, 3)) }
            td { (row.starts.map_or_else(none, |starts| starts.to_string())) }
            td { (number(row.wait_s.map(|waits| waits.p95), 1)) }
            td { (number(row.wait_s.map(|waits| waits.p99), 1)) }
            td { (row.parameter.as_deref().unwrap_or_default()) }
        }
    }
}

fn footnotes() -> Markup {
    html! {
        p.small {
            "A hit is a request that found a ready instance; a join waited for one that was already \
             starting. Idle is the time from ready to claimed, and for an instance that was never \
             claimed the time from its start request to its stop. Every policy but foreshadow was \
             tuned in hindsight on the scored window itself: for its own rows to the target, for the \
             ratios to the hit rate that the row achieved. The clairvoyant knows the future and counts \
             for no ratio; the hybrid histogram uses instances again, the others use each once."
        }
    }
}

/// Why requests waited, where a policy says.
fn misses(rows: &[PolicyRow]) -> Markup {
    let told: Vec<_> = rows
        .iter()
        .filter_map(|row| Some((row, row.misses?)))
        .collect();
    if told.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Why requests waited" }
        div.wide {
            table {
                thead {
                    tr {
                        th { "policy" }
                        th { "target" }
                        @for cause in MissCause::ALL { th { (cause) } }
                        th { "half of the users wait at most" }
                        th { "three quarters" }
                    }
                }
                tbody {
                    @for (row, misses) in told {
                        tr class=(row.policy) {
                            td { (row.policy) }
                            td { (row.target_hit_rate) }
                            @for cause in MissCause::ALL { td { (misses.of(cause)) } }
                            td { (percent(row.waiting_by_user.map(|shares| shares.p50))) }
                            td { (percent(row.waiting_by_user.map(|shares| shares.p75))) }
                        }
                    }
                }
            }
        }
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(none, |share| format!("{:.1} %", 1e2 * share))
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(none, |value| format!("{value:.decimals$}"))
}

fn none() -> String {
    "–".to_owned()
}
