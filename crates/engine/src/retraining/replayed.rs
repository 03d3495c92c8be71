//! The pools replayed with a candidate, in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

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

/// It names people, and models are shared: it goes with the replay, however that ends.
struct CaseFile(PathBuf);

impl Drop for CaseFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(file = %self.0.display(), %error, "a file stays");
        }
    }
}

/// Removes what a crash has left of a replay in a candidate's folder.
pub(super) fn forget_case(candidate: &Path) {
    // Mostly there is none.
    let _ = std::fs::remove_file(candidate.join(CASE));
}

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
        let file = CaseFile(folder.join(CASE));
        let written = file.0.clone();
        let write = tokio::task::spawn_blocking(move || case.write(&written));
        let write = write.await.map_err(|error| error.to_string())?;
        write.map_err(failed)?;
        let mut command = yielding(program, &self.config);
        command.arg("--case").arg(&file.0).stdout(Stdio::piped());
        let answered = ended_well(command, &self.config).await;
        drop(file);
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
            "not all pools were replayed: there are too many, or there was no time"
        );
    }
}
