//! The page around the charts.

use foreshadow_simulation::backtest::{Backtest, PolicyRow};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Followed, curves, level, misses, words};

/// Colours and type, for light and dark screens.
const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn render(
    result: &Backtest,
    followed: &Followed,
    settings: Option<&str>,
) -> Result<Markup, serde_json::Error> {
    Ok(html! {
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
                    (level::render(followed)?)
                    h2 { "Every policy and target" }
                    (table(&result.rows))
                    (footnotes())
                    (misses::render(&result.rows))
                    (recommended(settings))
                }
            }
        }
    })
}

fn recommended(settings: Option<&str>) -> Markup {
    html! {
        h2 { "Recommended settings" }
        @if let Some(settings) = settings {
            p {
                "For " code { "foreshadow serve --config FILE" } ", at the highest target at which \
                 foreshadow idled less than constant pools. Only the command that starts an instance \
                 is missing; where the log does not say how long instances are held, raise "
                code { "max" } " by as many as are in use at once."
            }
            pre { (settings) }
        } @else {
            p {
                "None: at no target of this run did foreshadow idle less than constant pools that were \
                 sized in hindsight."
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
            (words::prices(&result.prices))
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
                            "÷ static", "÷ best other", "idle hours", "cost", "starts", "wait p95 s",
                            "wait p99 s", "parameter",
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
            td { (number(row.cost.map(|cost| cost.idle_unit_hours), 1)) }
            td { (number(row.cost.and_then(|cost| cost.money), 2)) }
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

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 1e2 * share)
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(none, |value| format!("{value:.decimals$}"))
}

pub(super) fn none() -> String {
    "–".to_owned()
}
