//! Programs of others that tests run.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::skip;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a program that says nothing.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(program: &str, args: &[String]) -> Self {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of this machine that nothing listens on.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// Whether programs are there; says so where they are not.
pub fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|dir| dir.join(program).exists()))
        .collect();
    if !missing.is_empty() {
        skip(&format!(
            "{missing:?} not found; install Debian's packages of these names"
        ));
    }
    missing.is_empty()
}

/// A Python that has these modules, with commas between: the one named in `FORESHADOW_PYTHON`, or
/// `python3`.
pub fn python(modules: &str) -> Option<PathBuf> {
    let named = std::env::var_os("FORESHADOW_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| "python3".into());
    let asked = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success()).then_some(python)
}
