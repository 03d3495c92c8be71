//! What a benchmark prints: each figure beside a peer of the same run.

use serde_json::{Value, json};

/// One figure beside one peer's: of rates more is better, of times less.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: &'static str,
    /// Ours.
    pub(crate) value: f64,
    /// The unit of both figures.
    pub(crate) unit: &'static str,
    /// Whose figure stands beside it.
    pub(crate) peer: &'static str,
    /// The peer's.
    pub(crate) peer_value: f64,
}

impl Row {
    /// Ours over the peer's: above one where ours is better, if it is a rate.
    pub(crate) fn ratio(&self) -> f64 {
        self.value / self.peer_value
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name, "value": self.value, "unit": self.unit,
            "peer": self.peer, "peer_value": self.peer_value, "ratio": self.ratio(),
        })
    }
}

/// The middle of several runs.
pub(crate) fn median(runs: impl AsRef<[f64]>) -> f64 {
    let mut runs = runs.as_ref().to_vec();
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The rows as one JSON document.
pub(crate) fn json(rows: &[Row]) -> Value {
    json!({ "machine": machine(), "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>() })
}

/// The rows as a table.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = format!(
        "{:<24} {:>14} {:<13} {:<20} {:>14} {:>8}",
        "name", "ours", "unit", "peer", "peer's", "ratio"
    );
    let lines = rows.iter().map(|row| {
        format!(
            "{:<24} {:>14.*} {:<13} {:<20} {:>14.*} {:>8.3}",
            row.name,
            places(row.value),
            row.value,
            row.unit,
            row.peer,
            places(row.peer_value),
            row.peer_value,
            row.ratio()
        )
    });
    let lines: Vec<String> = [machine(), head].into_iter().chain(lines).collect();
    lines.join("\n") + "\n"
}

/// Small figures are told with places after the point.
fn places(value: f64) -> usize {
    usize::from(value < 100.0) + usize::from(value < 10.0)
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            info.lines()
                .find(|l| l.starts_with("model name"))
                .map(str::to_owned)
        })
        .and_then(|line| line.split_once(": ").map(|(_, name)| name.to_owned()))
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{cores} cores, {model}")
}
