//! What a replica says of itself.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use foreshadow_engine::Readiness;

use super::Front;
use crate::{error::ApiError, http};

/// Whether the process should go on.
pub(super) async fn healthz(State(front): State<Front>) -> (StatusCode, &'static str) {
    http::alive(front.is_alive())
}

/// Whether calls should be sent here.
pub(super) async fn readyz(State(front): State<Front>) -> (StatusCode, &'static str) {
    if front.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        let reason = "shards are still being placed\n";
        (StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

/// The metrics of the shards that this replica has, each with its number as a label, and of the
/// telemetry that it has read.
pub(super) async fn metrics(State(front): State<Front>) -> Result<Response, ApiError> {
    let routes = front.shared.routes.borrow().clone();
    let mut families = Families::default();
    for (shard, route) in routes.iter().enumerate() {
        let Some(engine) = route.engine() else {
            continue;
        };
        let ready = engine.ready() == Readiness::Ready;
        // One that is just ending has nothing to say.
        if let Ok(metrics) = engine.metrics().await {
            families.add(&http::shard_metrics(&metrics, ready), shard);
        }
    }
    let intake = http::port_metrics(&front.shared.intake.counts(), &front.shared.refusals);
    Ok((
        [(header::CONTENT_TYPE, http::METRICS_TYPE)],
        format!("{}{intake}", families.text()),
    )
        .into_response())
}

/// Metrics of several pages by their families, in order of first appearance.
#[derive(Debug, Default)]
struct Families {
    order: Vec<String>,
    lines: BTreeMap<String, (String, String)>,
}

impl Families {
    /// Adds a page, with the shard as a label of each sample.
    fn add(&mut self, page: &str, shard: usize) {
        let mut family = String::new();
        for line in page.lines() {
            if let Some(head) = line.strip_prefix("# ") {
                if let Some(name) = head
                    .strip_prefix("HELP ")
                    .and_then(|rest| rest.split(' ').next())
                {
                    name.clone_into(&mut family);
                    self.begin(&family);
                }
                let (heads, _) = self.lines.entry(family.clone()).or_default();
                if !heads.contains(line) {
                    heads.push_str(line);
                    heads.push('\n');
                }
                continue;
            }
            let (_, samples) = self.lines.entry(family.clone()).or_default();
            samples.push_str(&labelled(line, shard));
            samples.push('\n');
        }
    }

    fn begin(&mut self, family: &str) {
        if !self.lines.contains_key(family) {
            self.order.push(family.to_owned());
        }
    }

    fn text(&self) -> String {
        let families = self.order.iter().filter_map(|name| self.lines.get(name));
        let texts = families.flat_map(|(heads, samples)| [&**heads, &**samples]);
        texts.collect()
    }
}

/// A sample with one label more.
fn labelled(line: &str, shard: usize) -> String {
    match line.find(['{', ' ']) {
        Some(at) if line[at..].starts_with('{') => {
            format!("{}{{shard=\"{shard}\",{}", &line[..at], &line[at + 1..])
        }
        Some(at) => format!("{}{{shard=\"{shard}\"}}{}", &line[..at], &line[at..]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_become_labels_and_families_stay_together() {
        let mut families = Families::default();
        for shard in [0, 2] {
            families.add(
                "# HELP a_total A.\n# TYPE a_total counter\na_total{pool=\"x y\"} 1\n\
                 # HELP b B.\n# TYPE b gauge\nb 2\n",
                shard,
            );
        }
        assert_eq!(
            families.text(),
            "# HELP a_total A.\n# TYPE a_total counter\n\
             a_total{shard=\"0\",pool=\"x y\"} 1\na_total{shard=\"2\",pool=\"x y\"} 1\n\
             # HELP b B.\n# TYPE b gauge\nb{shard=\"0\"} 2\nb{shard=\"2\"} 2\n"
        );
    }
}
