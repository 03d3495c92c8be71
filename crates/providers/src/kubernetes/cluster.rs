//! One API server as one provider reaches it, and calls to it, each with a deadline.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use thiserror::Error;
use tokio::{sync::Semaphore, time::timeout};

use super::words::one_line;

/// How many calls of one provider, that is of one shard, are under way at one API server at a time,
/// beside the watches.
const CALLS_AT_A_TIME: usize = 32;

/// How much is kept of what an API server says.
const MAX_WORDS: usize = 300;

/// How a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Access {
    pub(super) kubeconfig: Option<PathBuf>,
    pub(super) context: Option<String>,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum CallError {
    /// The API server is away, overloaded or slow; the same call may succeed later.
    #[error("{0}")]
    Passing(String),
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// An object of this name is there already.
    #[error("{0}")]
    Exists(String),
    /// The object has changed meanwhile, or is another one by now.
    #[error("{0}")]
    Conflict(String),
    /// It was refused: a quota is used up, a right is missing, or the object makes no sense.
    #[error("{0}")]
    Refused(String),
}

/// One API server, which all pools of one provider share that are reached the same way. Each shard of a
/// server has a provider of its own, so that a process has one of these for each.
pub(super) struct Cluster {
    pub(super) client: Client,
    /// Where objects are for which no namespace is given.
    pub(super) namespace: String,
    server: String,
    permits: Semaphore,
    /// Whether it answered when it was called last, so that an outage is told once.
    answers: AtomicBool,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads what is needed to call it; it is not called yet. To be called within a tokio runtime.
    pub(super) fn reach(access: &Access) -> Result<Self, String> {
        let mut config = config(access)?;
        // Calls are repeated by whoever makes them, who knows what has changed meanwhile.
        config.default_retry = false;
        let (namespace, server) = (
            config.default_namespace.clone(),
            config.cluster_url.to_string(),
        );
        Ok(Self {
            client: Client::try_from(config).map_err(|error| error.to_string())?,
            namespace,
            server,
            permits: Semaphore::new(CALLS_AT_A_TIME),
            answers: AtomicBool::new(true),
        })
    }

    /// Makes a call when there is room for it.
    pub(super) async fn call<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        // Who waits for a permit waits for calls that all have a deadline.
        let _permit = self.permits.acquire().await;
        let outcome = match timeout(deadline, call).await {
            Ok(answer) => answer.map_err(|error| of(&error)),
            Err(_) => Err(CallError::Passing(format!(
                "the API server did not answer within {deadline:?}"
            ))),
        };
        self.note(outcome.as_ref().err());
        outcome
    }

    fn note(&self, error: Option<&CallError>) {
        match error {
            Some(CallError::Passing(reason)) => {
                if self.answers.swap(false, Ordering::Relaxed) {
                    tracing::warn!(
                        server = self.server,
                        reason,
                        "an API server does not answer; its instances stay as they are"
                    );
                }
            }
            Some(
                CallError::NotFound(_)
                | CallError::Exists(_)
                | CallError::Conflict(_)
                | CallError::Refused(_),
            )
            | None => {
                if !self.answers.swap(true, Ordering::Relaxed) {
                    tracing::info!(server = self.server, "the API server answers again");
                }
            }
        }
    }
}

/// What is needed to call an API server. Only files are read; nothing is awaited in truth.
fn config(access: &Access) -> Result<Config, String> {
    let options = KubeConfigOptions {
        context: access.context.clone(),
        ..KubeConfigOptions::default()
    };
    let read = async {
        match (&access.kubeconfig, &access.context) {
            (Some(path), _) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(told)?;
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
                config.map_err(told)
            }
            (None, Some(_)) => Config::from_kubeconfig(&options).await.map_err(told),
            (None, None) => Config::infer().await.map_err(told),
        }
    };
    futures::executor::block_on(read)
}

/// An error with what caused it, in one line.
fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    one_line(&text, MAX_WORDS)
}

/// Tells what may pass from what will not.
fn of(error: &kube::Error) -> CallError {
    let kube::Error::Api(status) = error else {
        return CallError::Passing(format!("the API server cannot be asked: {}", told(error)));
    };
    let words = one_line(&status.message, MAX_WORDS);
    match status.code {
        404 => CallError::NotFound(words),
        409 if status.is_already_exists() => CallError::Exists(words),
        409 => CallError::Conflict(words),
        // A token may be exchanged at any time, and a control plane be on its way up.
        401 | 408 | 410 | 429 | 500.. => CallError::Passing(words),
        _ => CallError::Refused(words),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let of = |code, reason: &str| {
            let status = Status::failure("no", reason).with_code(code);
            super::of(&kube::Error::Api(status.boxed()))
        };
        let words = || "no".to_owned();
        assert_eq!(of(404, "NotFound"), CallError::NotFound(words()));
        assert_eq!(of(409, "AlreadyExists"), CallError::Exists(words()));
        assert_eq!(of(409, "Conflict"), CallError::Conflict(words()));
        assert_eq!(of(403, "Forbidden"), CallError::Refused(words()));
        assert_eq!(of(422, "Invalid"), CallError::Refused(words()));
        for code in [401, 429, 500, 503, 504] {
            assert_eq!(of(code, ""), CallError::Passing(words()), "{code}");
        }
    }

    #[test]
    fn a_kubeconfig_that_is_not_there_is_named() {
        let access = Access {
            kubeconfig: Some("/nowhere/kubeconfig".into()),
            context: None,
        };
        let reason = config(&access).unwrap_err();
        assert!(reason.contains("/nowhere/kubeconfig"), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
    }
}
