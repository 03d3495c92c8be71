//! The demonstration's result, for someone who has never seen it.

use std::{fmt::Write as _, time::Duration};

use foreshadow_simulation::backtest::{PolicyKind, PolicyRow};

use super::load::{Outcome, Served};

/// One line of the table.
struct Line {
    pool: &'static str,
    hit_rate: f64,
    wait_p50_s: f64,
    wait_p95_s: f64,
    idle_per_request_s: f64,
}

/// The table: the live pool, then what others would have needed for the same requests.
pub(super) fn render(live: &Outcome, peers: &[PolicyRow]) -> String {
    let ours = live_line(live);
    let mut text = format!(
        "{:<34} {:>9} {:>10} {:>10} {:>22}\n",
        "pool", "hit rate", "wait p50", "wait p95", "idle s per request"
    );
    push(&mut text, &ours, None);
    for line in peers.iter().filter_map(peer_line) {
        push(
            &mut text,
            &line,
            Some(ours.idle_per_request_s / line.idle_per_request_s),
        );
    }
    text
}

fn push(text: &mut String, line: &Line, saved: Option<f64>) {
    let note = saved.map_or_else(String::new, |ratio| {
        let change = (1.0 - ratio) * 100.0;
        if change >= 0.0 {
            format!("   foreshadow needed {change:.0} % less")
        } else {
            format!("   foreshadow needed {:.0} % more", -change)
        }
    });
    let _infallible = writeln!(
        text,
        "{:<34} {:>8.1}% {:>9.2}s {:>9.2}s {:>22.2}{note}",
        line.pool,
        line.hit_rate * 100.0,
        line.wait_p50_s,
        line.wait_p95_s,
        line.idle_per_request_s
    );
}

fn live_line(live: &Outcome) -> Line {
    let mut waits: Vec<Duration> = live.served.iter().map(|served| served.wait).collect();
    waits.sort_unstable();
    Line {
        pool: "foreshadow (live)",
        hit_rate: live.hit_rate(),
        wait_p50_s: percentile(&waits, 0.5).as_secs_f64(),
        wait_p95_s: percentile(&waits, 0.95).as_secs_f64(),
        idle_per_request_s: live.idle_unit_seconds / live.requests().max(1) as f64,
    }
}

fn peer_line(row: &PolicyRow) -> Option<Line> {
    let pool = match row.policy {
        PolicyKind::Static => "static, sized in hindsight",
        PolicyKind::Reactive => "reactive, tuned in hindsight",
        PolicyKind::Foreshadow
        | PolicyKind::KeepAlive
        | PolicyKind::HybridHistogram
        | PolicyKind::Ssa
        | PolicyKind::HoltWinters
        | PolicyKind::Clairvoyant => return None,
    };
    let waits = row.wait_s?;
    Some(Line {
        pool,
        hit_rate: row.hit_rate?,
        wait_p50_s: waits.p50,
        wait_p95_s: waits.p95,
        idle_per_request_s: row.idle_per_request_s?,
    })
}

/// How soon warm and cold notebooks answered their first call.
pub(super) fn first_answers(live: &Outcome) -> String {
    let (warm, cold): (Vec<&Served>, Vec<&Served>) =
        live.served.iter().partition(|served| served.hit);
    let median = |group: &[&Served]| {
        let mut answers: Vec<_> = group.iter().map(|served| served.first_answer).collect();
        answers.sort_unstable();
        percentile(&answers, 0.5).as_secs_f64() * 1e3
    };
    let mut text = format!(
        "first answer, median: {:.1} ms from {} warm notebooks",
        median(&warm),
        warm.len()
    );
    if !cold.is_empty() {
        let _infallible = write!(
            text,
            ", {:.1} ms from {} that were not warm",
            median(&cold),
            cold.len()
        );
    }
    if live.failed > 0 {
        let _infallible = write!(text, "; {} requests failed", live.failed);
    }
    text
}

/// By nearest rank.
pub(super) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let waits: Vec<_> = (1..=20).map(Duration::from_secs).collect();
        assert_eq!(percentile(&waits, 0.5), Duration::from_secs(10));
        assert_eq!(percentile(&waits, 0.95), Duration::from_secs(19));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
