//! What a process provider has to start.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use thiserror::Error;

use crate::confinement::{Limits, RunAs};

/// The most words a command may have.
const MAX_COMMAND_WORDS: usize = 1024;

/// How it is known that an instance is ready for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// `GET path` on its port answers with a status from 200 to 399.
    Http(String),
    /// Its port accepts a connection.
    Tcp,
    /// It writes a line that contains this text to its standard output.
    Stdout(String),
}

/// What an instance does while it waits to be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// It is stopped by SIGSTOP once ready, and continued when it is allocated.
    Freeze,
    /// It keeps running.
    #[default]
    Run,
}

/// How living instances are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The time between two checks of one instance.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// How many checks in a row must fail before the instance counts as stuck.
    pub failures: u32,
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(2),
            failures: 3,
        }
    }
}

/// How an instance is made as new after use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reset {
    /// Its process is ended and started again.
    #[default]
    Restart,
    /// This program runs and ends with status 0; `{port}` and `{instance}` are replaced.
    Command(Vec<String>),
    /// `POST path` on its port answers with a status from 200 to 399.
    Http(String),
}

/// A command to start as an instance, and how to treat it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpec {
    /// The program and its arguments; `{port}` and `{instance}` are replaced.
    pub command: Vec<String>,
    /// When it counts as ready.
    pub ready: Readiness,
    /// What it does while warm.
    pub hold: Hold,
    /// Environment variables beside the few that it has of the server's.
    pub env: BTreeMap<String, String>,
    /// The folder it starts in; the server's own if `None`.
    pub working_dir: Option<PathBuf>,
    /// As whom it runs; as the server if `None`.
    pub user: Option<RunAs>,
    /// What it may take.
    pub limits: Limits,
    /// How long it may take until it is ready.
    pub start_timeout: Duration,
    /// How long it may take to end after SIGTERM.
    pub stop_grace: Duration,
    /// How it is checked while it lives.
    pub probe: ProbeSpec,
    /// How it is made as new after use, if its pool resets instances. What does not succeed within
    /// `start_timeout` is followed by a restart.
    pub reset: Reset,
}

