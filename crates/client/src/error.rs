//! What can go wrong.

use std::{fmt, sync::Arc, time::Duration};

use thiserror::Error;
use tonic::{Code, Status};

use crate::{Allocation, Lost, details};

/// Which call failed, where, and what was said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The call, such as `Allocate`.
    pub call: &'static str,
    /// The server that was asked, such as `https://pools.example:7070/`.
    pub server: Arc<str>,
    /// What the server said, or why it could not be reached.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.call, self.server, self.message)
    }
}

/// Why a call failed: what, where, and how to mend it.
///
/// ```no_run
/// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
/// use foreshadow_client::Error;
///
/// match client.lease("notebook").await {
///     Ok(lease) => println!("{}", lease.address()),
///     Err(Error::Exhausted { retry_after, .. }) => println!("full, come back in {retry_after:?}"),
///     Err(error) => return Err(error),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of the client is wrong; nothing was sent.
    #[error("`{setting}`: {problem}")]
    Setup {
        /// The method of [`ClientBuilder`](crate::ClientBuilder), or the environment's variable.
        setting: &'static str,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// The server cannot be reached, or is starting or ending. The call was made again for
    /// [`ClientBuilder::retry_for`](crate::ClientBuilder::retry_for); see that the server runs, and call
    /// again later.
    #[error("{0}; is a server there, and can it be reached from here?")]
    Unavailable(Failure),
    /// There was no answer within
    /// [`ClientBuilder::call_timeout`](crate::ClientBuilder::call_timeout), and none when the call was
    /// made again for [`retry_for`](crate::ClientBuilder::retry_for). It may have been done all the same:
    /// a claim that is made once more must have the same
    /// [`idempotency_key`](crate::Claim::idempotency_key), or it is another.
    #[error("{0}; it may have been done all the same; raise `call_timeout` or `retry_for`")]
    Timeout(Failure),
    /// The server answers that nothing is free, that a quota is reached or that the caller asks too
    /// often; nothing was done. Call again after the delay.
    #[error("{failure}{}", come_back(*.retry_after))]
    Exhausted {
        /// What was said.
        failure: Failure,
        /// When a place is expected, if the server knows.
        retry_after: Option<Duration>,
    },
    /// A field of the request is not as it must be; the message names it. Mend it and call again.
    #[error("{0}")]
    InvalidRequest(Failure),
    /// There is no such pool, allocation, user or metric.
    #[error("{0}")]
    NotFound(Failure),
    /// It cannot be done as things stand: a stale token, a lease that has ended, requirements that no
    /// pool ever meets. The same call is refused again; claim another instance.
    #[error("{0}")]
    Refused(Failure),
    /// The idempotency key was used before with another request.
    #[error("{0}; give each request a key of its own")]
    KeyMisused(Failure),
    /// The token is missing or not known.
    #[error("{0}; give a token that the server knows, with `token`")]
    Unauthenticated(Failure),
    /// The caller is known and may not do this.
    #[error("{0}; ask with a token of a role, tenant or user that may")]
    PermissionDenied(Failure),
    /// The request ended before it was granted: nothing was free within its `max_wait`, it was taken
    /// back, its instance failed, or its idempotency key is that of a lease that has ended.
    #[error(
        "{} of pool {} is {} and will not be granted; claim again, with another idempotency key",
        .0.id, .0.pool, .0.state
    )]
    NotGranted(Box<Allocation>),
    /// The lease had ended before it was given back.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The answer has a form that this client does not know.
    #[error("{0}; are the client and the server of the same version?")]
    Misunderstood(Failure),
    /// Anything else that the server says, with gRPC's code.
    #[error("{failure} ({code:?})")]
    Other {
        /// What was said.
        failure: Failure,
        /// gRPC's code.
        code: Code,
    },
}

impl Error {
    /// When the server expects to have a place, for [`Error::Exhausted`].
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exhausted { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same call may succeed later: for [`Unavailable`](Self::Unavailable),
    /// [`Timeout`](Self::Timeout) and [`Exhausted`](Self::Exhausted).
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Timeout(_) => true,
            error => error.is_full(),
        }
    }

    /// Whether the server is there and has no room: nothing was granted.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Exhausted { .. })
    }

    pub(crate) fn setup(setting: &'static str, problem: impl fmt::Display) -> Self {
        let problem = problem.to_string();
        Self::Setup { setting, problem }
    }

    /// What a status means for a call.
    pub(crate) fn of_status(call: &'static str, server: &Arc<str>, status: &Status) -> Self {
        let failure = Failure {
            call,
            server: Arc::clone(server),
            message: details::message(status),
        };
        if details::is_local(status) {
            return Self::Unavailable(failure);
        }
        match status.code() {
            Code::Unavailable => Self::Unavailable(failure),
            Code::DeadlineExceeded => Self::Timeout(failure),
            Code::ResourceExhausted => Self::Exhausted {
                failure,
                retry_after: details::retry_delay(status),
            },
            Code::InvalidArgument => Self::InvalidRequest(failure),
            Code::NotFound => Self::NotFound(failure),
            Code::FailedPrecondition => Self::Refused(failure),
            Code::AlreadyExists => Self::KeyMisused(failure),
            Code::Unauthenticated => Self::Unauthenticated(failure),
            Code::PermissionDenied => Self::PermissionDenied(failure),
            code => Self::Other { failure, code },
        }
    }
}

fn come_back(retry_after: Option<Duration>) -> String {
    match retry_after {
        Some(delay) => format!("; a place is expected in {delay:?}"),
        None => "; ask again later".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: Code) -> Error {
        Error::of_status("Allocate", &"http://a/".into(), &Status::new(code, "no"))
    }

    #[test]
    fn an_error_says_what_where_and_how_to_mend_it() {
        for (code, end) in [
            (Code::Unavailable, "can it be reached from here?"),
            (
                Code::DeadlineExceeded,
                "raise `call_timeout` or `retry_for`",
            ),
            (Code::ResourceExhausted, "ask again later"),
            (Code::Unauthenticated, "with `token`"),
            (Code::PermissionDenied, "that may"),
            (Code::AlreadyExists, "a key of its own"),
            (Code::DataLoss, "(DataLoss)"),
        ] {
            let text = said(code).to_string();
            assert!(text.starts_with("Allocate at http://a/: no"), "{text}");
            assert!(text.ends_with(end), "{text}");
        }
    }

    #[test]
    fn only_what_the_server_may_mend_by_itself_may_pass() {
        let passing: Vec<i32> = (1..=16)
            .filter(|code| said(Code::from_i32(*code)).may_pass())
            .collect();
        let expected = [
            Code::DeadlineExceeded,
            Code::ResourceExhausted,
            Code::Unavailable,
        ];
        assert_eq!(passing, expected.map(|code| code as i32));
    }
}
