//! The process that trains, and the folders of its candidates.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use foreshadow_types::{Timestamp, format_duration};
use tokio::{process::Command, time::timeout};

use super::Retraining;

/// What is added to the time that training was given before it is killed.
const GRACE: Duration = Duration::from_mins(1);

/// How much of its last words is kept.
const LAST_WORDS: usize = 400;

const PREFIX: &str = "candidate-";

/// A candidate and its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    number: u64,
}

/// The candidates there are, the oldest first.
pub(super) fn candidates(models: &Path) -> Vec<Candidate> {
    let Ok(entries) = std::fs::read_dir(models) else {
        return Vec::new();
    };
    let mut found: Vec<Candidate> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(PREFIX)?.parse().ok()?;
            Some(Candidate {
                name,
                folder: entry.path(),
                number,
            })
        })
        .collect();
    found.sort_by_key(|candidate| candidate.number);
    found
}

impl Candidate {
    /// The one after those that there are.
    pub(super) fn after(models: &Path) -> Self {
        let last = candidates(models).pop();
        let number = last.map_or(1, |last| last.number + 1);
        let name = format!("{PREFIX}{number}");
        Self {
            folder: models.join(&name),
            name,
            number,
        }
    }
}

/// Trains a candidate in a process of its own, which yields to the service and ends in time.
pub(super) async fn train_candidate(
    retraining: &Retraining,
    histories: &[PathBuf],
    interval: Duration,
    until: Timestamp,
) -> Result<Candidate, String> {
    let candidate = Candidate::after(&retraining.models);
    std::fs::create_dir_all(&retraining.models).map_err(|error| error.to_string())?;
    let config = &retraining.config;
    let Some(program) = &config.command else {
        return Err("no command to train with is configured".to_owned());
    };
    let longest = config.max_duration;
    let mut command = Command::new("nice");
    command
        .args(["-n", &config.niceness.to_string()])
        .args(program)
        .arg("--history")
        .args(histories)
        .args(["--interval", &format_duration(interval)])
        .args(["--until", &until.to_string()])
        .args(["--max-seconds", &longest.as_secs().max(1).to_string()])
        .args(["--seed", &retraining.seed.to_string()])
        .arg("--out")
        .arg(&candidate.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let child = command
        .spawn()
        .map_err(|error| format!("`nice`: {error}"))?;
    let ended = timeout(longest + GRACE, child.wait_with_output()).await;
    let output = ended
        .map_err(|_| format!("it took longer than {longest:?} and was stopped"))?
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let words: Vec<char> = words.trim().chars().collect();
        let last: String = words[words.len().saturating_sub(LAST_WORDS)..]
            .iter()
            .collect();
        return Err(format!("it ended with {}: {last}", output.status));
    }
    Ok(candidate)
}
