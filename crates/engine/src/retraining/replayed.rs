//! The pools replayed with a candidate, in a process of its own.

use std::process::Stdio;

use foreshadow_training::PoolsReport;

use super::{
    Retraining,
    case::PoolsCase,
    child::{ended_well, yielding},
};

/// The question, in the candidate's folder while it is answered.
const CASE: &str = "pools-case.json";
/// The answer, which stays there for inspection.
const REPORT: &str = "pools.json";

impl Retraining {
    /// Replays the pools that rules keep warm by forecasts; none if there are none, or nothing to
    /// replay them with.
    pub(super) async fn replayed(&self, case: PoolsCase) -> Result<Option<PoolsReport>, String> {
        let Some(program) = &self.config.replay else {
            return Ok(None);
        };
        if case.pools().next().is_none() {
            return Ok(None);
        }
        let failed = |reason: String| format!("the pools could not be replayed: {reason}");
        let folder = case.candidate.clone();
        let file = folder.join(CASE);
        let written = file.clone();
        let write = tokio::task::spawn_blocking(move || case.write(&written));
        let write = write.await.map_err(|error| error.to_string())?;
        write.map_err(failed)?;
        let mut command = yielding(program, &self.config);
        command.arg("--case").arg(&file).stdout(Stdio::piped());
        let answered = ended_well(command, &self.config).await;
        // It names people, and models are shared.
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), %error, "a file stays");
        }
        let answer = answered.map_err(failed)?.stdout;
        let report: PoolsReport =
            serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
        std::fs::write(folder.join(REPORT), &answer).map_err(|error| failed(error.to_string()))?;
        tell(&report);
        Ok(Some(report))
    }
}

fn tell(report: &PoolsReport) {
    for one in &report.pools {
        tracing::info!(
            pool = one.pool,
            requests = one.requests,
            hits = one.candidate.hits,
            idle_s = one.candidate.idle_s,
            hits_in_use = one.current.hits,
            idle_in_use_s = one.current.idle_s,
            "a pool was replayed with the candidate and with the model in use"
        );
    }
    if report.left_out > 0 {
        tracing::warn!(
            pools = report.left_out,
            "there was no time to replay all pools"
        );
    }
}
