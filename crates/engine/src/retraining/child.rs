//! The process that trains, and the folders of its candidates.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use foreshadow_providers::Limits;
use foreshadow_types::{Bytes, Timestamp, format_duration};
use tokio::time::timeout;

use super::Retraining;
use crate::{config::RetrainingConfig, inference::PRETRAINED};

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

/// Trains a candidate in a process of its own, which yields to the service, keeps within its memory and
/// ends in time.
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
    let mut command = yielding(program, config);
    command
        .arg("--history")
        .args(histories)
        .args(["--interval", &format_duration(interval)])
        .args(["--until", &until.to_string()])
        .args([
            "--max-seconds",
            &config.max_duration.as_secs().max(1).to_string(),
        ])
        .args(["--seed", &retraining.seed.to_string()])
        .args([
            "--from",
            if retraining.pretrained {
                PRETRAINED
            } else {
                "fresh"
            },
        ])
        .arg("--out")
        .arg(&candidate.folder);
    ended_well(command, config).await?;
    Ok(candidate)
}

/// A program that yields to the service and keeps within its memory.
pub(super) fn yielding(program: &[String], config: &RetrainingConfig) -> Command {
    let mut command = Command::new("nice");
    command
        .args(["-n", &config.niceness.to_string()])
        .args(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let memory = config.memory.map(|memory| memory.0);
    let limits = Limits {
        memory,
        ..Limits::default()
    };
    limits.confine(&mut command);
    command
}

/// What a command printed that ended well and in time; else why it did not.
pub(super) async fn ended_well(
    command: Command,
    config: &RetrainingConfig,
) -> Result<Output, String> {
    let longest = config.max_duration;
    let mut command = tokio::process::Command::from(command);
    let child = command.kill_on_drop(true).spawn();
    let child = child.map_err(|error| format!("`nice`: {error}"))?;
    let ended = timeout(longest + GRACE, child.wait_with_output()).await;
    let output = ended
        .map_err(|_| format!("it took longer than {longest:?} and was stopped"))?
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(failure(output.status, &words, config.memory))
}

/// What programs say that get no memory: Rust's allocator, threads without room for a stack, the C
/// library, and the loader.
const OUT_OF_MEMORY: [&str; 6] = [
    "memory allocation of",
    "failed to spawn thread",
    "Cannot allocate memory",
    "Out of memory",
    "memory exhausted",
    "failed to map segment",
];

/// Why a process failed, by its last words.
fn failure(status: ExitStatus, words: &str, memory: Option<Bytes>) -> String {
    let words: Vec<char> = words.trim().chars().collect();
    let last: String = words[words.len().saturating_sub(LAST_WORDS)..]
        .iter()
        .collect();
    let ran_out = OUT_OF_MEMORY.iter().any(|sign| last.contains(sign));
    let why = match memory.filter(|_| ran_out) {
        Some(limit) => format!(
            "it needed more than the {limit} of memory that it may have: raise `memory` in [retrain], \
             or keep less history; "
        ),
        None => String::new(),
    };
    format!("{why}it ended with {status}: {last}")
}
