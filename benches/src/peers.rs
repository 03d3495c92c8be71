//! Peers in other languages: a virtual environment of their own, and a script that answers in JSON.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

/// What the scripts import. A folder that `FORESHADOW_PEERS` names is used as it is.
const PACKAGES: [&str; 4] = ["torch", "onnxruntime", "onnx", "numpy"];

/// Python with the peers' packages.
#[derive(Debug)]
pub(crate) struct Peers {
    python: PathBuf,
}

impl Peers {
    /// Makes the environment below `target/` if it is not there yet.
    ///
    /// # Errors
    /// If Python is missing or the packages cannot be had.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let folder = std::env::var_os("FORESHADOW_PEERS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers"),
            PathBuf::from,
        );
        let python = folder.join("bin/python");
        if !imports(&python) {
            eprintln!(
                "installing {} into {}; this takes minutes once",
                PACKAGES.join(", "),
                folder.display()
            );
            run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
            run(Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(PACKAGES))?;
        }
        Ok(Self { python })
    }

    /// Runs `script` and reads the JSON it prints.
    ///
    /// # Errors
    /// If it fails or prints something else.
    pub(crate) fn ask(
        &self,
        script: &str,
        arguments: &[&str],
    ) -> anyhow::Result<serde_json::Value> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("peers")
            .join(script);
        let answer = run(Command::new(&self.python).arg(&script).args(arguments))?;
        serde_json::from_str(&answer).with_context(|| format!("{}: {answer}", script.display()))
    }
}

fn imports(python: &Path) -> bool {
    let all = format!("import {}", PACKAGES.join(", "));
    Command::new(python)
        .args(["-c", &all])
        .output()
        .is_ok_and(|done| done.status.success())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        done.status.success(),
        "{} failed: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(String::from_utf8(done.stdout)?)
}