/// Why a specification was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// There is no program to start.
    #[error("`command` is empty; give the program and its arguments")]
    NoCommand,
    /// The server may not start processes as another user.
    #[error("`user` {uid}:{gid} is another than the server's own; run the server as root or leave it out", uid = .0.uid, gid = .0.gid)]
    NotRoot(RunAs),
    /// There is no program to reset with.
    #[error("`reset.command` is empty; give the program and its arguments")]
    NoResetCommand,
    /// The command has too many words.
    #[error("`command` has {0} words; at most {MAX_COMMAND_WORDS} are allowed")]
    TooLong(usize),
    /// A text has a NUL byte, which no process can be given.
    #[error("{0:?} contains a NUL byte")]
    Nul(String),
    /// An HTTP path that does not begin with a slash or is not printable ASCII.
    #[error("{0:?} is not an HTTP path; it begins with `/` and is printable ASCII without spaces")]
    HttpPath(String),
    /// The line awaited on standard output is empty.
    #[error("`ready.stdout` is empty; give text that the ready process writes")]
    EmptyLine,
    /// Not where an external provider can be called.
    #[error("`endpoint` is {0:?}; give `http://HOST:PORT` or `unix:///PATH`")]
    Endpoint(String),
    /// The token of an external provider cannot be had.
    #[error("`token_file` is `{path}`: {reason}", path = path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Not where a fallback can be called.
    #[error("`fallback.url` is {0:?}; give `http://HOST[:PORT][/PATH]`")]
    FallbackUrl(String),
    /// Too much to tell an external provider at each start.
    #[error("`parameters` has {0} keys and {1} bytes; at most 1024 and 262144 are allowed")]
    Parameters(usize, usize),
    /// The template of pods is not usable.
    #[error("`template`: {0}")]
    Template(#[from] crate::kubernetes::TemplateError),
    /// No name of a namespace.
    #[error("`namespace` is {0:?}; give at most 63 of `a-z`, `0-9` and `-`")]
    Namespace(String),
    /// The template names another namespace.
    #[error("`namespace` is `{own}`, but the template's is `{template}`; give one of them")]
    Namespaces {
        /// The pool's.
        own: String,
        /// The template's.
        template: String,
    },
    /// Nobody would know where instances listen.
    #[error("`port` is missing and no container of the template names one; give one above 0")]
    NoPort,
    /// Nobody would know where instances of another kind than pods are.
    #[error("`address` is missing; say where a {0} tells its host, such as `/status/host`")]
    NoAddress(String),
    /// A duration that must be above zero is zero.
    #[error("`{0}` is zero; give a duration above zero, such as `30s`")]
    Zero(&'static str),
}

impl ProcessSpec {
    /// A command with everything else at its default: TCP readiness, kept running, 60 s to start
    /// and 5 s to end.
    pub fn new(command: Vec<String>) -> Self {
        Self {
            command,
            ready: Readiness::Tcp,
            hold: Hold::Run,
            env: BTreeMap::new(),
            working_dir: None,
            user: None,
            limits: Limits::default(),
            start_timeout: Duration::from_mins(1),
            stop_grace: Duration::from_secs(5),
            probe: ProbeSpec::default(),
            reset: Reset::Restart,
        }
    }

    /// Checks everything that can be known before a process is started.
    ///
    /// # Errors
    /// [`SpecError`] names the first field at fault.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(SpecError::NoCommand);
        }
        if self.command.len() > MAX_COMMAND_WORDS {
            return Err(SpecError::TooLong(self.command.len()));
        }
        let environment = self.env.iter().flat_map(|(key, value)| [key, value]);
        if let Some(text) = self
            .command
            .iter()
            .chain(environment)
            .find(|text| text.contains('\0'))
        {
            return Err(SpecError::Nul(text.clone()));
        }
        if let Some(user) = self.user.filter(|user| !user.is_possible()) {
            return Err(SpecError::NotRoot(user));
        }
        self.validate_readiness()?;
        self.validate_reset()?;
        for (name, duration) in [
            ("start_timeout", self.start_timeout),
            ("probe.interval", self.probe.interval),
            ("probe.timeout", self.probe.timeout),
        ] {
            if duration.is_zero() {
                return Err(SpecError::Zero(name));
            }
        }
        Ok(())
    }

    fn validate_reset(&self) -> Result<(), SpecError> {
        match &self.reset {
            Reset::Restart => Ok(()),
            Reset::Http(path) => check_path(path),
            Reset::Command(words) if words.first().is_none_or(String::is_empty) => {
                Err(SpecError::NoResetCommand)
            }
            Reset::Command(words) => match words.iter().find(|word| word.contains('\0')) {
                Some(word) => Err(SpecError::Nul(word.clone())),
                None => Ok(()),
            },
        }
    }

    fn validate_readiness(&self) -> Result<(), SpecError> {
        match &self.ready {
            Readiness::Http(path) => check_path(path)?,
            Readiness::Stdout(line) if line.is_empty() => return Err(SpecError::EmptyLine),
            Readiness::Tcp | Readiness::Stdout(_) => {}
        }
        Ok(())
    }
}

fn check_path(path: &str) -> Result<(), SpecError> {
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
    if path.starts_with('/') && printable {
        return Ok(());
    }
    Err(SpecError::HttpPath(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(words: &[&str]) -> ProcessSpec {
        ProcessSpec::new(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_specification_without_a_program_is_refused() {
        assert_eq!(spec(&[]).validate(), Err(SpecError::NoCommand));
        assert_eq!(spec(&[""]).validate(), Err(SpecError::NoCommand));
        assert_eq!(spec(&["true"]).validate(), Ok(()));
        assert!(matches!(spec(&["a\0"]).validate(), Err(SpecError::Nul(_))));
    }

    #[test]
    fn readiness_says_how_to_write_it() {
        let mut with_path = spec(&["true"]);
        with_path.ready = Readiness::Http("healthz".to_owned());
        assert!(matches!(with_path.validate(), Err(SpecError::HttpPath(_))));
        with_path.ready = Readiness::Http("/a\r\nHost: b".to_owned());
        assert!(matches!(with_path.validate(), Err(SpecError::HttpPath(_))));
        with_path.ready = Readiness::Stdout(String::new());
        assert_eq!(with_path.validate(), Err(SpecError::EmptyLine));
        let mut resetting = spec(&["true"]);
        resetting.reset = Reset::Command(Vec::new());
        assert_eq!(resetting.validate(), Err(SpecError::NoResetCommand));
        resetting.reset = Reset::Http("clean".to_owned());
        assert!(matches!(resetting.validate(), Err(SpecError::HttpPath(_))));
    }
}
