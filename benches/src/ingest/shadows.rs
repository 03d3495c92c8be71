//! Resource shadows read over HTTP among a million entities, one call after the other, beside a page of
//! the same server that needs no answer of the engine.

use super::post::Poster;
use crate::{
    clock::seconds,
    process::OtherProcess,
    report::{Row, median},
};

const ENTITIES: u64 = 1_000_000;
const CALLS: u64 = 5_000;
/// A prime, so that calls jump about among the entities.
const STRIDE: u64 = 611_953;

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    let server = OtherProcess::start(&["ingest-server", &ENTITIES.to_string()])?;
    let poster = Poster::new(server.address);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for call in 0..CALLS {
        let user = format!("user-{}", call * STRIDE % ENTITIES);
        ours.push(timed(
            &poster,
            &format!("/user/{user}/resource_shadow"),
            &user,
        )?);
        theirs.push(timed(&poster, "/healthz", "")?);
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let at = |times: &[f64], share: f64| times[(times.len() as f64 * share) as usize] * 1e3;
    eprintln!(
        "a shadow among {ENTITIES}: p50 {:.3} ms, p99 {:.3} ms; healthz p50 {:.3} ms, p99 {:.3} ms; {:.0} MB of memory",
        at(&ours, 0.5),
        at(&ours, 0.99),
        at(&theirs, 0.5),
        at(&theirs, 0.99),
        server.memory_mb()?
    );
    Ok(vec![Row {
        name: "shadow_1m",
        value: 1.0 / median(&ours),
        unit: "calls/s",
        peer: "healthz",
        peer_value: 1.0 / median(&theirs),
    }])
}

/// Seconds of one call whose answer must hold a word.
pub(super) fn timed(poster: &Poster, path: &str, word: &str) -> anyhow::Result<f64> {
    let mut answer = Ok(String::new());
    let took = seconds(|| answer = poster.get(path));
    let answer = answer?;
    anyhow::ensure!(answer.contains(word), "{path}: {answer}");
    Ok(took)
}
